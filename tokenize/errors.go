package tokenize

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A LoadError says what is wrong with a tokenizer's file.
type LoadError struct {
	Path    string // the file or directory
	Problem string // what is wrong, and what to do
}

// Error is one line.
func (e *LoadError) Error() string {
	if e.Path == "" {
		return "tokenizer: " + e.Problem
	}
	return fmt.Sprintf("tokenizer %s: %s", e.Path, e.Problem)
}

// A RowError says where a data file is wrong. It never holds the row's content, for the data are private.
type RowError struct {
	File    string // empty where the reader of the error knows it
	Row     int    // counted from 1, without the header and blank lines; 0 when no row is meant
	Entry   int    // where several rows stand in one entry of the file, its number from 1; 0 elsewhere
	Line    int    // line of the file, from 1; 0 when unknown
	Field   string // name of the field; empty when the whole row is meant
	Problem string
}

// Error is one line.
func (e *RowError) Error() string {
	var parts []string
	if e.File != "" {
		parts = append(parts, e.File)
	}
	if e.Entry > 0 {
		parts = append(parts, fmt.Sprintf("entry %d", e.Entry))
	}
	switch {
	case e.Row > 0 && e.Line > 0:
		parts = append(parts, fmt.Sprintf("row %d (line %d)", e.Row, e.Line))
	case e.Row > 0:
		parts = append(parts, fmt.Sprintf("row %d", e.Row))
	case e.Line > 0:
		parts = append(parts, fmt.Sprintf("line %d", e.Line))
	}
	if e.Field != "" {
		parts = append(parts, fmt.Sprintf("field %q", e.Field))
	}
	return strings.Join(append(parts, e.Problem), ": ")
}

// shown quotes a string out of a tokenizer's file for an error message: one line, of bounded length.
func shown(s string) string {
	const limit = 40
	if len(s) > limit {
		cut := limit
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		return strconv.Quote(s[:cut]) + "…"
	}
	return strconv.Quote(s)
}
