package tei

import (
	"encoding/json"
	"net/http"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

type embedRequest struct {
	Inputs     json.RawMessage `json:"inputs"`
	Normalize  *bool           `json:"normalize"`
	PromptName *string         `json:"prompt_name"`
	Dimensions *int            `json:"dimensions"`
	truncation

	texts   []string
	options runtime.EmbedOptions
}

func parseEmbed(data []byte) (*embedRequest, error) {
	q := &embedRequest{}
	err := serve.ParseJSON(data, q)
	if err != nil {
		return nil, err
	}
	if q.PromptName != nil {
		return nil, unsupported("prompt_name", "put the prompt before the text")
	}
	if q.options.TextOptions, err = q.truncation.options(); err != nil {
		return nil, err
	}
	q.options.Raw = q.Normalize != nil && !*q.Normalize
	q.texts, err = texts(q.Inputs)
	return q, err
}

// embed gives every text its vector, of length 1 unless normalize is false.
func embed(w http.ResponseWriter, c call) error {
	data, err := c.read()
	if err != nil {
		return err
	}
	q, err := parseEmbed(data)
	if err != nil {
		return err
	}
	if err := c.room(len(q.texts)); err != nil {
		return err
	}
	vectors, err := c.lease.Model().Embed(c.Context(), q.texts, q.options)
	if err != nil {
		return err
	}
	if d := q.Dimensions; d != nil && *d != len(vectors[0]) {
		return serve.BadRequest("dimensions", "dimensions is %d; the model's vectors have %d, and a part of one is no embedding", *d, len(vectors[0]))
	}
	return serve.WriteJSON(w, http.StatusOK, vectors)
}
