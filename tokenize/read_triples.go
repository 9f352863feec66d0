package tokenize

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// Table-to-text files of triples come in three layouts, which the readers tell apart by how a file begins: DART's JSON (an
// array of objects with tripleset and annotations, or such objects a line each), WebNLG's JSON (an object with entries),
// and the XML of both. A set with several texts is as many records, one after another.

// unitEntry is the number of a set in its file, as a unit's column.
const unitEntry = "entry"

// A triplesReader gives the texts of one set after another.
type triplesReader struct {
	sets    tripleSets
	format  DataFormat
	row     int
	pending []Record
}

// tripleSets reads sets.
type tripleSets interface {
	// next gives the records of the next set, without row numbers, and where each text comes from. io.EOF at the end.
	next() ([]sourced, error)
}

// sourced is a record and the corpus it comes from, "" where the file does not say.
type sourced struct {
	rec    Record
	source string
}

func newTriplesReader(r io.Reader, f DataFormat) rowReader {
	t := &triplesReader{format: f}
	switch s := sniff(r); {
	case s.first == '<':
		t.sets = newXMLSets(s, f)
	case s.key == "entries":
		t.sets = &webnlgSets{in: newJSONElements(s, "entries"), format: f}
	case s.first == '{' || s.first == '[' || s.first == 0:
		t.sets = &dartSets{in: newJSONElements(s, ""), format: f}
	default:
		return failing{&RowError{Problem: "the file is neither JSON nor XML; task " + string(f.Task) + " reads DART's and WebNLG's files"}}
	}
	return t
}

func (t *triplesReader) next() (Record, error) {
	for len(t.pending) == 0 {
		set, err := t.sets.next()
		if err != nil {
			return Record{}, inRow(t.row+1, err)
		}
		for _, s := range set {
			t.row++
			if t.format.takes(s.source) {
				s.rec.Row = t.row
				t.pending = append(t.pending, s.rec)
			}
		}
	}
	rec := t.pending[0]
	t.pending = t.pending[1:]
	return rec, nil
}

// inRow numbers an error of an entry by the row that would have come next.
func inRow(n int, err error) error {
	var row *RowError
	if errors.As(err, &row) && row.Entry > 0 {
		row.Row = n
	}
	return err
}

// takes says whether records from a source are wanted.
func (f DataFormat) takes(source string) bool {
	matches := func(pattern string) bool {
		ok, _ := path.Match(strings.ToLower(pattern), strings.ToLower(source)) // check has seen the pattern
		return ok
	}
	return (len(f.Sources) == 0 || slices.ContainsFunc(f.Sources, matches)) && !slices.ContainsFunc(f.ExcludeSources, matches)
}

// checkSources refuses patterns that are none, and where records have no sources.
func (f DataFormat) checkSources() error {
	for _, pattern := range slices.Concat(f.Sources, f.ExcludeSources) {
		if !f.Task.Triples() {
			return fmt.Errorf("the records of task %s name no sources, so they can't be chosen by %s", f.Task, shown(pattern))
		}
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			return fmt.Errorf("source %s is not a name or a pattern such as Wiki*", shown(pattern))
		}
	}
	return nil
}

// Triples says whether a task's records are sets of triples.
func (t Task) Triples() bool { return t == TaskDART || t == TaskWebNLG }

// linear writes triples as the public code of Li et al. does:
//
//	Mars Hill College : joined : 1973 | Mars Hill College : location : Mars Hill, North Carolina
//
// with DART's relations in lower case, WebNLG's as they stand.
func (f DataFormat) linear(triples [][3]string) string {
	var b strings.Builder
	for i, t := range triples {
		if i > 0 {
			b.WriteString(" | ")
		}
		b.WriteString(t[0])
		b.WriteString(" : ")
		if f.Task == TaskDART {
			for _, r := range t[1] {
				writeLower(&b, r)
			}
		} else {
			b.WriteString(t[1])
		}
		b.WriteString(" : ")
		b.WriteString(t[2])
	}
	return b.String()
}

// dartSets reads {"tripleset": [[s, r, o], …], "annotations": [{"source", "text"}, …]}.
type dartSets struct {
	in     *jsonElements
	format DataFormat
}

func (d *dartSets) next() ([]sourced, error) {
	raw, err := d.in.next()
	if err != nil {
		return nil, err
	}
	set, err := d.set(raw)
	return set, inEntry(d.in.n, err)
}

func (d *dartSets) set(raw json.RawMessage) ([]sourced, error) {
	fields, err := jsonObject(raw)
	if err != nil {
		return nil, err
	}
	triples, err := jsonTriples(fields["tripleset"])
	if err != nil {
		return nil, err
	}
	unit, err := entryUnit(fields, d.format.UnitColumn, unitEntry, d.in.n)
	if err != nil {
		return nil, err
	}
	texts, sources, err := annotations(fields["annotations"])
	if err != nil {
		return nil, err
	}
	table := d.format.linear(triples)
	set := make([]sourced, len(texts))
	for i := range texts {
		set[i] = sourced{Record{Source: table, Target: texts[i], Label: -1, Unit: unit}, sources[i]}
	}
	return set, nil
}

func jsonTriples(raw json.RawMessage) ([][3]string, error) {
	list, err := jsonList("tripleset", raw)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, &RowError{Field: "tripleset", Problem: "is empty"}
	}
	triples := make([][3]string, len(list))
	for i, item := range list {
		parts, err := jsonStrings(fmt.Sprintf("tripleset[%d]", i), item)
		if err != nil {
			return nil, err
		}
		if len(parts) != 3 {
			return nil, &RowError{Field: fmt.Sprintf("tripleset[%d]", i), Problem: fmt.Sprintf("has %d parts; a triple is subject, relation, object", len(parts))}
		}
		triples[i] = [3]string(parts)
	}
	return triples, nil
}

// annotations reads an array of {"source", "text"}, or an object of two arrays of that name.
func annotations(raw json.RawMessage) (texts, sources []string, err error) {
	const name = "annotations"
	if raw != nil && raw[0] == '{' {
		columns, err := jsonObject(raw)
		if err != nil {
			return nil, nil, err
		}
		if texts, err = jsonStrings(name+".text", columns["text"]); err != nil {
			return nil, nil, err
		}
		if sources, err = jsonStrings(name+".source", columns["source"]); err == nil && len(sources) != len(texts) {
			err = &RowError{Field: name, Problem: fmt.Sprintf("has %d texts but %d sources", len(texts), len(sources))}
		}
		return texts, sources, err
	}
	list, err := jsonList(name, raw)
	if err != nil {
		return nil, nil, err
	}
	for i, item := range list {
		field := fmt.Sprintf("%s[%d]", name, i)
		fields, err := jsonObject(item)
		if err != nil {
			return nil, nil, &RowError{Field: field, Problem: "is not a JSON object"}
		}
		text, err := jsonString(field+".text", fields["text"])
		if err != nil {
			return nil, nil, err
		}
		source := ""
		if fields["source"] != nil {
			if source, err = jsonString(field+".source", fields["source"]); err != nil {
				return nil, nil, err
			}
		}
		texts, sources = append(texts, text), append(sources, source)
	}
	return texts, sources, nil
}
