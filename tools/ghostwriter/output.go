package main

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// print writes v as one JSON object with --json, and otherwise calls text.
func (a *app) print(v any, text func()) error {
	if !a.json {
		text()
		return nil
	}
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

// notes writes lines for a person to standard error.
func (a *app) notes(lines []string) {
	for _, line := range lines {
		fmt.Fprintln(a.stderr, line)
	}
}

// printf writes to standard output.
func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.stdout, format, args...) }

// numbers are floats that JSON can carry: NaN and infinities become null.
type numbers []float64

// MarshalJSON implements json.Marshaler.
func (n numbers) MarshalJSON() ([]byte, error) {
	out := []byte{'['}
	for i, x := range n {
		if i > 0 {
			out = append(out, ',')
		}
		if math.IsNaN(x) || math.IsInf(x, 0) {
			out = append(out, "null"...)
		} else {
			out = strconv.AppendFloat(out, x, 'g', -1, 64)
		}
	}
	return append(out, ']'), nil
}

// list is v, or an empty list that JSON writes as [] instead of null.
func list[T any](v []T) []T {
	if v == nil {
		return []T{}
	}
	return v
}
