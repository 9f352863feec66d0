package tei

import (
	"net/http"
	"strconv"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

// infoAnswer is what /info says.
type infoAnswer struct {
	Model       string         `json:"model_id"`
	SHA         *string        `json:"model_sha"`
	DType       string         `json:"model_dtype"`
	Kind        map[string]any `json:"model_type"`
	Concurrent  int            `json:"max_concurrent_requests"`
	Length      int            `json:"max_input_length"`
	BatchTokens int            `json:"max_batch_tokens"`
	BatchRows   *int           `json:"max_batch_requests"`
	ClientRows  int            `json:"max_client_batch_size"`
	Truncate    bool           `json:"auto_truncate"`
	Workers     int            `json:"tokenization_workers"`
	Version     string         `json:"version"`
	Revision    *string        `json:"sha"`
	Docker      *string        `json:"docker_label"`
}

func info(w http.ResponseWriter, c call) error {
	longest, err := c.lease.Model().MaxTokens()
	if err != nil {
		return err
	}
	kind, err := kindOf(c)
	if err != nil {
		return err
	}
	return serve.WriteJSON(w, http.StatusOK, infoAnswer{
		Model: c.lease.Name(), DType: "float32", Kind: kind, Concurrent: c.limits.Concurrent, Length: longest, BatchTokens: serve.Batching{}.WithDefaults().Tokens,
		ClientRows: c.limits.Inputs, Workers: 1, Version: runtime.Version,
	})
}

// kindOf says what the model is: a classifier or a re-ranker with its labels, an embedding model, or neither.
func kindOf(c call) (map[string]any, error) {
	labels, err := c.lease.Model().Labels()
	if err != nil {
		return nil, err
	}
	if labels == nil {
		for _, o := range c.lease.Outputs() {
			if o.Name == "logits" {
				_, err := c.lease.ChatTemplate()
				return map[string]any{"generator": map[string]any{"chat": err == nil}}, nil
			}
		}
		return map[string]any{"embedding": map[string]any{}}, nil
	}
	names, ids := map[string]string{}, map[string]int{}
	for k, name := range labels {
		names[strconv.Itoa(k)], ids[name] = name, k
	}
	what := "classifier"
	if len(labels) == 1 {
		what = "reranker"
	}
	return map[string]any{what: map[string]any{"id2label": names, "label2id": ids}}, nil
}
