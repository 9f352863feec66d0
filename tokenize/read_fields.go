package tokenize

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// jsonList decodes an array of any values.
func jsonList(name string, raw json.RawMessage) ([]json.RawMessage, error) {
	if raw == nil {
		return nil, &RowError{Field: name, Problem: problemMissing}
	}
	if raw[0] != '[' {
		return nil, &RowError{Field: name, Problem: "must be an array, not " + jsonKind(raw)}
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil { // the value was parsed before
		return nil, &RowError{Field: name, Problem: "is not a JSON array"}
	}
	return list, nil
}

// jsonStrings decodes an array of strings.
func jsonStrings(name string, raw json.RawMessage) ([]string, error) {
	list, err := jsonList(name, raw)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(list))
	for i, item := range list {
		if out[i], err = jsonString(fmt.Sprintf("%s[%d]", name, i), item); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// firstOf is the first of several names that an object has, "" for none.
func firstOf(fields map[string]json.RawMessage, names ...string) string {
	for _, name := range names {
		if fields[name] != nil {
			return name
		}
	}
	return ""
}

// entryUnit is the unit of an entry's records: the value of a field of its own or, where it has none of that name, the
// entry's number in the file, whose name is numbered ("entry", "dialog").
func entryUnit(fields map[string]json.RawMessage, column, numbered string, n int) (string, error) {
	if column == numbered && fields[column] == nil {
		return strconv.Itoa(n), nil
	}
	return jsonUnit(fields, column)
}

// within puts the place of an element before the field of its error.
func within(list string, i int, err error) error {
	var row *RowError
	if !errors.As(err, &row) {
		return err
	}
	place := fmt.Sprintf("%s[%d]", list, i)
	if row.Field == "" {
		row.Field = place
	} else {
		row.Field = place + "." + row.Field
	}
	return row
}
