package tokenize

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
)

// unitLayouts says how the rows of a task's layout name their unit: in a column of a header, or in a field of an object.
// A task that is not listed has neither.
var unitLayouts = map[Task]string{
	TaskE2E: "column", TaskSST2: "column", TaskQNLI: "column", TaskQQP: "column", TaskMNLI: "column",
	TaskDART: "field", TaskWebNLG: "field", TaskPersona: "field",
	TaskLM: "field", TaskMLM: "field", TaskClassify: "field", TaskInstruct: "field",
}

// checkUnit refuses a unit column where the layout can't have one.
func (f DataFormat) checkUnit() error {
	if f.UnitColumn == "" || unitLayouts[f.Task] != "" {
		return nil
	}
	return fmt.Errorf("the files of task %s have no columns beside their own, so their records can't be grouped by %s", f.Task, shown(f.UnitColumn))
}

// unitIndex finds the unit's column in a header: -1 when none is asked for.
func unitIndex(header []string, column string) (int, error) {
	if column == "" {
		return -1, nil
	}
	at := slices.Index(header, column)
	switch {
	case at < 0:
		return -1, &RowError{Line: 1, Problem: fmt.Sprintf("the header lacks the column %s, by which records are to be grouped", shown(column))}
	case slices.Contains(header[at+1:], column):
		return -1, &RowError{Line: 1, Problem: fmt.Sprintf("the header has the column %s twice; which one groups the records is unknown", shown(column))}
	}
	return at, nil
}

// unitOf takes the unit's value from a row's fields; "" when no column was asked for.
func unitOf(fields []string, at int, column string) (string, error) {
	if at < 0 {
		return "", nil
	}
	if fields[at] == "" {
		return "", &RowError{Field: column, Problem: "is empty; every record needs the unit that it belongs to"}
	}
	return fields[at], checkField(column, fields[at])
}

// plainInteger is the one way in which an integer is written, so that equal numbers are equal strings.
var plainInteger = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)

// jsonUnit takes the unit from an object: a string, or an integer, which stands for the string of its digits.
func jsonUnit(fields map[string]json.RawMessage, column string) (string, error) {
	if column == "" {
		return "", nil
	}
	raw := fields[column]
	switch {
	case raw == nil || string(raw) == "null":
		return "", &RowError{Field: column, Problem: "is missing; every record needs the unit that it belongs to"}
	case raw[0] == '"':
		s, err := jsonString(column, raw)
		if err == nil && s == "" {
			err = &RowError{Field: column, Problem: "is empty; every record needs the unit that it belongs to"}
		}
		return s, err
	case plainInteger.Match(raw):
		return string(raw), nil
	case jsonKind(raw) == "a number":
		return "", &RowError{Field: column, Problem: "must be a string or an integer without fraction and exponent: equal numbers that are written differently would be taken for two units"}
	}
	return "", &RowError{Field: column, Problem: "must be a string or an integer, not " + jsonKind(raw)}
}
