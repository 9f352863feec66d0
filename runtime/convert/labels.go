package convert

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Labels returns how many classes the config names: num_labels, the length of
// id2label, or transformers' default of 2.
func (c *Config) Labels() int64 {
	var names map[string]json.RawMessage
	if _, ok := c.value(&names, "an object", []string{"id2label"}); ok && len(names) > 0 {
		for k := range names {
			if i, err := strconv.Atoi(k); err != nil || i < 0 || i >= len(names) {
				c.Fail("id2label", "its keys must be 0 to %d", len(names)-1)
				break
			}
		}
		return int64(len(names))
	}
	return c.Size(2, "num_labels")
}

// labelFields name k classes that have no names yet, as transformers does.
func labelFields(k int64) map[string]any {
	names, ids := map[string]string{}, map[string]int64{}
	for i := range k {
		name := fmt.Sprintf("LABEL_%d", i)
		names[strconv.FormatInt(i, 10)], ids[name] = name, i
	}
	return map[string]any{"id2label": names, "label2id": ids, "num_labels": nil, "problem_type": nil}
}
