package runtime

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

const matrix = "../testdata/matrix"

// letters is a byte-level BPE tokenizer of small letters and the blank, with an
// end-of-text token behind every text, as T5 and BART have it.
func letters(t *testing.T, dir string, pad, eos int) {
	t.Helper()
	vocab := map[string]int{"<pad>": pad, "</s>": eos, "<unk>": 3, "Ġ": 4}
	for c := 'a'; c <= 'z'; c++ {
		vocab[string(c)] = 5 + int(c-'a')
	}
	special := func(id int, text string) map[string]any {
		return map[string]any{"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}
	}
	level := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}
	writeJSON(t, filepath.Join(dir, "tokenizer.json"), map[string]any{
		"version": "1.0", "truncation": nil, "padding": nil, "normalizer": nil, "pre_tokenizer": level, "decoder": level,
		"added_tokens": []any{special(pad, "<pad>"), special(eos, "</s>"), special(3, "<unk>")},
		"post_processor": map[string]any{
			"type":           "TemplateProcessing",
			"single":         []any{map[string]any{"Sequence": map[string]any{"id": "A", "type_id": 0}}, map[string]any{"SpecialToken": map[string]any{"id": "</s>", "type_id": 0}}},
			"pair":           []any{map[string]any{"Sequence": map[string]any{"id": "A", "type_id": 0}}, map[string]any{"Sequence": map[string]any{"id": "B", "type_id": 0}}},
			"special_tokens": map[string]any{"</s>": map[string]any{"id": "</s>", "ids": []int{eos}, "tokens": []string{"</s>"}}},
		},
		"model": map[string]any{"type": "BPE", "dropout": nil, "unk_token": "<unk>", "continuing_subword_prefix": nil, "end_of_word_suffix": nil, "fuse_unk": false,
			"byte_fallback": false, "vocab": vocab, "merges": []string{}},
	})
	writeJSON(t, filepath.Join(dir, "tokenizer_config.json"), map[string]any{"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"})
}

func writeJSON(t *testing.T, path string, v any) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// seq2seqDir makes a folder with an encoder–decoder model, a tokenizer and rows.
func seq2seqDir(t *testing.T, name string, pad, eos, start int) FinetuneOptions {
	t.Helper()
	dir := t.TempDir()
	model := filepath.Join(dir, "model")
	if err := os.Mkdir(model, 0o755); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(matrix, name, "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(model, "model.onnx"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	letters(t, model, pad, eos)
	writeJSON(t, filepath.Join(model, "config.json"), map[string]any{"decoder_start_token_id": start, "pad_token_id": pad, "max_position_embeddings": 64})
	var rows strings.Builder
	for i := range 24 {
		fmt.Fprintf(&rows, "{\"prompt\": %q, \"completion\": %q}\n", strings.Repeat("ab c", 1+i%3), strings.Repeat("de", 1+i%5))
	}
	if err := os.WriteFile(filepath.Join(dir, "train.jsonl"), []byte(rows.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return FinetuneOptions{
		Accountant: testAccountant,
		Model:      model, Task: "instruct", Train: filepath.Join(dir, "train.jsonl"), Out: filepath.Join(dir, "out"),
		TargetEpsilon: 3, Steps: 3, ExpectedBatch: 6, LearningRate: 1e-3, MaxLength: 16, Microbatch: 4, Threads: 1,
	}
}

// seq2seqModels are kept exports with their special ids.
var seq2seqModels = map[string][3]int{ // pad, eos, decoder start
	"bart-ts17": {1, 2, 2}, "bart-optimum-o2": {1, 2, 2}, "t5-optimum": {0, 1, 0}, "t5-optimum-o2": {0, 1, 0},
}

func TestEncoderDecoderModelsTrain(t *testing.T) {
	for name, ids := range seq2seqModels {
		t.Run(name, func(t *testing.T) {
			o := seq2seqDir(t, name, ids[0], ids[1], ids[2])
			o.Valid, o.ValidPublic = o.Train, true
			r, err := Finetune(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Steps != 3 || !(r.Epsilon > 0 && r.Epsilon <= 3) {
				t.Errorf("result %+v", r)
			}
			if equalWeights(t, filepath.Join(o.Model, "model.onnx"), filepath.Join(o.Out, "model.onnx")) {
				t.Error("the written model has the weights it began with")
			}
		})
	}
}

// What the model is fed for a row is what transformers feeds it:
// tokenizer(prompt), labels tokenizer(completion), and the labels shifted right
// behind the start token.
func TestEncoderDecoderBatch(t *testing.T) {
	const pad, eos, start = 1, 2, 2
	o := seq2seqDir(t, "bart-ts17", pad, eos, start)
	rows := "{\"prompt\": \"abc\", \"completion\": \"de\"}\n{\"prompt\": \"a\", \"completion\": \"abcd\"}\n{\"prompt\": \"abcdefghijklmnopq\", \"completion\": \"a\"}\n"
	if err := os.WriteFile(o.Train, []byte(rows), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := Open(o.Model, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	r, err := newReader(m, &o)
	if err != nil {
		t.Fatal(err)
	}
	d, err := r.read(t.Context(), o.Train, "train", "")
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.Prepared()
	if err != nil {
		t.Fatal(err)
	}
	b, real, err := d.collate([]int{0, 1, 2}, 6, 4, p.Inputs())
	if err != nil {
		t.Fatal(err)
	}
	if d.loss != "seq2seq" || !slices.Equal(real, []bool{true, true, false, false}) {
		t.Errorf("loss %s, rows %v", d.loss, real)
	}
	a := func(c rune) int64 { return 5 + int64(c-'a') }
	none := []int64{pad, pad, pad, pad, pad, pad}
	for name, want := range map[string][][]int64{
		"input_ids":              {{a('a'), a('b'), a('c'), eos, pad, pad}, {a('a'), eos, pad, pad, pad, pad}, none, none},
		"attention_mask":         {{1, 1, 1, 1, 0, 0}, {1, 1, 0, 0, 0, 0}, {1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1}},
		"labels":                 {{a('d'), a('e'), eos, -100, -100, -100}, {a('a'), a('b'), a('c'), a('d'), eos, -100}, {-100, -100, -100, -100, -100, -100}, {-100, -100, -100, -100, -100, -100}},
		"decoder_input_ids":      {{start, a('d'), a('e'), eos, pad, pad}, {start, a('a'), a('b'), a('c'), a('d'), eos}, {start, pad, pad, pad, pad, pad}, {start, pad, pad, pad, pad, pad}},
		"decoder_attention_mask": {{1, 1, 1, 0, 0, 0}, {1, 1, 1, 1, 1, 0}, {1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1}},
	} {
		tensor := b.Inputs[name]
		if name == "labels" {
			tensor = b.Loss[name]
		}
		got, err := ort.Data[int64](tensor)
		if err != nil || !slices.Equal(got, slices.Concat(want...)) {
			t.Errorf("%s: %v, want %v (%v)", name, got, want, err)
		}
	}
}

func TestEncoderDecoderModelsRefuse(t *testing.T) {
	for what, c := range map[string]struct {
		change func(o *FinetuneOptions)
		says   string
	}{
		"a decoder's task": {func(o *FinetuneOptions) { o.Task = "lm" }, "instruct"},
		"no start token":   {func(o *FinetuneOptions) { writeJSON(t, filepath.Join(o.Model, "config.json"), map[string]any{}) }, "decoder_start_token_id"},
		"a start token beyond": {func(o *FinetuneOptions) {
			writeJSON(t, filepath.Join(o.Model, "config.json"), map[string]any{"decoder_start_token_id": 97})
		}, "97"},
		"samples": {func(o *FinetuneOptions) { o.SamplePrompts = o.Train }, "--sample-prompts"},
	} {
		o := seq2seqDir(t, "bart-ts17", 1, 2, 2)
		c.change(&o)
		_, err := Finetune(t.Context(), o)
		if ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", what, err)
		}
		if exists(o.Out) {
			t.Errorf("%s: the output directory was made", what)
		}
	}
}
