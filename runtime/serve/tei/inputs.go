package tei

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

// truncation are the fields that say what becomes of a text that is too long.
type truncation struct {
	Truncate  *bool   `json:"truncate"`
	Direction *string `json:"truncation_direction"`
}

func (t truncation) options() (runtime.TextOptions, error) {
	o := runtime.TextOptions{Truncate: t.Truncate != nil && *t.Truncate}
	if t.Direction != nil && *t.Direction != "Right" && *t.Direction != "right" {
		return o, unsupported("truncation_direction", "texts are cut at their end only")
	}
	return o, nil
}

func unsupported(field, why string) *serve.Error {
	e := serve.BadRequest(field, "%s is not supported: %s", field, why)
	e.Code = serve.CodeUnsupported
	return e
}

// invalid is a body of the wrong shape.
func invalid(format string, args ...any) *serve.Error {
	return serve.BadRequest("inputs", format, args...)
}

func empty(what string) *serve.Error {
	return serve.Errorf(http.StatusBadRequest, codeEmpty, "%s is empty", what)
}

// first is the first character of a JSON value.
func first(raw json.RawMessage) byte {
	if raw = bytes.TrimSpace(raw); len(raw) > 0 {
		return raw[0]
	}
	return 0
}

// sequences reads the inputs of /predict: a text, a list of one text or of two, which are a pair, or a list of such lists. single
// says that the answer is no list.
func sequences(raw json.RawMessage) (out []runtime.TextPair, single bool, err error) {
	if first(raw) == '"' {
		one, err := sequence(raw)
		return []runtime.TextPair{one}, true, err
	}
	var list []json.RawMessage
	if first(raw) != '[' || json.Unmarshal(raw, &list) != nil {
		return nil, false, invalid("inputs must be a text, a list of one text or a pair, or a list of such lists")
	}
	if len(list) == 0 {
		return nil, false, empty("inputs")
	}
	if first(list[0]) == '"' {
		one, err := sequence(raw)
		return []runtime.TextPair{one}, true, err
	}
	for _, item := range list {
		one, err := sequence(item)
		if err != nil {
			return nil, false, err
		}
		out = append(out, one)
	}
	return out, false, nil
}

// sequence reads a text, or one or two of them.
func sequence(raw json.RawMessage) (runtime.TextPair, error) {
	texts, err := stringList(raw)
	switch {
	case err != nil:
		return runtime.TextPair{}, err
	case len(texts) < 1 || len(texts) > 2:
		return runtime.TextPair{}, invalid("inputs must have one text or two, a pair; here are %d (a list of texts is [[\"a\"], [\"b\"]])", len(texts))
	case texts[0] == "":
		return runtime.TextPair{}, empty("a text of inputs")
	case len(texts) == 1:
		return runtime.TextPair{Text: texts[0]}, nil
	case texts[1] == "":
		return runtime.TextPair{}, empty("the second text of a pair")
	}
	return runtime.TextPair{Text: texts[0], Pair: texts[1]}, nil
}

// stringList reads a string or a list of them.
func stringList(raw json.RawMessage) ([]string, error) {
	if first(raw) == '"' {
		var one string
		if err := json.Unmarshal(raw, &one); err != nil {
			return nil, invalid("inputs: %v", err)
		}
		return []string{one}, nil
	}
	var many []*string
	if first(raw) != '[' || json.Unmarshal(raw, &many) != nil {
		return nil, invalid("inputs must be a text or a list of texts")
	}
	out := make([]string, len(many))
	for i, s := range many {
		if s == nil {
			return nil, invalid("inputs has a null among its texts")
		}
		out[i] = *s
	}
	return out, nil
}

// texts is stringList, whose texts must not be empty.
func texts(raw json.RawMessage) ([]string, error) {
	out, err := stringList(raw)
	if err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, empty("inputs")
	}
	for _, s := range out {
		if s == "" {
			return nil, empty("a text of inputs")
		}
	}
	return out, nil
}

// room checks how many texts a request has.
func (c call) room(n int) error {
	if n > c.limits.Inputs {
		return invalid("batch size %d > maximum allowed batch size %d", n, c.limits.Inputs)
	}
	return nil
}

// read reads the body.
func (c call) read() ([]byte, error) {
	data, err := serve.ReadBody(c.Request)
	if err == nil && len(data) == 0 {
		err = invalid("the request has no body; send a JSON object")
	}
	return data, err
}
