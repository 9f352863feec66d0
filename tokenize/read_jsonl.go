package tokenize

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// jsonReader reads JSON lines: an object a line, its other fields left alone. Blank lines do not count.
type jsonReader struct {
	in     *lineReader
	format DataFormat
	row    int
}

func newJSONLinesReader(r io.Reader, f DataFormat) rowReader {
	return &jsonReader{in: &lineReader{r: bufio.NewReader(r)}, format: f}
}

func (j *jsonReader) next() (Record, error) {
	j.row++
	for {
		line, err := j.in.read()
		if err == errLineTooLong {
			return Record{}, &RowError{Row: j.row, Line: j.in.line, Problem: problemTooLong}
		}
		if err != nil {
			return Record{}, err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		rec, err := j.record(line)
		return rec, at(j.row, j.in.line, err)
	}
}

func (j *jsonReader) record(line []byte) (Record, error) {
	if !utf8.Valid(line) {
		return Record{}, &RowError{Problem: problemUTF8}
	}
	fields, err := jsonObject(line)
	if err != nil {
		return Record{}, err
	}
	rec := Record{Row: j.row, Label: -1}
	texts := map[string]*string{}
	switch j.format.Task {
	case TaskInstruct:
		texts["prompt"], texts["completion"] = &rec.Source, &rec.Target
	default:
		texts["text"] = &rec.Text
	}
	for _, name := range []string{"prompt", "completion", "text"} {
		if to := texts[name]; to != nil {
			if *to, err = jsonString(name, fields[name]); err != nil {
				return Record{}, err
			}
		}
	}
	if j.format.Task == TaskClassify {
		if rec.Label, err = j.label(fields["label"]); err != nil {
			return Record{}, err
		}
	}
	rec.Unit, err = jsonUnit(fields, j.format.UnitColumn)
	return rec, err
}

// jsonObject decodes a line. What encoding/json says about it may hold its content, so only the place is passed on.
func jsonObject(line []byte) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	err := json.Unmarshal(line, &fields)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return nil, &RowError{Problem: fmt.Sprintf("is not JSON (at byte %d)", syntax.Offset)}
	case err != nil || fields == nil:
		return nil, &RowError{Problem: "is not a JSON object"}
	}
	return fields, nil
}

func jsonString(name string, raw json.RawMessage) (string, error) {
	if raw == nil {
		return "", &RowError{Field: name, Problem: problemMissing}
	}
	if raw[0] != '"' {
		return "", &RowError{Field: name, Problem: "must be a string, not " + jsonKind(raw)}
	}
	if loneSurrogate(raw) {
		return "", &RowError{Field: name, Problem: "has half a surrogate pair, so it is not Unicode text"}
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil { // the line was parsed before
		return "", &RowError{Field: name, Problem: "is not a JSON string"}
	}
	return s, nil
}

// jsonKind names the type of a value by its first character.
func jsonKind(raw json.RawMessage) string {
	switch raw[0] {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// label reads an integer, or a string that is one of the label names.
func (j *jsonReader) label(raw json.RawMessage) (int, error) {
	if raw == nil {
		return 0, &RowError{Field: "label", Problem: problemMissing}
	}
	if raw[0] == '"' {
		if len(j.format.LabelNames) == 0 {
			return 0, &RowError{Field: "label", Problem: "is a string, but no label names are given; give them or use integers"}
		}
		name, err := jsonString("label", raw)
		if err != nil {
			return 0, err
		}
		return labelNumber("label", name, j.format.LabelNames)
	}
	label, err := strconv.ParseInt(string(raw), 10, 32)
	if err != nil {
		if kind := jsonKind(raw); kind != "a number" {
			return 0, &RowError{Field: "label", Problem: "must be an integer or a string, not " + kind}
		}
		return 0, &RowError{Field: "label", Problem: "must be an integer of at most 32 bits"}
	}
	if classes := j.format.classes(); label < 0 || classes > 0 && int(label) >= classes {
		if classes > 0 {
			return 0, &RowError{Field: "label", Problem: fmt.Sprintf("is outside 0 to %d", classes-1)}
		}
		return 0, &RowError{Field: "label", Problem: "is negative"}
	}
	return int(label), nil
}

// loneSurrogate finds a \uD800 to \uDFFF without its other half, which encoding/json would turn into U+FFFD.
func loneSurrogate(raw []byte) bool {
	high := false // the escape just before was a high half
	for i := 0; i < len(raw); i++ {
		var unit uint64
		if raw[i] == '\\' && i+1 < len(raw) {
			if raw[i+1] == 'u' && i+6 <= len(raw) {
				unit, _ = strconv.ParseUint(string(raw[i+2:i+6]), 16, 16)
				i += 4
			}
			i++
		}
		low := 0xDC00 <= unit && unit <= 0xDFFF
		if high != low {
			return true
		}
		high = 0xD800 <= unit && unit <= 0xDBFF
	}
	return high
}
