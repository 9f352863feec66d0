package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

// quoted shows what a client sent, in bounds.
func quoted(s string) string {
	if len(s) > 100 {
		s = strings.ToValidUTF8(s[:100], "") + "…"
	}
	return fmt.Sprintf("%q", s)
}

// given says that a field is there and not null.
func given(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) > 0 && !bytes.Equal(raw, []byte("null"))
}

// kindOf is the first character of a value, which tells JSON's kinds apart.
func kindOf(raw json.RawMessage) byte {
	if raw = bytes.TrimSpace(raw); len(raw) > 0 {
		return raw[0]
	}
	return 0
}

// A refusedField is one that would change the answer and is not built here.
type refusedField struct {
	name string
	// harmless are values that ask for what happens anyway.
	harmless []string
	why      string
}

// refuse looks for such fields in a request.
func refuse(data []byte, fields []refusedField) error {
	var object map[string]json.RawMessage
	if err := serve.ParseJSON(data, &object); err != nil {
		return err
	}
	for _, f := range fields {
		raw, ok := object[f.name]
		if !ok || !given(raw) || isOneOf(raw, f.harmless) {
			continue
		}
		e := serve.BadRequest(f.name, "%s is not supported: %s", f.name, f.why)
		e.Code = serve.CodeUnsupported
		return e
	}
	return nil
}

func isOneOf(raw json.RawMessage, values []string) bool {
	var compact bytes.Buffer
	if json.Compact(&compact, raw) != nil {
		return false
	}
	for _, v := range values {
		if compact.String() == v {
			return true
		}
	}
	return false
}

// stringOrList reads a string or a list of strings.
func stringOrList(field string, raw json.RawMessage) ([]string, error) {
	if !given(raw) {
		return nil, nil
	}
	var one string
	if kindOf(raw) == '"' {
		err := json.Unmarshal(raw, &one)
		return []string{one}, err
	}
	var many []string
	if err := json.Unmarshal(raw, &many); err != nil {
		return nil, serve.BadRequest(field, "%s must be a string or a list of strings", field)
	}
	return many, nil
}
