package dpadam

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Ledgers and budgets are text files of JSON lines that are only appended to: a crash can tear the last one.

// maxLine bounds a line; a plan has some hundred bytes.
const maxLine = 1 << 20

// eachLine calls accept with every line and whether its newline is there, and returns the number of bytes. Faults name the line.
func eachLine(in io.Reader, accept func(line []byte, terminated bool) error) (size int64, err error) {
	reader := bufio.NewReaderSize(in, 1<<16)
	for n := 1; ; n++ {
		line, terminated, err := readLine(reader)
		if err != nil {
			return size, fmt.Errorf("line %d: %w", n, err)
		}
		if len(line) == 0 && !terminated {
			return size, nil
		}
		size += int64(len(line))
		if terminated {
			size++
		}
		if err := accept(line, terminated); err != nil {
			return size, fmt.Errorf("line %d: %w", n, err)
		}
		if !terminated {
			return size, nil
		}
	}
}

// readLine returns the next line without its newline.
func readLine(r *bufio.Reader) (line []byte, terminated bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, false, fmt.Errorf("longer than %d bytes", maxLine)
		}
		switch {
		case err == nil:
			return line[:len(line)-1], true, nil
		case errors.Is(err, io.EOF):
			return line, false, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, false, err
		}
	}
}

// decodeObject reads one line into a struct. torn means that it is no complete JSON object, as after a crash in the middle of a
// write; any other fault is an error.
func decodeObject(data []byte, into any) (torn bool, err error) {
	trimmed := bytes.TrimSpace(data)
	if !json.Valid(data) || len(trimmed) == 0 || trimmed[0] != '{' {
		return true, nil
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return false, fmt.Errorf("%v (written by a newer version?)", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return false, errors.New("text after the JSON object")
	}
	return false, nil
}
