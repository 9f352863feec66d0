package convert

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/safetensors"
)

// edit writes a copy of a checkpoint of testdata/decoders with its tensors changed.
func edit(t *testing.T, name, configPatch string, change func([]safetensors.Tensor) []safetensors.Tensor) string {
	t.Helper()
	src, dst := filepath.Join("testdata", "decoders", name), t.TempDir()
	config, err := os.ReadFile(filepath.Join(src, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	weights, err := os.ReadFile(filepath.Join(src, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	tensors, err := safetensors.Parse(weights)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(dst, "config.json"), []byte(edited(t, string(config), configPatch)), 0o644),
		safetensors.WriteFile(filepath.Join(dst, "model.safetensors"), change(tensors), nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	return dst
}

func unchanged(list []safetensors.Tensor) []safetensors.Tensor { return list }

func without(name string) func([]safetensors.Tensor) []safetensors.Tensor {
	return func(list []safetensors.Tensor) []safetensors.Tensor {
		return slices.DeleteFunc(list, func(x safetensors.Tensor) bool { return x.Name == name })
	}
}

// What a checkpoint lacks or has in another shape is named, and nothing is
// written.
func TestCheckpointsThatDoNotFit(t *testing.T) {
	for name, c := range map[string]struct {
		model, config string
		change        func([]safetensors.Tensor) []safetensors.Tensor
		options       Options
		want          []string
	}{
		"a tensor is missing": {"gpt2", `{}`, without("transformer.h.1.mlp.c_fc.bias"), Options{}, []string{"transformer.h.1.mlp.c_fc.bias", "[10]", "missing"}},
		"a head is missing":   {"gpt2-untied-half", `{}`, without("lm_head.weight"), Options{}, []string{"lm_head.weight", "[13 6]"}},
		"another width":       {"gpt2", `{"n_inner": 12}`, unchanged, Options{}, []string{"transformer.h.0.mlp.c_fc.weight", "[6 10]", "[6 12]", "transformer.h.1"}},
		"another vocabulary":  {"llama", `{"vocab_size": 99}`, unchanged, Options{}, []string{"model.embed_tokens.weight", "[13 8]", "[99 8]"}},
		"integers": {"gpt2", `{}`, func(list []safetensors.Tensor) []safetensors.Tensor {
			return append(without("transformer.ln_f.bias")(list), safetensors.Tensor{Name: "transformer.ln_f.bias", DType: "I32", Shape: []int64{6}, Data: make([]byte, 24)})
		}, Options{}, []string{"transformer.ln_f.bias", "int32"}},
		"a copy that differs": {"gpt2", `{}`, func(list []safetensors.Tensor) []safetensors.Tensor {
			return append(list, safetensors.Tensor{Name: "lm_head.weight", DType: "F32", Shape: []int64{13, 6}, Data: make([]byte, 4*13*6)})
		}, Options{}, []string{"lm_head.weight", "transformer.wte.weight", "tie_word_embeddings"}},
		"too large for half": {"gpt2", `{}`, func(list []safetensors.Tensor) []safetensors.Tensor {
			return append(without("transformer.ln_f.bias")(list), safetensors.Tensor{Name: "transformer.ln_f.bias", DType: "F32", Shape: []int64{6}, Floats: []float32{0, 0, 1e6, 0, 0, 0}})
		}, Options{DType: ir.Float16}, []string{"transformer.ln_f.bias", "1e+06", "bfloat16"}},
	} {
		t.Run(name, func(t *testing.T) {
			dst := filepath.Join(t.TempDir(), "out")
			_, err := ToONNX(t.Context(), edit(t, c.model, c.config, c.change), dst, c.options)
			if !errors.Is(err, ErrInput) {
				t.Fatalf("got %v", err)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
			if left, _ := os.ReadDir(filepath.Dir(dst)); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// A base model's own names have no prefix; buffers are not counted as left over,
// other tensors are named.
func TestCheckpointOfABaseModel(t *testing.T) {
	dir := edit(t, "gpt2", `{}`, func(list []safetensors.Tensor) []safetensors.Tensor {
		for i := range list {
			list[i].Name = strings.TrimPrefix(list[i].Name, "transformer.")
		}
		return append(list,
			safetensors.Tensor{Name: "h.0.attn.bias", DType: "BOOL", Shape: []int64{1, 1, 1, 1}, Data: []byte{1}},
			safetensors.Tensor{Name: "stray", DType: "F32", Shape: []int64{0}})
	})
	r, err := ToONNX(t.Context(), dir, filepath.Join(t.TempDir(), "out"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Unused, []string{"stray"}) || len(r.Fresh) > 0 {
		t.Errorf("unused %v, fresh %v", r.Unused, r.Fresh)
	}
	m, err := ir.Open(r.Out)
	if err != nil {
		t.Fatal(err)
	}
	if m.Graph().Inits["transformer.wte.weight"] == nil {
		t.Error("initializers have the names of the class with the head")
	}
}

// A new head is drawn from the seed and said; the rest is the checkpoint's; a head
// that is there and fits is kept.
func TestNewHeads(t *testing.T) {
	head := func(src string, o Options) (*Report, []float32, []float32) {
		dst := filepath.Join(t.TempDir(), "out")
		r, err := ToONNX(t.Context(), src, dst, o)
		if err != nil {
			t.Fatal(err)
		}
		m, err := ir.Open(dst)
		if err != nil {
			t.Fatal(err)
		}
		score, err := m.Graph().Inits["score.weight"].Float32s()
		if err != nil {
			t.Fatal(err)
		}
		table, err := m.Graph().Inits["transformer.wte.weight"].Float32s()
		if err != nil {
			t.Fatal(err)
		}
		return r, score, table
	}
	lm, classifier := filepath.Join("testdata", "decoders", "gpt2"), filepath.Join("testdata", "decoders", "gpt2-classify")
	r, one, table := head(lm, Options{Head: HeadClassify, Labels: 5, Seed: 1})
	if !slices.Equal(r.Fresh, []string{"score.weight"}) || len(one) != 5*6 || r.Class != "GPT2ForSequenceClassification" {
		t.Errorf("fresh %v, %d numbers, class %s", r.Fresh, len(one), r.Class)
	}
	_, same, table2 := head(lm, Options{Head: HeadClassify, Labels: 5, Seed: 1})
	_, other, _ := head(lm, Options{Head: HeadClassify, Labels: 5, Seed: 2})
	if !slices.Equal(one, same) || slices.Equal(one, other) || !slices.Equal(table, table2) {
		t.Error("a head must follow from the seed alone")
	}
	if r, kept, _ := head(classifier, Options{Head: HeadClassify, Labels: 3, Seed: 1}); len(r.Fresh) > 0 || len(kept) != 18 {
		t.Errorf("the checkpoint's head fits, but %v is fresh", r.Fresh)
	}
	if r, _, _ := head(classifier, Options{Labels: 4, Seed: 1}); !slices.Equal(r.Fresh, []string{"score.weight"}) {
		t.Errorf("four labels need a new head, but %v is fresh", r.Fresh)
	}
}

// Initial weights have the distributions that transformers draws from.
func TestInitialWeights(t *testing.T) {
	config, err := ParseConfig([]byte(`{"model_type": "gpt2", "vocab_size": 400, "n_embd": 96, "n_layer": 8, "n_head": 4, "initializer_range": 0.05}`))
	if err != nil {
		t.Fatal(err)
	}
	g, _, _, err := Build(config, nil, Options{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	for name, std := range map[string]float64{
		"transformer.wte.weight": 0.05, "transformer.h.3.attn.c_attn.weight": 0.05, "transformer.h.3.attn.c_proj.weight": 0.05 / 4, // √(2·8)
		"transformer.h.7.mlp.c_proj.weight": 0.05 / 4, "transformer.h.0.mlp.c_fc.bias": 0,
	} {
		v, err := g.Inits[name].Float32s()
		if err != nil {
			t.Fatal(err)
		}
		if mean, got := moments(v); got < 0.97*std || got > 1.03*std || mean > 0.05*std || mean < -0.05*std {
			t.Errorf("%s: mean %g, deviation %g, want %g", name, mean, got, std)
		}
	}
	scale, err := g.Inits["transformer.ln_f.weight"].Float32s()
	if err != nil || slices.Min(scale) != 1 || slices.Max(scale) != 1 {
		t.Errorf("ln_f: %v, %v", scale, err)
	}
	config, err = ParseConfig([]byte(edited(t, tinyLlama, `{"pad_token_id": 2}`)))
	if err != nil {
		t.Fatal(err)
	}
	if g, _, _, err = Build(config, nil, Options{}); err != nil {
		t.Fatal(err)
	}
	table, err := g.Inits["model.embed_tokens.weight"].Float32s()
	if err != nil || slices.Max(table[16:24]) != 0 || slices.Min(table[16:24]) != 0 || table[8] == 0 {
		t.Errorf("the padding id's row must be 0 alone: %v, %v", table, err)
	}
}

func moments(v []float32) (mean, deviation float64) {
	for _, x := range v {
		mean += float64(x)
	}
	mean /= float64(len(v))
	for _, x := range v {
		deviation += (float64(x) - mean) * (float64(x) - mean)
	}
	return mean, math.Sqrt(deviation / float64(len(v)))
}
