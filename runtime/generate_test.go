package runtime

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

const pretrained = "../testdata/demo/pretrained"

func openPath(t *testing.T, path string) *Model {
	t.Helper()
	m, err := Open(path, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// naive continues one prompt by the plainest loop there is: one row, the whole
// text, the largest logit of the last position.
func naive(t *testing.T, m *Model, prompt []int32, count int, eos int32) []int32 {
	t.Helper()
	ids := make([]int64, len(prompt))
	for i, id := range prompt {
		ids[i] = int64(id)
	}
	var out []int32
	for range count {
		shape := []int64{1, int64(len(ids))}
		x, err := ort.NewTensor(shape, ids)
		if err != nil {
			t.Fatal(err)
		}
		ones := make([]int64, len(ids))
		for i := range ones {
			ones[i] = 1
		}
		mask, err := ort.NewTensor(shape, ones)
		if err != nil {
			t.Fatal(err)
		}
		r, err := m.Run(t.Context(), map[string]*ort.Tensor{"input_ids": x, "attention_mask": mask}, "logits")
		if err != nil {
			t.Fatal(err)
		}
		logits, err := ort.Data[float32](r["logits"])
		if err != nil {
			t.Fatal(err)
		}
		v := len(logits) / len(ids)
		last, best := logits[len(logits)-v:], 0
		for i := range last {
			if last[i] > last[best] {
				best = i
			}
		}
		ids, out = append(ids, int64(best)), append(out, int32(best))
		if int32(best) == eos {
			break
		}
	}
	return out
}

// The continuation of a prompt is the naive loop's, whatever other prompts,
// shorter and longer, are continued with it.
func TestGenerateAgainstNaiveLoop(t *testing.T) {
	m := openPath(t, pretrained)
	prompts := [][]int32{{5}, {7, 300, 21}, {9, 10, 400}, {1, 2, 3, 4, 5, 6, 7}, {9, 10, 401}}
	for len(prompts) < generateRows+4 { // more than one run of one length
		prompts = append(prompts, []int32{int32(20 + len(prompts)), 30})
	}
	const count, eos = 6, 767
	got, err := m.Generate(t.Context(), prompts, GenerateOptions{MaxNewTokens: count})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range prompts {
		if want := naive(t, m, p, count, eos); !slices.Equal(got[i], want) {
			t.Errorf("prompt %v: %v, the naive loop gives %v", p, got[i], want)
		}
	}
}

func TestGenerateStopsAtEOS(t *testing.T) {
	m := openPath(t, pretrained)
	prompt := [][]int32{{9, 10, 400}}
	all, err := m.Generate(t.Context(), prompt, GenerateOptions{MaxNewTokens: 12, EOS: []int64{}})
	if err != nil {
		t.Fatal(err)
	}
	stop := all[0][4]
	got, err := m.Generate(t.Context(), prompt, GenerateOptions{MaxNewTokens: 12, EOS: []int64{int64(stop)}})
	if err != nil {
		t.Fatal(err)
	}
	want := all[0][:slices.Index(all[0], stop)+1] // kept, and nothing after it
	if !slices.Equal(got[0], want) {
		t.Errorf("%v, want %v", got[0], want)
	}
}

// Defaults are transformers': 20 new tokens, unless generation_config.json says
// otherwise.
func TestGenerateDefaults(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"model.onnx", "config.json"} {
		data, err := os.ReadFile(filepath.Join(pretrained, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	prompt := [][]int32{{9, 10, 400}}
	for config, want := range map[string]int{`{}`: 20, `{"max_length": 20}`: 20, `{"max_length": 10}`: 7, `{"max_new_tokens": 4, "eos_token_id": null}`: 4} {
		path := filepath.Join(dir, "generation_config.json")
		if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := openPath(t, dir).Generate(t.Context(), prompt, GenerateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(out[0]); n > want || n < want && out[0][n-1] != 767 {
			t.Errorf("%q: %d new tokens, want %d: %v", config, n, want, out[0])
		}
	}
}

func TestGenerateRefuses(t *testing.T) {
	m := openPath(t, pretrained)
	long := make([]int32, 120)
	for what, c := range map[string]struct {
		prompt []int32
		o      GenerateOptions
		says   string
	}{
		"an empty prompt":         {nil, GenerateOptions{}, "empty"},
		"an id beyond the model":  {[]int32{768}, GenerateOptions{}, "768"},
		"a negative id":           {[]int32{-1}, GenerateOptions{}, "-1"},
		"more than the positions": {long, GenerateOptions{MaxNewTokens: 9}, "128"},
		"no room in the length":   {long[:20], GenerateOptions{MaxLength: 20}, "--max-new-tokens"},
		"no such early stopping":  {[]int32{1}, GenerateOptions{Beams: 2, EarlyStopping: "soon"}, "soon"},
		"a temperature below 0":   {[]int32{1}, GenerateOptions{Sample: On, Temperature: -1}, "temperature"},
		"more texts than beams":   {[]int32{1}, GenerateOptions{Beams: 2, Return: 3}, "num_return_sequences"},
		"a forbidden unknown id":  {[]int32{1}, GenerateOptions{Forbidden: [][]int32{{900}}}, "900"},
		"a negative count":        {[]int32{1}, GenerateOptions{MaxNewTokens: -1}, "-1"},
	} {
		_, err := m.Generate(t.Context(), [][]int32{c.prompt}, c.o)
		if ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := m.Generate(t.Context(), [][]int32{long[:119]}, GenerateOptions{MaxNewTokens: 9, EOS: []int64{}}); err != nil {
		t.Errorf("a text of exactly 128 tokens: %v", err)
	}
}

// Exports that fixed batch or length, or that ask for positions, generate too.
func TestGenerateOnOtherExports(t *testing.T) {
	want := naive(t, openPath(t, filepath.Join(models, "gpt2-dyn18")), []int32{3, 4, 5}, 5, -1)
	for _, name := range []string{"gpt2-ts13", "gpt2-optimum", "gpt2-dyn23"} {
		got, err := openPath(t, filepath.Join(models, name)).Generate(t.Context(), [][]int32{{3, 4, 5}}, GenerateOptions{MaxNewTokens: 5, EOS: []int64{}})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got[0], want) {
			t.Errorf("%s: %v, want %v", name, got[0], want)
		}
	}
}
