package runtime

import (
	"path/filepath"

	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// droppedFile says how many records contribute zero, and why: a number computed from private records.
const droppedFile = "dropped.json"

// dropped writes the counts of the training and, if there are any, the validation records.
func (d *debugLog) dropped(out, stamp string, train, valid *dataset) error {
	type counts struct {
		Records int                   `json:"records"`
		Dropped map[tokenize.Drop]int `json:"dropped"`
	}
	of := func(set *dataset) *counts {
		if set == nil {
			return nil
		}
		return &counts{len(set.examples), tokenize.DropCounts(set.examples)}
	}
	file := struct {
		NotPrivate string  `json:"not_private,omitempty"`
		Train      *counts `json:"train"`
		Valid      *counts `json:"valid,omitempty"`
	}{stamp, of(train), of(valid)}
	return durable.WriteJSON(filepath.Join(out, "debug", droppedFile), 0o600, file)
}
