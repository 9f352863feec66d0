package openai

import (
	"encoding/json"

	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

// An input is a text, or the ids of one.
type input struct {
	text string
	ids  []int32 // nil where text counts
}

// inputs reads what prompt and input may be: a string, a list of strings, a list of ids, or a list of lists of ids.
func inputs(field string, raw json.RawMessage) ([]input, error) {
	if kindOf(raw) == '"' {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return nil, serve.BadRequest(field, "%s: %v", field, err)
		}
		return []input{{text: text}}, nil
	}
	var list []json.RawMessage
	if kindOf(raw) != '[' || json.Unmarshal(raw, &list) != nil {
		return nil, serve.BadRequest(field, "%s must be a string, a list of strings, a list of token ids or a list of such lists", field)
	}
	if len(list) == 0 {
		return nil, serve.BadRequest(field, "%s is an empty list", field)
	}
	switch kindOf(list[0]) {
	case '"':
		var texts []string
		if json.Unmarshal(raw, &texts) != nil || !allOfKind(list, '"') {
			return nil, serve.BadRequest(field, "%s has a string first and something else later", field)
		}
		out := make([]input, len(texts))
		for i, t := range texts {
			out[i].text = t
		}
		return out, nil
	case '[':
		out := make([]input, len(list))
		for i, one := range list {
			ids, err := tokenIDs(field, one)
			if err != nil {
				return nil, err
			}
			out[i].ids = ids
		}
		return out, nil
	}
	ids, err := tokenIDs(field, raw)
	return []input{{ids: ids}}, err
}

// allOfKind refuses the nulls that encoding/json would take for empty strings.
func allOfKind(list []json.RawMessage, kind byte) bool {
	for _, one := range list {
		if kindOf(one) != kind {
			return false
		}
	}
	return true
}

func tokenIDs(field string, raw json.RawMessage) ([]int32, error) {
	var list []*int32
	if json.Unmarshal(raw, &list) != nil {
		return nil, serve.BadRequest(field, "%s has something that is no token id", field)
	}
	if len(list) == 0 {
		return nil, serve.BadRequest(field, "%s has an empty list of token ids", field)
	}
	ids := make([]int32, len(list))
	for i, id := range list {
		if id == nil || *id < 0 {
			return nil, serve.BadRequest(field, "%s has something that is no token id", field)
		}
		ids[i] = *id
	}
	return ids, nil
}
