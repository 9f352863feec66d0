package tokenize

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// tsvLayout says which columns of a GLUE file matter, by the names in its header.
type tsvLayout struct {
	text  []string // names that the first text's column may have
	pair  []string // the second text's, nil for none
	label []string
}

var tsvLayouts = map[Task]tsvLayout{
	TaskSST2: {text: []string{"sentence", "content", "text"}, label: []string{"label"}},
	TaskQNLI: {text: []string{"question"}, pair: []string{"sentence"}, label: []string{"label"}},
	TaskQQP:  {text: []string{"question1"}, pair: []string{"question2"}, label: []string{"is_duplicate", "label"}},
	TaskMNLI: {text: []string{"sentence1", "premise"}, pair: []string{"sentence2", "hypothesis"}, label: []string{"gold_label", "label"}},
}

// tsvReader reads tab-separated rows without quoting, as GLUE's are: a quote is a character like any other.
type tsvReader struct {
	in      *lineReader
	task    Task
	layout  tsvLayout
	row     int
	columns int      // 0 before the header
	text    int      // columns
	pair    int      // -1 for none
	label   int      //
	unit    int      // -1 for none
	name    string   // the unit's column
	labels  []string // names of the classes
	pending []string // a first row that was no header
}

func newTSVReader(r io.Reader, f DataFormat) rowReader {
	return &tsvReader{in: &lineReader{r: bufio.NewReader(r)}, task: f.Task, layout: tsvLayouts[f.Task], pair: -1, unit: -1, name: f.UnitColumn, labels: f.labels()}
}

func (t *tsvReader) next() (Record, error) {
	if t.columns == 0 {
		fields, err := t.read()
		if err != nil {
			return Record{}, err
		}
		if err := t.header(fields); err != nil {
			return Record{}, err
		}
	}
	t.row++
	fields := t.pending
	t.pending = nil
	if fields == nil {
		var err error
		if fields, err = t.read(); err != nil {
			return Record{}, err
		}
	}
	for t.task == TaskQQP && len(fields) < t.columns {
		// GLUE's QQP has questions that a line break tears apart; its own readers leave these lines out too.
		var err error
		if fields, err = t.read(); err != nil {
			return Record{}, err
		}
	}
	rec, err := t.record(fields)
	return rec, at(t.row, t.in.line, err)
}

// read gives the fields of the next line that is not empty.
func (t *tsvReader) read() ([]string, error) {
	for {
		line, err := t.in.read()
		if err == errLineTooLong {
			return nil, &RowError{Row: t.row, Line: t.in.line, Problem: problemTooLong}
		}
		if err != nil {
			return nil, err
		}
		if len(line) > 0 {
			return strings.Split(string(line), "\t"), nil
		}
	}
}

// header finds the columns. SST-2 files come without a header too; their label is then the column that is a class.
func (t *tsvReader) header(fields []string) error {
	t.columns = len(fields)
	column := func(names []string) int {
		return slices.IndexFunc(fields, func(f string) bool { return slices.Contains(names, strings.TrimSpace(f)) })
	}
	t.text, t.label = column(t.layout.text), column(t.layout.label)
	found := t.text >= 0 && t.label >= 0
	if t.layout.pair != nil {
		t.pair = column(t.layout.pair)
		found = found && t.pair >= 0
	}
	if found {
		var err error
		t.unit, err = unitIndex(fields, t.name)
		return err
	}
	if t.task == TaskSST2 && t.name == "" && len(fields) == 2 && !slices.Contains(fields, "label") {
		if label := slices.IndexFunc(fields, isClass); label >= 0 {
			t.label, t.text, t.pending = label, 1-label, fields
			return nil
		}
	}
	needed := []string{t.layout.text[0], t.layout.label[0]}
	if t.layout.pair != nil {
		needed = slices.Insert(needed, 1, t.layout.pair[0])
	}
	return &RowError{Line: t.in.line, Problem: fmt.Sprintf("the header lacks a column; task %s needs %s, separated by tabs", t.task, strings.Join(needed, ", "))}
}

func isClass(field string) bool {
	_, err := strconv.Atoi(field)
	return err == nil
}

func (t *tsvReader) record(fields []string) (Record, error) {
	if len(fields) != t.columns {
		return Record{}, &RowError{Problem: fmt.Sprintf("there are %d fields, but the first line has %d", len(fields), t.columns)}
	}
	rec := Record{Row: t.row, Text: fields[t.text]}
	if err := checkField(t.layout.text[0], rec.Text); err != nil {
		return Record{}, err
	}
	if t.pair >= 0 {
		rec.Pair = fields[t.pair]
		if err := checkField(t.layout.pair[0], rec.Pair); err != nil {
			return Record{}, err
		}
	}
	var err error
	if rec.Unit, err = unitOf(fields, t.unit, t.name); err != nil {
		return Record{}, err
	}
	// The fields of a row share its bytes, of which most may be in columns that are not used, such as MNLI's parses.
	rec.Text, rec.Pair, rec.Unit = strings.Clone(rec.Text), strings.Clone(rec.Pair), strings.Clone(rec.Unit)
	rec.Label, err = labelNumber(t.layout.label[0], fields[t.label], t.labels)
	return rec, err
}
