package openai

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"net/http"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// embeddingRequest is the body of POST /v1/embeddings.
type embeddingRequest struct {
	Model      string          `json:"model"`
	Input      json.RawMessage `json:"input"`
	Format     *string         `json:"encoding_format"`
	Dimensions *int            `json:"dimensions"`

	inputs []input
}

// parseEmbedding reads and checks a request.
func parseEmbedding(data []byte) (*embeddingRequest, error) {
	q := &embeddingRequest{}
	if err := serve.ParseJSON(data, q); err != nil {
		return nil, err
	}
	if f := or(q.Format, "float"); f != "float" && f != "base64" {
		return nil, serve.BadRequest("encoding_format", "encoding_format is %s; it must be float or base64", quoted(f))
	}
	if q.Dimensions != nil && *q.Dimensions < 1 {
		return nil, serve.BadRequest("dimensions", "dimensions is %d; it must be at least 1", *q.Dimensions)
	}
	if !given(q.Input) {
		return nil, serve.BadRequest("input", "input is missing")
	}
	var err error
	if q.inputs, err = inputs("input", q.Input); err != nil {
		return nil, err
	}
	for _, in := range q.inputs {
		if in.ids == nil && in.text == "" {
			return nil, serve.BadRequest("input", "input has an empty string")
		}
	}
	return q, nil
}

type embeddingObject struct {
	Object    string `json:"object"`
	Index     int    `json:"index"`
	Embedding any    `json:"embedding"` // []float32, or base64 of them
}

func (a *api) embeddings(w http.ResponseWriter, r *http.Request) error {
	data, err := serve.ReadBody(r)
	if err != nil {
		return err
	}
	q, err := parseEmbedding(data)
	if err != nil {
		return err
	}
	if most := a.server.Limits().Inputs; len(q.inputs) > most {
		return serve.BadRequest("input", "input has %d texts; one request may have %d", len(q.inputs), most)
	}
	lease, err := a.acquire(r, q.Model)
	if err != nil {
		return err
	}
	defer lease.Release()
	vectors, tokens, err := q.embed(r, lease)
	if err != nil {
		return err
	}
	answer := struct {
		Object string            `json:"object"`
		Data   []embeddingObject `json:"data"`
		Model  string            `json:"model"`
		Usage  usage             `json:"usage"`
	}{Object: "list", Model: q.Model, Usage: usage{Prompt: tokens, Total: tokens}}
	for i, v := range vectors {
		if q.Dimensions != nil && *q.Dimensions != len(v) {
			return serve.BadRequest("dimensions", "dimensions is %d; the model's vectors have %d, and a part of one is no embedding", *q.Dimensions, len(v))
		}
		one := embeddingObject{"embedding", i, v}
		if or(q.Format, "float") == "base64" {
			one.Embedding = base64Floats(v)
		}
		answer.Data = append(answer.Data, one)
	}
	return serve.WriteJSON(w, http.StatusOK, answer)
}

// embed computes the vectors and counts the tokens.
func (q *embeddingRequest) embed(r *http.Request, lease *serve.Lease) ([][]float32, int, error) {
	m := lease.Model()
	var encoded []tokenize.Encoding
	if q.inputs[0].ids != nil {
		longest, err := m.MaxTokens()
		if err != nil {
			return nil, 0, err
		}
		for i, in := range q.inputs {
			if longest > 0 && len(in.ids) > longest {
				return nil, 0, serve.BadRequest("input", "input %d has %d tokens; the model takes %d", i+1, len(in.ids), longest)
			}
			encoded = append(encoded, tokenize.Encoding{IDs: in.ids, TypeIDs: make([]int32, len(in.ids))})
		}
	} else {
		texts := make([]runtime.TextPair, len(q.inputs))
		for i, in := range q.inputs {
			texts[i].Text = in.text
		}
		var err error
		if encoded, err = m.EncodeTexts(r.Context(), texts, runtime.TextOptions{}); err != nil {
			return nil, 0, err
		}
	}
	tokens := 0
	for _, e := range encoded {
		tokens += len(e.IDs)
	}
	vectors, err := m.EmbedIDs(r.Context(), encoded, runtime.EmbedOptions{})
	return vectors, tokens, err
}

// base64Floats is the form that SDKs ask for: little-endian float32.
func base64Floats(v []float32) string {
	data := make([]byte, 4*len(v))
	for i, x := range v {
		binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(x))
	}
	return base64.StdEncoding.EncodeToString(data)
}
