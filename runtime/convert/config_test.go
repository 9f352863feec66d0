package convert

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// edited is a JSON object with fields replaced; the value null removes nothing.
func edited(t testing.TB, base, patch string) string {
	t.Helper()
	var a, b map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal([]byte(base), &a), json.Unmarshal([]byte(patch), &b)); err != nil {
		t.Fatal(err)
	}
	for k, v := range b {
		a[k] = v
	}
	out, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

const tinyLlama = `{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 11, "hidden_size": 8, "intermediate_size": 6,
	"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}`

// What the graph depends on and is not known is refused by field, value and
// remedy.
func TestConfigsThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		base, patch string
		options     Options
		want        []string
	}{
		"unknown model type":      {tinyGPT2, `{"model_type": "mamba"}`, Options{}, []string{"model_type", "mamba", "gpt2", "optimum"}},
		"no model type":           {tinyGPT2, `{"model_type": null}`, Options{}, []string{"model_type", "gpt2"}},
		"a number for a name":     {tinyGPT2, `{"model_type": 3}`, Options{}, []string{"model_type", "3", "a text"}},
		"unknown activation":      {tinyGPT2, `{"activation_function": "mish2"}`, Options{}, []string{"activation_function", "mish2", "gelu_new"}},
		"width as text":           {tinyGPT2, `{"n_embd": "6"}`, Options{}, []string{"n_embd", `"6"`, "whole number"}},
		"width of no heads":       {tinyGPT2, `{"n_head": 4}`, Options{}, []string{"n_head", "4", "6"}},
		"negative vocabulary":     {tinyGPT2, `{"vocab_size": -1}`, Options{}, []string{"vocab_size", "-1"}},
		"fraction of a layer":     {tinyGPT2, `{"n_layer": 1.5}`, Options{}, []string{"n_layer", "1.5"}},
		"a billion layers":        {tinyGPT2, `{"n_layer": 1000000000}`, Options{}, []string{"n_layer", "1024"}},
		"a table beyond any file": {tinyGPT2, `{"vocab_size": 2000000000, "n_embd": 2000000000, "n_head": 1}`, Options{}, []string{"out of range"}},
		"infinite eps":            {tinyGPT2, `{"layer_norm_epsilon": 1e999}`, Options{}, []string{"layer_norm_epsilon"}},
		"eps of nothing":          {tinyGPT2, `{"layer_norm_epsilon": 0}`, Options{}, []string{"layer_norm_epsilon", "above 0"}},
		"cross attention":         {tinyGPT2, `{"add_cross_attention": true}`, Options{}, []string{"add_cross_attention", "true"}},
		"quantised":               {tinyGPT2, `{"quantization_config": {"bits": 4}}`, Options{}, []string{"quantization_config", "dequantize"}},
		"pruned":                  {tinyGPT2, `{"pruned_heads": {"0": [1]}}`, Options{}, []string{"pruned_heads"}},
		"another class":           {tinyGPT2, `{"architectures": ["GPT2DoubleHeadsModel"]}`, Options{}, []string{"GPT2DoubleHeadsModel", "--head", "GPT2LMHeadModel"}},
		"another head":            {tinyGPT2, `{}`, Options{Head: "mlm"}, []string{"mlm", "classify"}},
		"labels of a language":    {tinyGPT2, `{}`, Options{Labels: 3}, []string{"3 labels", "lm"}},
		"negative labels":         {tinyGPT2, `{}`, Options{Head: HeadClassify, Labels: -1}, []string{"-1"}},
		"cache of a classifier":   {tinyGPT2, `{}`, Options{Head: HeadClassify, Cache: true}, []string{"cache", "classify"}},
		"double precision":        {tinyGPT2, `{}`, Options{DType: ir.Float64}, []string{"float64", "bfloat16"}},
		"labels out of order":     {tinyGPT2, `{"id2label": {"0": "a", "7": "b"}}`, Options{Head: HeadClassify}, []string{"id2label", "0 to 1"}},
		"dynamic rope":            {tinyLlama, `{"rope_scaling": {"rope_type": "dynamic", "factor": 2}}`, Options{}, []string{"rope_scaling", "dynamic", "llama3"}},
		"longrope of version 5":   {tinyLlama, `{"rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4}}`, Options{}, []string{"rope_parameters", "longrope"}},
		"rope without a factor":   {tinyLlama, `{"rope_scaling": {"type": "linear"}}`, Options{}, []string{"factor", "(absent)"}},
		"a part of each head":     {tinyLlama, `{"partial_rotary_factor": 0.5}`, Options{}, []string{"partial_rotary_factor", "0.5"}},
		"odd heads":               {tinyLlama, `{"head_dim": 3}`, Options{}, []string{"3 wide", "even"}},
		"groups that do not fit":  {tinyLlama, `{"num_key_value_heads": 3}`, Options{}, []string{"num_key_value_heads", "3"}},
		"rope as text":            {tinyLlama, `{"rope_scaling": "linear"}`, Options{}, []string{"rope_scaling", "an object"}},
		"layer types of another": {edited(t, tinyLlama, `{"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}`),
			`{"use_sliding_window": true, "sliding_window": 4, "layer_types": ["linear_attention", "full_attention"]}`, Options{}, []string{"layer_types", "linear_attention"}},
		"too few layer types": {edited(t, tinyLlama, `{"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}`),
			`{"use_sliding_window": true, "sliding_window": 4, "layer_types": ["full_attention"]}`, Options{}, []string{"layer_types", "1 layers of 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(t.Context(), writeConfig(t, edited(t, c.base, c.patch)), filepath.Join(t.TempDir(), "out"), c.options)
			if !errors.Is(err, ErrInput) {
				t.Fatalf("got %v", err)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
		})
	}
}

// The spellings of transformers 4 and 5 mean the same.
func TestRopeOfBothVersions(t *testing.T) {
	read := func(text string) Rope {
		c, err := ParseConfig([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		r := c.Rope(8)
		if err := c.Err(); err != nil {
			t.Fatal(err)
		}
		return r
	}
	old := read(`{"model_type": "llama", "rope_theta": 500.0, "rope_scaling": {"type": "linear", "factor": 4.0}}`)
	young := read(`{"model_type": "llama", "rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}}`)
	if !slices.Equal(old.Frequencies, young.Frequencies) || old.Scale != 1 {
		t.Errorf("%v and %v", old, young)
	}
	if want := math.Pow(500, -0.25) / 4; math.Abs(float64(old.Frequencies[1])-want) > 1e-7 {
		t.Errorf("frequency %g, want %g", old.Frequencies[1], want)
	}
}

// Every field is carried over; only what the model became is changed.
func TestConfigIsCarriedOver(t *testing.T) {
	c, err := ParseConfig([]byte(edited(t, tinyGPT2, `{"torch_dtype": "float32", "task_specific_params": {"a": [1e400, 12345678901234567890]}}`)))
	if err != nil {
		t.Fatal(err)
	}
	_, c, _, err = Build(c, nil, Options{Head: HeadClassify, Labels: 3, DType: ir.BFloat16})
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.JSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1e400", "12345678901234567890", `"unknown_field"`, `"torch_dtype": "bfloat16"`, `"GPT2ForSequenceClassification"`, `"LABEL_2": 2`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
}

func FuzzConfig(f *testing.F) {
	for _, s := range []string{tinyGPT2, tinyLlama, `{}`, `null`, `{"model_type": "opt"}`} {
		f.Add([]byte(s))
	}
	dirs, _ := filepath.Glob(filepath.Join("testdata", "*", "*", "config.json"))
	for _, d := range dirs {
		if text, err := os.ReadFile(d); err == nil {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConfig(data)
		if err != nil {
			if !errors.Is(err, ErrInput) {
				t.Fatalf("%v is no bad input", err)
			}
			return
		}
		for _, o := range []Options{{}, {Head: HeadLM, Cache: true}, {Head: HeadClassify, Labels: 2}} {
			g, _, _, err := Build(c, nil, o)
			if err == nil {
				err = g.Sort()
			}
			if err != nil && !errors.Is(err, ErrInput) {
				t.Fatalf("%v is no bad input", err)
			}
		}
	})
}
