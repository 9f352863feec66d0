package tokenize

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// csvReader reads E2E's csv: a header with the columns mr and ref, fields quoted as in RFC 4180.
type csvReader struct {
	in     *csv.Reader
	budget *budgetReader
	row    int
	mr     int // columns, -1 before the header
	ref    int
	unit   int    // -1 for none
	column string // the unit's name
}

// readAhead is more than encoding/csv, encoding/json and encoding/xml read beyond what they are at.
const readAhead = 64 << 10

// budgetReader fails when more than left bytes are read: a quote that never ends would otherwise read the whole file
// into one row.
type budgetReader struct {
	r    io.Reader
	left int
}

var errBudget = errors.New("row too long")

func (b *budgetReader) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errBudget
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

func newCSVReader(r io.Reader, f DataFormat) rowReader {
	budget := &budgetReader{r: r}
	in := csv.NewReader(budget)
	in.ReuseRecord = true
	return &csvReader{in: in, budget: budget, mr: -1, ref: -1, unit: -1, column: f.UnitColumn}
}

func (c *csvReader) next() (Record, error) {
	if c.mr < 0 {
		if err := c.header(); err != nil {
			return Record{}, err
		}
	}
	c.row++
	fields, err := c.read()
	if err != nil {
		return Record{}, err
	}
	rec := Record{Row: c.row, Source: fields[c.mr], Target: fields[c.ref], Label: -1}
	line, _ := c.in.FieldPos(0)
	for _, f := range []struct{ name, value string }{{"mr", rec.Source}, {"ref", rec.Target}} {
		if err := checkField(f.name, f.value); err != nil {
			return Record{}, at(c.row, line, err)
		}
	}
	if rec.Unit, err = unitOf(fields, c.unit, c.column); err != nil {
		return Record{}, at(c.row, line, err)
	}
	// The strings of a record share one buffer with the columns that are not used.
	rec.Source, rec.Target, rec.Unit = strings.Clone(rec.Source), strings.Clone(rec.Target), strings.Clone(rec.Unit)
	return rec, nil
}

func (c *csvReader) header() error {
	fields, err := c.read()
	if err != nil {
		return err
	}
	for i, name := range fields {
		switch {
		case strings.EqualFold(name, "mr"):
			c.mr = i
		case strings.EqualFold(name, "ref"):
			c.ref = i
		}
	}
	if c.mr < 0 || c.ref < 0 {
		c.mr = -1
		return &RowError{Line: 1, Problem: "the header lacks the columns mr and ref of an E2E file"}
	}
	c.unit, err = unitIndex(fields, c.column)
	return err
}

// read gives the fields of the next row, of at most MaxRowBytes.
func (c *csvReader) read() ([]string, error) {
	start := c.in.InputOffset()
	c.budget.left = MaxRowBytes + readAhead
	fields, err := c.in.Read()
	if err == io.EOF {
		return nil, err
	}
	if errors.Is(err, errBudget) || c.in.InputOffset()-start > MaxRowBytes {
		return nil, &RowError{Row: c.row, Problem: problemTooLong + "; perhaps a quote in it never ends"}
	}
	if err != nil {
		return nil, c.problem(err, len(fields))
	}
	return fields, nil
}

// problem words what encoding/csv found wrong. Its own messages name positions, never content.
func (c *csvReader) problem(err error, fields int) error {
	var parse *csv.ParseError
	if !errors.As(err, &parse) {
		return err
	}
	e := &RowError{Row: c.row, Line: parse.StartLine}
	switch {
	case errors.Is(err, csv.ErrFieldCount):
		e.Problem = fmt.Sprintf("there are %d fields, but the header has %d", fields, c.in.FieldsPerRecord)
	case errors.Is(err, csv.ErrQuote) && c.atEnd():
		e.Problem = "a quote never ends, or a quoted field goes on after its closing quote"
	case errors.Is(err, csv.ErrQuote):
		e.Problem = fmt.Sprintf("a quoted field goes on after its closing quote (line %d, byte %d); quotes inside are doubled", parse.Line, parse.Column)
	case errors.Is(err, csv.ErrBareQuote):
		e.Problem = fmt.Sprintf("a quote inside an unquoted field (line %d, byte %d)", parse.Line, parse.Column)
	default:
		e.Problem = "not csv"
	}
	return e
}

// atEnd says whether the file was read to its end.
func (c *csvReader) atEnd() bool {
	_, err := c.in.Read()
	return err == io.EOF
}
