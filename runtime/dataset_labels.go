package runtime

import (
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// labelNames are the names of a classifier's classes, where its config.json gives them and they are of use: for labels of
// JSON lines that are strings, and for the order of a GLUE task's classes, which models don't agree on. nil otherwise.
func (r *reader) labelNames(m *Model) ([]string, error) {
	if r.mode != ModeHead {
		return nil, nil
	}
	config, err := m.readLabels()
	if err != nil {
		return nil, err
	}
	names := make([]string, r.classes)
	seen := map[string]bool{}
	for k := range names {
		name, ok := config.names[k]
		if !ok || seen[name] {
			return nil, nil
		}
		names[k], seen[name] = name, true
	}
	if r.recipe.task == tokenize.TaskClassify {
		return names, nil
	}
	for _, own := range r.recipe.task.Labels() {
		k := slices.IndexFunc(names, func(name string) bool { return strings.EqualFold(name, own) })
		if k < 0 {
			return nil, nil
		}
		names[k] = own
	}
	return names, nil
}
