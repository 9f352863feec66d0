package runtime

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// TestTextsAreMaskedAnew: every step sees other masks, the same step the same ones, validation always those of reading; a
// task without masks sees its examples as they are.
func TestTextsAreMaskedAnew(t *testing.T) {
	f := prepareRun(t, maskedOptions(t, fewUsers()))
	ids := func(d *dataset) (out []tokenize.Example) {
		for k := range d.examples {
			out = append(out, *d.example(k))
		}
		return out
	}
	if read := ids(f.data); !reflect.DeepEqual(read, f.data.examples) {
		t.Error("the data are not those that were read")
	}
	one, two := ids(f.data.drawn(1)), ids(f.data.drawn(2))
	if reflect.DeepEqual(one, two) || reflect.DeepEqual(one, f.data.examples) {
		t.Error("steps do not draw masks of their own")
	}
	if again := ids(f.data.drawn(2).drawn(1)); !reflect.DeepEqual(again, one) {
		t.Error("step 1 has other masks the second time")
	}
	if plain := prepareRun(t, languageOptions(t, fewUsers())).data; plain.drawn(1) != plain {
		t.Error("a task without masks draws some")
	}
}

// TestMaskedLanguageModel: trained without noise on two sentences, a model of random weights learns to fill them in; its
// evaluation is a perplexity over masked tokens.
func TestMaskedLanguageModel(t *testing.T) {
	rows := slices.Repeat([]unitRow{{"a", "it was great ."}, {"b", "it was terrible ."}}, 8)
	o := maskedOptions(t, rows)
	o.UnitColumn, o.RecordsPerUnit, o.TargetEpsilon = "", 0, 0
	o.NoPrivacy, o.Steps, o.ExpectedBatch, o.LearningRate = true, 100, 8, 1e-2
	o.Valid, o.ValidPublic = o.Train, true
	seed := uint64(5) // what is sampled: how far it gets in 100 steps differs from draw to draw
	o.Seed = &seed
	if _, err := Finetune(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	before, err := Evaluate(t.Context(), EvaluateOptions{Model: o.Model, Task: "mlm", Data: o.Train})
	if err != nil {
		t.Fatal(err)
	}
	after, err := Evaluate(t.Context(), EvaluateOptions{Model: o.Out, Task: "mlm", Data: o.Train})
	if err != nil {
		t.Fatal(err)
	}
	if b, a := *before.Perplexity, *after.Perplexity; !(b > 100) || !(a < b/10) {
		t.Errorf("perplexity %.1f before, %.1f after", b, a)
	}
	for name, change := range map[string]func(o *FinetuneOptions){
		"does not generate": func(o *FinetuneOptions) { o.SamplePrompts = o.Train },
		"--mode is for":     func(o *FinetuneOptions) { o.Mode = ModeInfill },
		"no mask token":     func(o *FinetuneOptions) { o.Model, o.Tokenizer = languageOptions(t, rows).Model, "" },
	} {
		bad := o
		bad.Out = filepath.Join(t.TempDir(), "out")
		change(&bad)
		if _, err := Finetune(t.Context(), bad); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one that says %q", err, name)
		}
	}
}
