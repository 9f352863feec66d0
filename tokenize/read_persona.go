package tokenize

import (
	"encoding/json"
	"io"
	"strings"
)

// Persona-Chat comes as ParlAI's text (read_parlai.go), as the JSON of its split files,
//
//	{"train": [{"personality": […], "utterances": [{"candidates": […, response], "history": […]}, …]}, …], "valid": […]}
//
// as such dialogues in an array or one after another, and as JSON lines of single responses:
//
//	{"persona": ["i like to ski."], "history": ["hi , how are you ?"], "response": "great , just back from the slopes ."}
//
// The readers tell them apart by how a file begins. A dialogue is as many records as it has responses.

// unitDialog is the number of a dialogue in its file, as a unit's column.
const unitDialog = "dialog"

func newPersonaReader(r io.Reader, f DataFormat) rowReader {
	s := sniff(r)
	switch {
	case s.first == '[':
		return &dialogReader{in: newJSONElements(s, ""), format: f}
	case s.first == '{' && isSplit(s.key):
		split := f.Split
		if split == "" {
			split = "train"
		}
		return &dialogReader{in: newJSONElements(s, split), format: f}
	case s.first == '{':
		return &dialogReader{in: newJSONElements(s, ""), format: f}
	}
	return newParlAIReader(s, f)
}

// isSplit says whether a name is that of a part of a data set.
func isSplit(name string) bool {
	switch name {
	case "train", "valid", "validation", "dev", "test":
		return true
	}
	return false
}

// A dialogReader gives one response after another.
type dialogReader struct {
	in      *jsonElements
	format  DataFormat
	row     int
	pending []Record
}

func (d *dialogReader) next() (Record, error) {
	for len(d.pending) == 0 {
		raw, err := d.in.next()
		if err == nil {
			d.pending, err = d.records(raw)
			err = inEntry(d.in.n, err)
		}
		if err != nil {
			return Record{}, inRow(d.row+1, err)
		}
	}
	d.row++
	rec := d.pending[0]
	d.pending = d.pending[1:]
	rec.Row = d.row
	return rec, nil
}

// records are those of a dialogue, or the one of a single response.
func (d *dialogReader) records(raw json.RawMessage) ([]Record, error) {
	fields, err := jsonObject(raw)
	if err != nil {
		return nil, err
	}
	unit, err := entryUnit(fields, d.format.UnitColumn, unitDialog, d.in.n)
	if err != nil {
		return nil, err
	}
	var persona []string
	if name := firstOf(fields, "persona", "personality"); name != "" {
		if persona, err = jsonStrings(name, fields[name]); err != nil {
			return nil, err
		}
	}
	if fields["utterances"] == nil {
		rec, err := response(fields, "history", "response")
		if err != nil {
			return nil, err
		}
		rec.Unit, rec.Dialog.Persona = unit, persona
		return []Record{rec}, nil
	}
	turns, err := jsonList("utterances", fields["utterances"])
	if err != nil {
		return nil, err
	}
	records := make([]Record, len(turns))
	for i, turn := range turns {
		of, err := jsonObject(turn)
		if err == nil {
			records[i], err = lastCandidate(of)
		}
		if err != nil {
			return nil, within("utterances", i, err)
		}
		records[i].Unit, records[i].Dialog.Persona = unit, persona
	}
	return records, nil
}

// response reads a history and what was responded to it.
func response(fields map[string]json.RawMessage, history, target string) (Record, error) {
	turns, err := jsonStrings(history, fields[history])
	if err != nil {
		return Record{}, err
	}
	text, err := jsonString(target, fields[target])
	return Record{Target: text, Label: -1, Dialog: &Dialog{History: spoken(turns)}}, err
}

// lastCandidate reads an utterance, whose response is the last of its candidates.
func lastCandidate(fields map[string]json.RawMessage) (Record, error) {
	list, err := jsonList("candidates", fields["candidates"])
	if err != nil {
		return Record{}, err
	}
	if len(list) == 0 {
		return Record{}, &RowError{Field: "candidates", Problem: "is empty; the last one is the response"}
	}
	fields["response"] = list[len(list)-1]
	return response(fields, "history", "response")
}

// spoken leaves out turns at which nobody spoke, which the data mark.
func spoken(turns []string) []string {
	kept := turns[:0]
	for _, turn := range turns {
		if !isSilence(turn) {
			kept = append(kept, turn)
		}
	}
	return kept
}

func isSilence(turn string) bool { return strings.ReplaceAll(turn, " ", "") == "__SILENCE__" }
