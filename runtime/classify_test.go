package runtime

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// textModel makes a model directory from a stored model and a tokenizer of letters.
func textModel(t *testing.T, name, config string) *Model {
	t.Helper()
	dir := t.TempDir()
	for _, file := range []string{"model.onnx", "config.json"} {
		data, err := os.ReadFile(filepath.Join(models, name, file))
		if err != nil {
			t.Fatal(err)
		}
		if file == "config.json" && config != "" {
			data = []byte(config)
		}
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	letters(t, dir, 0, 1)
	m, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// alone runs one text by itself, without padding, and returns an output.
func alone(t *testing.T, m *Model, text, output string) *ort.Tensor {
	t.Helper()
	tok, err := m.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	ids, err := tok.Encode(text)
	if err != nil {
		t.Fatal(err)
	}
	wide := make([]int64, len(ids))
	ones, zeros := make([]int64, len(ids)), make([]int64, len(ids))
	for i, id := range ids {
		wide[i], ones[i] = int64(id), 1
	}
	s, err := m.session()
	if err != nil {
		t.Fatal(err)
	}
	feeds := map[string]*ort.Tensor{}
	for _, in := range s.Inputs() {
		feeds[in.Name], _ = ort.NewTensor([]int64{1, int64(len(ids))}, map[string][]int64{"input_ids": wide, "attention_mask": ones, "token_type_ids": zeros}[in.Name])
	}
	out, err := m.Run(t.Context(), feeds, output)
	if err != nil {
		t.Fatal(err)
	}
	return out[output]
}

var manyTexts = []string{"abc", "the quick brown fox", "z", "a longer text that is not like the others", "abc", "x y"}

func pairsOf(texts []string) (out []TextPair) {
	for _, s := range texts {
		out = append(out, TextPair{Text: s})
	}
	return out
}

func TestClassifyIsTheSoftmaxOfEachTextAlone(t *testing.T) {
	m := textModel(t, "bert-ts17", "")
	for _, budget := range []int{0, 1, 30} { // all in one batch, one by one, and between
		got, err := m.Classify(t.Context(), pairsOf(manyTexts), ClassifyOptions{TextOptions: TextOptions{BatchTokens: budget}})
		if err != nil {
			t.Fatal(err)
		}
		for i, text := range manyTexts {
			logits, _ := ort.Data[float32](alone(t, m, text, "logits"))
			var sum float64
			for _, z := range logits {
				sum += math.Exp(float64(z))
			}
			if len(got[i].Scores) != len(logits) || got[i].Labels[2] != "LABEL_2" {
				t.Fatalf("text %d: %+v", i, got[i])
			}
			for k, z := range logits {
				if want := math.Exp(float64(z)) / sum; math.Abs(got[i].Scores[k]-want) > 1e-6 {
					t.Errorf("budget %d, text %d, class %d: %g, alone %g", budget, i, k, got[i].Scores[k], want)
				}
			}
		}
	}
}

func TestClassScores(t *testing.T) {
	for _, c := range []struct {
		problem string
		raw     bool
		in      []float32
		want    []float64
	}{
		{"", false, []float32{1000, 1000}, []float64{.5, .5}},
		{"single_label_classification", false, []float32{0, float32(math.Log(3))}, []float64{.25, .75}},
		{"multi_label_classification", false, []float32{0, float32(math.Log(3))}, []float64{.5, .75}},
		{"", false, []float32{float32(math.Log(3))}, []float64{.75}},
		{"regression", false, []float32{-2.5}, []float64{-2.5}},
		{"", true, []float32{3, 4}, []float64{3, 4}},
	} {
		got, err := classScores(c.in, c.problem, c.raw)
		if err != nil {
			t.Fatal(err)
		}
		for k := range c.want {
			if math.Abs(got[k]-c.want[k]) > 1e-6 {
				t.Errorf("%q %v: %v, want %v", c.problem, c.in, got, c.want)
			}
		}
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		if _, err := classScores([]float32{0, float32(bad)}, "", false); err == nil {
			t.Errorf("%g passed", bad)
		}
	}
}

func TestClassifyRefuses(t *testing.T) {
	m := textModel(t, "bert-ts17", "")
	long := strings.Repeat("a", 70) // 64 positions
	for name, c := range map[string]struct {
		texts []TextPair
		o     TextOptions
	}{
		"too long":        {[]TextPair{{Text: "a"}, {Text: long}}, TextOptions{}},
		"negative length": {[]TextPair{{Text: "a"}}, TextOptions{MaxLength: -1}},
		"not UTF-8":       {[]TextPair{{Text: "a\xff"}}, TextOptions{}},
	} {
		if _, err := m.Classify(t.Context(), c.texts, ClassifyOptions{TextOptions: c.o}); !errors.Is(err, ErrUsage) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), long) {
			t.Errorf("%s: the message repeats the text: %v", name, err)
		}
	}
	if _, err := m.Classify(t.Context(), []TextPair{{Text: long}}, ClassifyOptions{TextOptions: TextOptions{Truncate: true}}); err != nil {
		t.Errorf("truncated: %v", err)
	}
	if _, err := textModel(t, "gpt2-ts17", "").Classify(t.Context(), pairsOf(manyTexts), ClassifyOptions{}); !errors.Is(err, ErrUsage) {
		t.Errorf("a language model classified: %v", err)
	}
	small := textModel(t, "bert-ts17", `{"vocab_size": 20, "max_position_embeddings": 64}`)
	if _, err := small.Classify(t.Context(), []TextPair{{Text: "z"}}, ClassifyOptions{}); !errors.Is(err, ErrUsage) {
		t.Errorf("an id outside the vocabulary: %v", err)
	}
}

// A model without an attention mask can't hide padding: texts of different lengths run apart.
func TestEmbedWithoutMask(t *testing.T) {
	m := textModel(t, "gpt2-base-ts17", "")
	checkVectors(t, m, "mean", func(v []float32, size int, out []float64) {
		for i, x := range v {
			out[i%size] += float64(x) * float64(size) / float64(len(v))
		}
	})
	checkVectors(t, m, "cls", func(v []float32, size int, out []float64) { add(out, v[:size]) })
	checkVectors(t, m, "last", func(v []float32, size int, out []float64) { add(out, v[len(v)-size:]) })
}

func add(out []float64, v []float32) {
	for i, x := range v {
		out[i] += float64(x)
	}
}

func checkVectors(t *testing.T, m *Model, pooling string, pool func(v []float32, size int, out []float64)) {
	t.Helper()
	output, err := m.vectorOutput()
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range []bool{true, false} {
		got, err := m.Embed(t.Context(), manyTexts, EmbedOptions{Pooling: pooling, Raw: raw})
		if err != nil {
			t.Fatal(err)
		}
		for i, text := range manyTexts {
			out := alone(t, m, text, output)
			v, _ := ort.Data[float32](out)
			size := int(out.Shape()[2])
			want := make([]float64, size)
			pool(v, size, want)
			norm := 0.0
			for _, x := range want {
				norm += x * x
			}
			for k := range want {
				if !raw {
					want[k] /= math.Sqrt(norm)
				}
				if math.Abs(float64(got[i][k])-want[k]) > 1e-5 {
					t.Errorf("%s, text %d, %d: %g, want %g", pooling, i, k, got[i][k], want[k])
				}
			}
		}
	}
}

func TestPoolingOfTheDirectory(t *testing.T) {
	dir := t.TempDir()
	if name, err := readPooling(dir); err != nil || name != "mean" {
		t.Errorf("%q, %v", name, err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, "1_Pooling"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "1_Pooling", "config.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}`)
	if name, err := readPooling(dir); err != nil || name != "cls" {
		t.Errorf("%q, %v", name, err)
	}
	for _, bad := range []string{`{`, `{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}`, `{}`} {
		write(bad)
		if _, err := readPooling(dir); !errors.Is(err, ErrUsage) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// Many callers at once get what one gets.
func TestModelsAreSafeForConcurrentUse(t *testing.T) {
	m := textModel(t, "bert-ts17", "")
	want, err := m.Classify(t.Context(), pairsOf(manyTexts), ClassifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	fresh := textModel(t, "bert-ts17", "")
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			got, err := fresh.Classify(context.Background(), pairsOf(manyTexts), ClassifyOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			for i := range want {
				for k := range want[i].Scores {
					if math.Abs(got[i].Scores[k]-want[i].Scores[k]) > 1e-6 {
						t.Errorf("text %d: %v, want %v", i, got[i].Scores, want[i].Scores)
					}
				}
			}
		})
	}
	group.Wait()
}
