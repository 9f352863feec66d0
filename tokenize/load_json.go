package tokenize

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// tokenizerJSON is the top level of a tokenizer.json. Truncation and padding are read and left alone.
type tokenizerJSON struct {
	Version       string          `json:"version"`
	Truncation    json.RawMessage `json:"truncation"`
	Padding       json.RawMessage `json:"padding"`
	AddedTokens   json.RawMessage `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         json.RawMessage `json:"model"`
}

// description is a tokenizer whose parts are still JSON, whichever files they came from.
type description struct {
	model         builtModel
	added         []addedToken
	normalizer    json.RawMessage
	preTokenizer  json.RawMessage
	postProcessor json.RawMessage
	decoder       json.RawMessage
}

// isTokenizerJSON tells a tokenizer.json from a vocab.json, whose values are all numbers.
func isTokenizerJSON(data []byte) bool {
	var top struct {
		Model json.RawMessage `json:"model"`
	}
	return json.Unmarshal(data, &top) == nil && bytes.HasPrefix(bytes.TrimSpace(top.Model), []byte("{"))
}

// parseTokenizerJSON builds the tokenizer of a tokenizer.json; s holds what the directory's other files say.
func parseTokenizerJSON(data []byte, s settings) (*Tokenizer, error) {
	var file tokenizerJSON
	if err := decodeStrict(data, &file); err != nil {
		return nil, problem("%v", err)
	}
	if file.Version != "" && file.Version != "1.0" {
		return nil, problem("version %s is not supported; supported: 1.0", shown(file.Version))
	}
	d := description{normalizer: file.Normalizer, preTokenizer: file.PreTokenizer, postProcessor: file.PostProcessor, decoder: file.Decoder}
	var err error
	if d.model, err = parseModel(file.Model); err != nil {
		return nil, problem("model: %v", err)
	}
	if d.added, err = decodeList[addedToken](file.AddedTokens, maxAddedTokens); err != nil {
		return nil, problem("added_tokens: %v", err)
	}
	return d.build(s)
}

// component is the tag that every part of a tokenizer.json carries.
type component struct {
	Type string `json:"type"`
}

// componentType is the type of a part, "" for null or nothing.
func componentType(raw json.RawMessage) (string, error) {
	if isNull(raw) {
		return "", nil
	}
	var c component
	if err := json.Unmarshal(raw, &c); err != nil {
		return "", err
	}
	if c.Type == "" {
		return "", fmt.Errorf("it has no \"type\"")
	}
	return c.Type, nil
}

func isNull(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) == 0 || string(raw) == "null"
}

// unsupported is the error for a part that is known not to work, by name, with what does.
func unsupported(typ string, supported ...string) error {
	return fmt.Errorf("%s is not supported; supported: %s", shown(typ), strings.Join(supported, ", "))
}

// decodeStrict decodes data and refuses fields that v does not have: an option that is skipped gives wrong ids.
func decodeStrict(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return jsonError(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("more than one JSON value")
	}
	return nil
}

// jsonError words what encoding/json says at the end of a truncated file.
func jsonError(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("the JSON ends too early")
	}
	return fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "json: "))
}

// decodeList decodes an array of at most limit elements; null is an empty one.
func decodeList[T any](raw json.RawMessage, limit int) ([]T, error) {
	if isNull(raw) {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := expect(dec, '[', "an array"); err != nil {
		return nil, err
	}
	var list []T
	for dec.More() {
		if len(list) == limit {
			return nil, fmt.Errorf("more than %d elements", limit)
		}
		var v T
		if err := dec.Decode(&v); err != nil {
			return nil, fmt.Errorf("element %d: %w", len(list), jsonError(err))
		}
		list = append(list, v)
	}
	return list, nil
}

// decodeVocab decodes an object of token: id, with distinct tokens and distinct ids.
func decodeVocab(raw json.RawMessage) (map[string]int, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if err := expect(dec, '{', "an object of token: id"); err != nil {
		return nil, err
	}
	vocab := map[string]int{}
	seen := map[int]struct{}{}
	for dec.More() {
		if len(vocab) == maxVocabTokens {
			return nil, fmt.Errorf("more than %d tokens", maxVocabTokens)
		}
		key, err := dec.Token()
		if err != nil {
			return nil, jsonError(err)
		}
		token := key.(string) // an object's key always is one
		var id int
		if err := dec.Decode(&id); err != nil {
			return nil, fmt.Errorf("token %s: %w", shown(token), jsonError(err))
		}
		if id < 0 || id > maxID {
			return nil, fmt.Errorf("token %s has id %d; ids must be 0 to %d", shown(token), id, maxID)
		}
		if _, twice := vocab[token]; twice {
			return nil, fmt.Errorf("token %s comes twice", shown(token))
		}
		if _, twice := seen[id]; twice {
			return nil, fmt.Errorf("token %s has id %d, which another token has too", shown(token), id)
		}
		vocab[token], seen[id] = id, struct{}{}
	}
	if _, err := dec.Token(); err != nil {
		return nil, jsonError(err)
	}
	if len(vocab) == 0 {
		return nil, fmt.Errorf("it is empty")
	}
	return vocab, nil
}

func expect(dec *json.Decoder, delim json.Delim, what string) error {
	token, err := dec.Token()
	if err != nil {
		return jsonError(err)
	}
	if token != delim {
		return fmt.Errorf("it must be %s", what)
	}
	return nil
}
