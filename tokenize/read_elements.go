package tokenize

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// jsonElements reads the JSON values of a file one at a time: the elements of an array, or values that follow one another
// (JSON lines among them). A value is at most MaxRowBytes long, which bounds the memory.
type jsonElements struct {
	dec    *json.Decoder
	budget *budgetReader
	member string // the array is this member of an object; "" for the file itself
	opened bool
	array  bool
	n      int // of the value read last, from 1
}

func newJSONElements(r io.Reader, member string) *jsonElements {
	budget := &budgetReader{r: r, left: MaxRowBytes + readAhead}
	return &jsonElements{dec: json.NewDecoder(budget), budget: budget, member: member}
}

// next gives the next value, valid UTF-8; io.EOF at the end.
func (e *jsonElements) next() (json.RawMessage, error) {
	if !e.opened {
		if err := e.open(); err != nil {
			return nil, err
		}
	}
	e.n++
	e.budget.left = MaxRowBytes + readAhead
	if e.array && !e.dec.More() {
		return nil, e.end()
	}
	var raw json.RawMessage
	if err := e.dec.Decode(&raw); err != nil {
		if err == io.EOF && !e.array {
			return nil, io.EOF
		}
		return nil, e.problem(err)
	}
	switch {
	case len(raw) > MaxRowBytes:
		return nil, e.problem(errBudget)
	case !utf8.Valid(raw):
		return nil, inEntry(e.n, &RowError{Problem: problemUTF8})
	}
	return raw, nil
}

// open goes to where the values begin.
func (e *jsonElements) open() error {
	e.opened = true
	if e.member != "" {
		return e.find()
	}
	first, err := e.peek()
	if err != nil || first != '[' {
		return err
	}
	e.array = true
	_, err = e.dec.Token()
	return e.problem(err)
}

// peek is the first character that is not white space; 0 for an empty file.
func (e *jsonElements) peek() (byte, error) {
	b := bufio.NewReader(e.budget)
	e.dec = json.NewDecoder(b)
	for {
		c, err := b.ReadByte()
		switch {
		case err == io.EOF:
			return 0, nil
		case err != nil:
			return 0, e.problem(err)
		case !isJSONSpace(c):
			return c, b.UnreadByte()
		}
		e.budget.left = MaxRowBytes + readAhead
	}
}

func isJSONSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// find goes to the array that is the wanted member of the object.
func (e *jsonElements) find() error {
	if _, err := e.dec.Token(); err != nil { // its opening brace: the caller has seen it
		return e.problem(err)
	}
	var names []string
	for e.dec.More() {
		e.budget.left = MaxRowBytes + readAhead
		key, err := e.dec.Token()
		if err != nil {
			return e.problem(err)
		}
		if name, _ := key.(string); name != e.member {
			names = append(names, name)
			if err := e.skip(); err != nil {
				return err
			}
			continue
		}
		open, err := e.dec.Token()
		if err != nil {
			return e.problem(err)
		}
		if open != json.Delim('[') {
			return &RowError{Field: e.member, Problem: "is not an array"}
		}
		e.array = true
		return nil
	}
	if _, err := e.dec.Token(); err != nil {
		return e.problem(err)
	}
	return &RowError{Problem: fmt.Sprintf("the file has no part %s; it has %d others", shown(e.member), len(names))}
}

// skip passes over a value of any size.
func (e *jsonElements) skip() error {
	for depth := 0; ; {
		e.budget.left = MaxRowBytes + readAhead
		token, err := e.dec.Token()
		if err != nil {
			return e.problem(err)
		}
		switch token {
		case json.Delim('['), json.Delim('{'):
			depth++
		case json.Delim(']'), json.Delim('}'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// end checks that an array ends, and with it the file.
func (e *jsonElements) end() error {
	if _, err := e.dec.Token(); err != nil {
		return e.problem(err)
	}
	if e.member != "" {
		return io.EOF
	}
	switch _, err := e.dec.Token(); err {
	case io.EOF:
		return io.EOF
	case nil:
		return &RowError{Problem: "something follows the end of the array"}
	default:
		return e.problem(err)
	}
}

// problem words what encoding/json found wrong; its own messages may hold content.
func (e *jsonElements) problem(err error) error {
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errBudget):
		return inEntry(max(1, e.n), &RowError{Problem: fmt.Sprintf("is longer than %d bytes", MaxRowBytes)})
	case errors.As(err, &syntax):
		return inEntry(max(1, e.n), &RowError{Problem: fmt.Sprintf("is not JSON (near byte %d of the file)", e.dec.InputOffset())})
	case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
		return inEntry(max(1, e.n), &RowError{Problem: "the file ends inside of it"})
	}
	return err
}

// inEntry says in which entry of a file an error is.
func inEntry(n int, err error) error {
	var row *RowError
	if errors.As(err, &row) {
		row.Entry = n
		return row
	}
	return err
}

// sniffed is a file whose beginning was looked at.
type sniffed struct {
	*bufio.Reader
	first byte   // first character that is not white space, 0 for none
	key   string // where that opens an object, its first member's name
}

// sniffBytes is how much of a file is looked at.
const sniffBytes = 4096

func sniff(r io.Reader) sniffed {
	s := sniffed{Reader: bufio.NewReaderSize(r, sniffBytes)}
	head, _ := s.Peek(sniffBytes) // what stops it is met again when the file is read
	head = bytes.TrimLeft(head, " \t\r\n")
	if len(head) == 0 {
		return s
	}
	s.first = head[0]
	if s.first == '{' {
		dec := json.NewDecoder(bytes.NewReader(head))
		_, _ = dec.Token()
		if key, err := dec.Token(); err == nil {
			s.key, _ = key.(string)
		}
	}
	return s
}

// failing is a reader whose file was found bad before its first row.
type failing struct{ err error }

func (f failing) next() (Record, error) { return Record{}, f.err }
