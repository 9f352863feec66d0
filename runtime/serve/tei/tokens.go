package tei

import (
	"encoding/json"
	"net/http"

	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

type tokenizeRequest struct {
	Inputs     json.RawMessage `json:"inputs"`
	Specials   *bool           `json:"add_special_tokens"`
	PromptName *string         `json:"prompt_name"`

	texts []string
}

func parseTokenize(data []byte) (*tokenizeRequest, error) {
	q := &tokenizeRequest{}
	err := serve.ParseJSON(data, q)
	if err != nil {
		return nil, err
	}
	if q.PromptName != nil {
		return nil, unsupported("prompt_name", "put the prompt before the text")
	}
	q.texts, err = texts(q.Inputs)
	return q, err
}

// A token of /tokenize. Where it begins and ends in the text is null.
type token struct {
	ID      int32  `json:"id"`
	Text    string `json:"text"`
	Special bool   `json:"special"`
	Start   *int   `json:"start"`
	Stop    *int   `json:"stop"`
}

func tokenizeTexts(w http.ResponseWriter, c call) error {
	data, err := c.read()
	if err != nil {
		return err
	}
	q, err := parseTokenize(data)
	if err != nil {
		return err
	}
	if err := c.room(len(q.texts)); err != nil {
		return err
	}
	t, err := c.lease.Model().Tokenizer()
	if err != nil {
		return err
	}
	encode := t.Encode
	if q.Specials != nil && !*q.Specials {
		encode = t.EncodePlain
	}
	out := make([][]token, len(q.texts))
	for i, text := range q.texts {
		ids, err := encode(text)
		if err != nil {
			return serve.Errorf(http.StatusUnprocessableEntity, codeTokenizer, "text %d: %v", i+1, err)
		}
		out[i] = make([]token, len(ids))
		for k, id := range ids {
			piece, _ := t.IDToToken(id)
			out[i][k] = token{ID: id, Text: piece, Special: t.IsSpecial(id)}
		}
	}
	return serve.WriteJSON(w, http.StatusOK, out)
}

type decodeRequest struct {
	IDs  json.RawMessage `json:"ids"`
	Skip *bool           `json:"skip_special_tokens"`

	lists [][]int32
}

func parseDecode(data []byte) (*decodeRequest, error) {
	q := &decodeRequest{}
	if err := serve.ParseJSON(data, q); err != nil {
		return nil, err
	}
	var one []int32
	var many [][]int32
	switch {
	case first(q.IDs) != '[':
		return nil, serve.BadRequest("ids", "ids must be a list of token ids, or a list of such lists")
	case json.Unmarshal(q.IDs, &one) == nil:
		many = [][]int32{one}
	case json.Unmarshal(q.IDs, &many) != nil:
		return nil, serve.BadRequest("ids", "ids must be a list of token ids, or a list of such lists")
	}
	for _, ids := range many {
		if len(ids) == 0 {
			return nil, empty("a list of ids")
		}
	}
	q.lists = many
	return q, nil
}

func decodeIDs(w http.ResponseWriter, c call) error {
	data, err := c.read()
	if err != nil {
		return err
	}
	q, err := parseDecode(data)
	if err != nil {
		return err
	}
	if err := c.room(len(q.lists)); err != nil {
		return err
	}
	t, err := c.lease.Model().Tokenizer()
	if err != nil {
		return err
	}
	out := make([]string, len(q.lists))
	for i, ids := range q.lists {
		out[i] = t.Decode(ids, q.Skip == nil || *q.Skip)
	}
	return serve.WriteJSON(w, http.StatusOK, out)
}
