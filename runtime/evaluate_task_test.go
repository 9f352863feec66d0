package runtime

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/runtime/metrics"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

const (
	demoLM       = "../testdata/demo/pretrained"
	demoFeedback = "../testdata/demo/feedback"
	demoTest     = "../testdata/demo/private-test.csv"
)

func writeText(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func openModel(t *testing.T, dir string) *Model {
	t.Helper()
	m, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// TestEvaluateClasses compares a classifier's evaluation with Classify, which runs the model itself.
func TestEvaluateClasses(t *testing.T) {
	texts := []string{"the food was cold", "thank you for the quick help", "when do you open", "it broke again", "lovely", "where is my order ?", "a", "never again"}
	var data strings.Builder
	var pairs []TextPair
	for i, s := range texts {
		fmt.Fprintf(&data, "{\"text\": %q, \"label\": %d}\n", s, i%3)
		pairs = append(pairs, TextPair{Text: s})
	}
	got, err := Evaluate(t.Context(), EvaluateOptions{Model: demoFeedback, Task: "classify", Data: writeText(t, "data.jsonl", data.String()), Batch: 3})
	if err != nil {
		t.Fatal(err)
	}
	classes, err := openModel(t, demoFeedback).Classify(t.Context(), pairs, ClassifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	right, loss := 0, 0.0
	for i, c := range classes {
		if c.Best() == i%3 {
			right++
		}
		loss -= math.Log(c.Scores[i%3]) / float64(len(texts))
	}
	if got.Rows != len(texts) || got.Records != len(texts) || got.Accuracy != float64(right)/float64(len(texts)) || math.Abs(got.ClassScores.Loss-loss) > 1e-5 {
		t.Errorf("%+v; Classify has %d right and cross-entropy %g", got.ClassScores, right, loss)
	}
	if got.F1 != nil || got.Perplexity != nil || got.TextScores != nil {
		t.Errorf("scores that three classes don't have: %+v", got)
	}
}

// TestEvaluateMNLI evaluates both files.
func TestEvaluateMNLI(t *testing.T) {
	file := func(n int) string {
		rows := "sentence1\tsentence2\tgold_label\n"
		for i := range n {
			rows += fmt.Sprintf("the shop is open\tit is number %d\t%s\n", i, tokenize.TaskMNLI.Labels()[i%3])
		}
		return writeText(t, "mnli.tsv", rows)
	}
	got, err := Evaluate(t.Context(), EvaluateOptions{Model: demoFeedback, Task: "mnli", Data: file(4), Mismatched: file(7)})
	if err != nil {
		t.Fatal(err)
	}
	if got.Records != 11 || got.Rows != 4 || got.Mismatched == nil || got.Mismatched.Rows != 7 {
		t.Errorf("%+v", got)
	}
}

// TestEvaluateInfill compares with the logits at the mask.
func TestEvaluateInfill(t *testing.T) {
	rows := []unitRow{{"u", "a b c"}, {"u", "b a"}, {"u", "c c c c"}, {"u", "a"}, {"u", "b b a c"}}
	o := infillOptions(t, rows)
	got, err := Evaluate(t.Context(), EvaluateOptions{Model: o.Model, Task: "sst2", Mode: ModeInfill, Data: o.Train, MaxLength: 24})
	if err != nil {
		t.Fatal(err)
	}
	m := openModel(t, o.Model)
	tok, err := m.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	template, err := tokenize.InfillTemplateOf(tokenize.TaskSST2)
	if err != nil {
		t.Fatal(err)
	}
	f, err := tokenize.NewInfill(tok, template, tokenize.InfillOptions{MaxLength: 24})
	if err != nil {
		t.Fatal(err)
	}
	records, err := tokenize.ReadFile(t.Context(), o.Train, tokenize.DataFormat{Task: tokenize.TaskSST2})
	if err != nil {
		t.Fatal(err)
	}
	right := 0
	for _, r := range records {
		x, err := f.Format(r)
		if err != nil {
			t.Fatal(err)
		}
		feeds := map[string]*ort.Tensor{}
		n := int64(len(x.IDs))
		for _, name := range []string{"input_ids", "attention_mask"} {
			v := make([]int64, n)
			for i := range v {
				if v[i] = 1; name == "input_ids" {
					v[i] = int64(x.IDs[i])
				}
			}
			if feeds[name], err = ort.NewTensor([]int64{1, n}, v); err != nil {
				t.Fatal(err)
			}
		}
		out, err := m.Run(t.Context(), feeds, "logits")
		if err != nil {
			t.Fatal(err)
		}
		logits, err := logitRows(out["logits"], "logits", []int{int(x.MaskPosition)})
		if err != nil {
			t.Fatal(err)
		}
		words := f.LabelWords()
		if guess := logits[0][words[1]] > logits[0][words[0]]; guess == (r.Label == 1) {
			right++
		}
	}
	if got.Rows != len(rows) || got.Accuracy != float64(right)/float64(len(rows)) || got.F1 == nil {
		t.Errorf("%+v; by hand %d right", got.ClassScores, right)
	}
}

// TestEvaluatePerplexity compares with Score, which runs the model itself, a text at a time.
func TestEvaluatePerplexity(t *testing.T) {
	data := filepath.Join("..", "testdata", "demo", "public.jsonl")
	const limit = 20
	got, err := Evaluate(t.Context(), EvaluateOptions{Model: demoLM, Task: "lm", Data: data, Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	records, err := tokenize.ReadFile(t.Context(), data, tokenize.DataFormat{Task: tokenize.TaskLM})
	if err != nil {
		t.Fatal(err)
	}
	m := openModel(t, demoLM)
	tok, err := m.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	format, err := tokenize.NewLM(tok, 128)
	if err != nil {
		t.Fatal(err)
	}
	var want metrics.Likelihood
	for _, r := range records[:limit] {
		x, err := format.Format(r)
		if err != nil {
			t.Fatal(err)
		}
		tokens, err := m.Score(t.Context(), x.IDs, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, token := range tokens[1:] {
			want.Add(-token.LogProb, 1)
		}
	}
	if got.Tokens != want.Tokens || math.Abs(*got.Perplexity/want.Perplexity()-1) > 1e-4 {
		t.Errorf("perplexity %g over %d tokens, want %g over %d", *got.Perplexity, got.Tokens, want.Perplexity(), want.Tokens)
	}
}

// e2eEvaluation evaluates ten rows of five sources quickly.
func e2eEvaluation(t *testing.T) EvaluateOptions {
	t.Helper()
	data, err := os.ReadFile(demoTest)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(data), "\n")[:6]
	rows := lines[0]
	for _, l := range lines[1:] {
		rows += l + l // two references each
	}
	g := PaperDecoding()
	g.Beams, g.MaxNewTokens = 14, 6 // three sources begin together
	return EvaluateOptions{Model: demoLM, Task: "e2e", Data: writeText(t, "test.csv", rows), Generate: &g, Outputs: filepath.Join(t.TempDir(), "outputs.tsv")}
}

// TestEvaluateTexts checks that every distinct source gets the text that its prompt gets alone, and that the scores are
// those of the written file.
func TestEvaluateTexts(t *testing.T) {
	o := e2eEvaluation(t)
	got, err := Evaluate(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if got.Records != 10 || got.TextScores == nil || got.Outputs != 5 || got.OutputsFile != o.Outputs {
		t.Fatalf("%+v", got)
	}
	outputs, err := metrics.ReadOutputs(o.Outputs)
	if err != nil {
		t.Fatal(err)
	}
	groups, err := ReadReferences(t.Context(), "e2e", o.Data, "")
	if err != nil {
		t.Fatal(err)
	}
	items, err := metrics.Pair(groups, o.Data, outputs)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := metrics.ScoreText(items); err != nil || s != *got.TextScores {
		t.Errorf("the file scores %+v, %v; the evaluation %+v", s, err, *got.TextScores)
	}
	m := openModel(t, demoLM)
	tok, err := m.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	format, err := tokenize.NewTableToText(tok, 100)
	if err != nil {
		t.Fatal(err)
	}
	for i, source := range outputs.Sources {
		prompt, err := format.Prompt(tokenize.Record{Source: source})
		if err != nil {
			t.Fatal(err)
		}
		g := *o.Generate
		g.EOS = []int64{int64(tok.Specials().EOS)}
		for _, text := range []string{"\n\n", "\n"} {
			ids, err := tok.EncodePlain(text)
			if err != nil {
				t.Fatal(err)
			}
			g.Forbidden = append(g.Forbidden, ids)
		}
		alone, err := m.Continue(t.Context(), [][]int32{prompt}, g)
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.Join(strings.Fields(alone[0][0].Text), " "); outputs.Texts[i] != want {
			t.Errorf("source %d: %q, alone %q", i+1, outputs.Texts[i], want)
		}
	}
}

// TestEvaluateGoesOn stops an evaluation, tears its file and goes on: the result is that of one that was not stopped, and
// no text is generated twice.
func TestEvaluateGoesOn(t *testing.T) {
	o := e2eEvaluation(t)
	whole, err := Evaluate(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(o.Outputs)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(o.Outputs); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stopped := o
	stopped.Progress = func(_ string, done, _ int) {
		if done == 2 {
			cancel()
		}
	}
	if _, err := Evaluate(ctx, stopped); !errors.Is(err, context.Canceled) {
		t.Fatalf("a cancelled evaluation: %v", err)
	}
	partial := o.Outputs + ".partial"
	data, err := os.ReadFile(partial)
	if err != nil {
		t.Fatal(err)
	}
	kept := strings.Count(string(data), "\n") - 1
	if err := os.WriteFile(partial, append(data, `{"source":4,"te`...), 0o600); err != nil {
		t.Fatal(err)
	}
	other := o
	g := *o.Generate
	g.MaxNewTokens++
	other.Generate = &g
	if _, err := Evaluate(t.Context(), other); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), "belongs to another") {
		t.Errorf("other options: %v", err)
	}
	var done []int
	o.Progress = func(_ string, n, _ int) { done = append(done, n) }
	again, err := Evaluate(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if kept < 2 || kept == 5 || done[0] != kept || !slices.IsSorted(done) || len(done) != 1+5-kept {
		t.Errorf("%d texts were kept; progress %v", kept, done)
	}
	if got, err := os.ReadFile(o.Outputs); err != nil || string(got) != string(want) || *again.TextScores != *whole.TextScores {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	if exists(partial) {
		t.Error("the partial file is still there")
	}
	if _, err := Evaluate(t.Context(), o); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), "exists") {
		t.Errorf("outputs that exist: %v", err)
	}
}

// TestEvaluatePersona evaluates dialogues by F1 and perplexity.
func TestEvaluatePersona(t *testing.T) {
	data := writeText(t, "persona.txt", "1 your persona: i have a bridge.\n2 is it long ?\tit is 80 metres long.\n3 of what ?\tof stone.\n")
	g := PaperDecoding()
	g.Beams, g.MaxNewTokens = 2, 6
	got, err := Evaluate(t.Context(), EvaluateOptions{Model: demoLM, Task: "persona", Data: data, Generate: &g, MaxLength: 100})
	if err != nil {
		t.Fatal(err)
	}
	if got.Records != 2 || got.DialogF1 == nil || *got.DialogF1 < 0 || *got.DialogF1 > 1 || got.Perplexity == nil || !(*got.Perplexity > 1) || got.TextScores != nil {
		t.Errorf("%+v", got)
	}
}

// TestEvaluateBeyondThePositions gives prompts near and beyond the model's 128 positions what room there is.
func TestEvaluateBeyondThePositions(t *testing.T) {
	rows := "mr,ref\n"
	for _, n := range []int{1, 12, 60} {
		rows += fmt.Sprintf("\"name[%s]\",a ref\n", strings.TrimSpace(strings.Repeat("stone bridge ", n)))
	}
	g := PaperDecoding()
	g.Beams = 2
	got, err := Evaluate(t.Context(), EvaluateOptions{Model: demoLM, Task: "e2e", Data: writeText(t, "test.csv", rows), Generate: &g})
	if err != nil {
		t.Fatal(err)
	}
	if got.Outputs != 3 || got.Unanswered != 1 {
		t.Errorf("%+v", got)
	}
}

// TestEvaluateRefuses checks bad options.
func TestEvaluateRefuses(t *testing.T) {
	release := filepath.Join(t.TempDir(), "release")
	for want, change := range map[string]func(*EvaluateOptions){
		"--data is missing":        func(o *EvaluateOptions) { o.Data = "" },
		"unknown task":             func(o *EvaluateOptions) { o.Task = "poetry" },
		"not covered by epsilon":   func(o *EvaluateOptions) { o.Outputs = filepath.Join(release, "x", "outputs.tsv") },
		"generates no texts":       func(o *EvaluateOptions) { o.Task = "lm" },
		"MNLI's":                   func(o *EvaluateOptions) { o.Mismatched = "x.tsv" },
		"--limit -1":               func(o *EvaluateOptions) { o.Limit = -1 },
		"--mode \"tail\"":          func(o *EvaluateOptions) { o.Mode = "tail" },
		"no such file":             func(o *EvaluateOptions) { o.Data = filepath.Join(release, "none.csv") },
		"lacks the columns mr and": func(o *EvaluateOptions) { o.Data = writeText(t, "bad.csv", "a,b\n1,2\n") },
	} {
		o := e2eEvaluation(t)
		change(&o)
		if _, err := Evaluate(t.Context(), o); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
