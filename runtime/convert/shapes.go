package convert

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Shape is the architecture of a well-known model, for benchmarks: a model of
// that size with random weights takes the time and memory of the real one.
type Shape struct {
	Loss   string // that such a model is usually trained with
	Config string // its config.json
}

const (
	gpt2Config    = `{"model_type":"gpt2","architectures":["GPT2LMHeadModel"],"n_embd":%d,"n_layer":%d,"n_head":%d,"n_positions":1024,"vocab_size":50257,"activation_function":"gelu_new","layer_norm_epsilon":1e-5,"tie_word_embeddings":true}`
	robertaConfig = `{"model_type":"roberta","architectures":["RobertaForSequenceClassification"],"hidden_size":%d,"num_hidden_layers":%d,"num_attention_heads":%d,"intermediate_size":%d,"max_position_embeddings":514,"vocab_size":50265,"hidden_act":"gelu","layer_norm_eps":1e-5,"type_vocab_size":1,"pad_token_id":1,"bos_token_id":0,"eos_token_id":2,"num_labels":2}`
	distilConfig  = `{"model_type":"distilbert","architectures":["DistilBertForSequenceClassification"],"dim":%d,"n_layers":%d,"n_heads":%d,"hidden_dim":%d,"max_position_embeddings":512,"vocab_size":30522,"activation":"gelu","num_labels":2}`
)

// shapes by the name that people call them by.
var shapes = map[string]Shape{
	"gpt2":          {"causal-lm", fmt.Sprintf(gpt2Config, 768, 12, 12)},
	"gpt2-medium":   {"causal-lm", fmt.Sprintf(gpt2Config, 1024, 24, 16)},
	"gpt2-large":    {"causal-lm", fmt.Sprintf(gpt2Config, 1280, 36, 20)},
	"roberta-base":  {"classify", fmt.Sprintf(robertaConfig, 768, 12, 12, 3072)},
	"roberta-large": {"classify", fmt.Sprintf(robertaConfig, 1024, 24, 16, 4096)},
	"distilbert":    {"classify", fmt.Sprintf(distilConfig, 768, 6, 12, 3072)},
}

// Shapes names the shapes there are.
func Shapes() []string { return slices.Sorted(maps.Keys(shapes)) }

// ShapeOf returns the shape of that name.
func ShapeOf(name string) (Shape, bool) {
	s, ok := shapes[name]
	return s, ok
}

// NewShape writes a shape with random weights into the folder dir/name, unless it
// is there already, and returns the folder.
func NewShape(ctx context.Context, name, dir string) (string, error) {
	s, ok := shapes[name]
	if !ok {
		return "", bad("unknown shape %q; there are %s", name, strings.Join(Shapes(), ", "))
	}
	dst := filepath.Join(dir, name)
	if _, err := os.Stat(filepath.Join(dst, "model.onnx")); err == nil {
		return dst, nil
	}
	c, err := ParseConfig([]byte(s.Config))
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", bad("%w", err)
	}
	_, err = write(ctx, c, nil, dir, dst, Options{})
	return dst, err
}
