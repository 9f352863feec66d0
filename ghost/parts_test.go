package ghost_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
)

// What parameters do for attention is told from the graph alone: exporters that lose names, fuse
// operators, pack projections or repeat heads make no difference.
func TestAttentionIsFoundInTheGraph(t *testing.T) {
	for name, want := range map[string]string{ // matrices with each role, in the order q k v out
		"models/gpt2-ts17":             "2 2 2 2", // c_attn packs three
		"models/gpt2-dyn23":            "2 2 2 2",
		"models/gpt2-optimum":          "2 2 2 2",
		"models/roberta-ts13":          "2 2 2 2",
		"matrix/gpt2-optimum-o2":       "2 2 2 2",
		"matrix/bert-optimum-o2":       "2 2 2 2",
		"matrix/albert-optimum":        "1 1 1 1", // one for all layers
		"matrix/falcon-ts17":           "2 2 2 2",
		"matrix/gpt-neox-optimum-past": "2 2 2 2",
		"matrix/llama-ts17-ortopt":     "2 2 2 2",
		"matrix/qwen3-dyn20":           "2 2 2 2", // norms of queries and keys between
		"matrix/phi-ts17":              "2 2 2 2",
		"matrix/t5-optimum":            "6 6 6 6", // encoder, decoder, and between them
		"matrix/bart-optimum-o2":       "6 6 6 6",
		"matrix/deberta-v3-ts17":       "2 2 2 2",
		"matrix/vit-optimum":           "2 2 2 2",
		"matrix/poolformer-dyn18":      "0 0 0 0",
	} {
		count := map[string]int{}
		for _, q := range prepared(t, "../"+name).Parameters {
			for _, role := range q.Attention {
				if len(q.Shape) == 2 {
					count[role]++
				}
			}
		}
		got := make([]string, 0, 4)
		for _, role := range ghost.AttentionRoles {
			got = append(got, string(rune('0'+count[role])))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %s matrices for q k v out, want %s", name, s, want)
		}
	}
}

func TestBiasesOfAttention(t *testing.T) {
	var names []string
	for _, q := range prepared(t, "gpt2-ts17").Parameters {
		if len(q.Attention) > 0 {
			names = append(names, q.Name)
		}
	}
	want := []string{}
	for _, layer := range []string{"0", "1"} {
		for _, leaf := range []string{"c_attn.weight", "c_attn.bias", "c_proj.weight", "c_proj.bias"} {
			want = append(want, "model.transformer.h."+layer+".attn."+leaf)
		}
	}
	slices.Sort(names)
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("parameters of attention %q, want %q", names, want)
	}
}

func TestPartsChooseParameters(t *testing.T) {
	for _, c := range []struct {
		model, pattern string
		want           string
	}{
		{"gpt2-ts17", "part:head", "model.transformer.wte.weight"}, // tied
		{"gpt2-ts17", "part:final_norm", "model.transformer.ln_f.weight model.transformer.ln_f.bias"},
		{"gpt2-ts17", "part:embeddings", "model.transformer.wte.weight model.transformer.wpe.weight"},
		{"bert-optimum", "part:head", "bert.pooler.dense.weight bert.pooler.dense.bias classifier.weight classifier.bias"},
		{"distilbert-ts17", "part:head", "model.pre_classifier.weight model.pre_classifier.bias model.classifier.weight model.classifier.bias"},
		{"../matrix/llama-optimum-past", "part:head+final_norm", "model.norm.weight onnx::MatMul_791"},
		{"gpt2-ts17", "layers:top1", "model.transformer.h.1.*"},
	} {
		r, err := prepared(t, c.model).Inspect([]string{c.pattern}, nil)
		if err != nil {
			t.Errorf("%s, %s: %v", c.model, c.pattern, err)
			continue
		}
		var got []string
		for _, p := range trained(r) {
			got = append(got, p.Name)
		}
		if prefix, ok := strings.CutSuffix(c.want, "*"); ok {
			if len(got) != 12 || slices.ContainsFunc(got, func(n string) bool { return !strings.HasPrefix(n, prefix) }) {
				t.Errorf("%s, %s: %q", c.model, c.pattern, got)
			}
			continue
		}
		want := strings.Fields(c.want)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s, %s: %q, want %q", c.model, c.pattern, got, want)
		}
	}
}

func TestBadPartsAreRefused(t *testing.T) {
	p := prepared(t, "gpt2-ts17")
	for pattern, says := range map[string]string{
		"part:tail": "final_norm", "attention:w": "q, k, v, out", "layers:top0": "top2", "layers:topx": "top2", "part:adapter": "matches no parameter",
	} {
		if _, err := p.Inspect([]string{pattern}, nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v, want one with %q", pattern, err, says)
		}
	}
}
