package tokenize

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"unicode/utf8"
)

// rowReader reads the rows of one layout. next gives io.EOF at the end; a *RowError in which the file's name is still
// missing; or what reading gave.
type rowReader interface {
	next() (Record, error)
}

// rowReaders makes the reader of a task's layout.
var rowReaders = map[Task]func(r io.Reader, f DataFormat) rowReader{
	TaskE2E:      newCSVReader,
	TaskSST2:     newTSVReader,
	TaskQNLI:     newTSVReader,
	TaskQQP:      newTSVReader,
	TaskMNLI:     newTSVReader,
	TaskDART:     newTriplesReader,
	TaskWebNLG:   newTriplesReader,
	TaskPersona:  newPersonaReader,
	TaskLM:       newJSONLinesReader,
	TaskMLM:      newJSONLinesReader,
	TaskClassify: newJSONLinesReader,
	TaskInstruct: newJSONLinesReader,
}

// Stream reads records one at a time from r, a data file called name in errors. It ends with the first error, which is
// its last element: a *RowError for a bad row or for a file without rows, ctx's error, or what reading r gave.
func Stream(ctx context.Context, name string, r io.Reader, f DataFormat) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		reader, err := newRowReader(r, f)
		if err != nil {
			yield(Record{}, err)
			return
		}
		for rows := 0; ; rows++ {
			rec, err := reader.next()
			switch {
			case err == io.EOF && rows == 0:
				err = &RowError{Problem: "there are no rows"}
			case err == io.EOF:
				return
			case err == nil:
				err = ctx.Err()
			}
			if err != nil {
				yield(Record{}, named(name, err))
				return
			}
			if !yield(rec, nil) {
				return
			}
		}
	}
}

func newRowReader(r io.Reader, f DataFormat) (rowReader, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	newReader, ok := rowReaders[f.Task]
	if !ok {
		return nil, fmt.Errorf("no reader for task %s", shown(string(f.Task)))
	}
	return newReader(withoutBOM(r), f), nil
}

// ReadFile reads all records of a file. Their number is the N of the file: nothing is filtered.
func ReadFile(ctx context.Context, path string, f DataFormat) ([]Record, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	var records []Record
	for rec, err := range Stream(ctx, path, file, f) {
		if err != nil {
			return nil, err
		}
		records = append(records, rec)
	}
	return records, nil
}

// named puts the file's name into an error.
func named(name string, err error) error {
	var row *RowError
	if errors.As(err, &row) {
		row.File = name
		return row
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// withoutBOM drops a byte order mark at the start.
func withoutBOM(r io.Reader) io.Reader {
	b := bufio.NewReader(r)
	if head, err := b.Peek(3); err == nil && string(head) == "\ufeff" {
		_, _ = b.Discard(3) // they are buffered
	}
	return b
}

// lineReader reads lines of at most MaxRowBytes and counts them.
type lineReader struct {
	r    *bufio.Reader
	line int // number of the last line read
	buf  []byte
}

var errLineTooLong = errors.New("line too long")

// read gives the next line without its end; it is valid until the next call. io.EOF comes after the last line.
func (l *lineReader) read() ([]byte, error) {
	l.buf = l.buf[:0]
	l.line++
	for {
		part, err := l.r.ReadSlice('\n')
		if len(l.buf)+len(part) > MaxRowBytes {
			return nil, errLineTooLong
		}
		l.buf = append(l.buf, part...)
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case err == io.EOF && len(l.buf) > 0, err == nil:
			return trimLineEnd(l.buf), nil
		default:
			return nil, err
		}
	}
}

func trimLineEnd(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	return b
}

// The problems that several readers meet.
const (
	problemUTF8    = "is not UTF-8"
	problemMissing = "is missing"
)

var problemTooLong = fmt.Sprintf("the row is longer than %d bytes", MaxRowBytes)

// checkField refuses a field that is not UTF-8.
func checkField(name, value string) error {
	if utf8.ValidString(value) {
		return nil
	}
	return &RowError{Field: name, Problem: problemUTF8}
}

// at puts row and line into a row error.
func at(row, line int, err error) error {
	var e *RowError
	if errors.As(err, &e) {
		e.Row, e.Line = row, line
		return e
	}
	return err
}

// labelNumber finds the class of a label's name.
func labelNumber(field, name string, names []string) (int, error) {
	for i, n := range names {
		if n == name {
			return i, nil
		}
	}
	return 0, &RowError{Field: field, Problem: fmt.Sprintf("is none of the %d labels", len(names))}
}
