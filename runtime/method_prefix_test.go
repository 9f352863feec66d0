package runtime

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/adapt"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// peftCase is what PEFT computes with the gpt2 family (testdata/gen/adapters.py).
type peftCase struct {
	InputIDs      [][]int64 `json:"input_ids"`
	AttentionMask [][]int64 `json:"attention_mask"`
	Length, Rank  int
	Alpha         float64
	Prefix        peftTensor
	PrefixLogits  peftTensor `json:"prefix_logits"`
	LoRA          map[string]peftTensor
	LoRALogits    peftTensor `json:"lora_logits"`
}

type peftTensor struct {
	Shape []int64
	Data  []float32
}

func readPEFTCase(t *testing.T) (c peftCase, b *Batch) {
	t.Helper()
	readJSON(t, "../testdata/adapters/gpt2.json", &c)
	b = &Batch{Inputs: map[string]*ort.Tensor{}}
	positions := make([][]int64, len(c.InputIDs)) // of the text, as an export that asks for them wants
	for i, row := range c.InputIDs {
		for k := range row {
			positions[i] = append(positions[i], int64(k))
		}
	}
	for name, rows := range map[string][][]int64{"input_ids": c.InputIDs, "attention_mask": c.AttentionMask, "position_ids": positions} {
		v, err := ort.NewTensor([]int64{int64(len(rows)), int64(len(rows[0]))}, slices.Concat(rows...))
		if err != nil {
			t.Fatal(err)
		}
		b.Inputs[name] = v
	}
	return c, b
}

// compareLogits holds the logits of a file to PEFT's where the text is.
func (c peftCase) compareLogits(t *testing.T, path string, b *Batch, want peftTensor) {
	t.Helper()
	got, err := floats(forwardOf(t, path, b)["logits"])
	if err != nil || len(got) != len(want.Data) {
		t.Fatal(err, len(got), len(want.Data))
	}
	width := int(want.Shape[2])
	for i, row := range c.AttentionMask {
		for k, seen := range row {
			for j := range width {
				at := (i*len(row)+k)*width + j
				if d := abs(got[at] - float64(want.Data[at])); seen == 1 && d > 2e-5 {
					t.Fatalf("record %d, token %d, logit %d: %g, by PEFT %g", i, k, j, got[at], want.Data[at])
				}
			}
		}
	}
}

var gpt2Exports = []string{"gpt2-ts13", "gpt2-ts17", "gpt2-dyn18", "gpt2-dyn23", "gpt2-optimum"}

// A prefix does what PEFT's does on the same model, with every exporter's masks and positions.
func TestPrefixAgainstPEFT(t *testing.T) {
	c, b := readPEFTCase(t)
	for _, name := range gpt2Exports {
		t.Run(name, func(t *testing.T) {
			m, err := Open(filepath.Join(models, name), Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			p, err := m.Prepared()
			if err != nil {
				t.Fatal(err)
			}
			baked, err := adapt.Prefix{Length: c.Length}.Bake(p.Graph.Clone(), p.Output, c.Prefix.Data)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "model.onnx")
			if err := baked.Graph.Save(path); err != nil {
				t.Fatal(err)
			}
			c.compareLogits(t, path, b, c.PrefixLogits)
		})
	}
}

// Low-rank updates do what PEFT's do, merged into every exporter's file.
func TestLoRAAgainstPEFT(t *testing.T) {
	c, b := readPEFTCase(t)
	for _, name := range gpt2Exports {
		t.Run(name, func(t *testing.T) {
			m, names := adapted(t, filepath.Join(models, name), MethodOptions{Name: "lora", Rank: c.Rank, Alpha: c.Alpha})
			p, err := m.Prepared()
			if err != nil {
				t.Fatal(err)
			}
			w := wholeWeights(t, p)
			for _, n := range names {
				theirs := c.LoRA[n[strings.Index(n, "transformer.h."):]]
				copy(w.of(n), transposed(theirs.Data, theirs.Shape)) // [r, in] is our [in, r]
			}
			dir := t.TempDir()
			if err := m.method.save(m, dir, w, map[string]string{}); err != nil {
				t.Fatal(err)
			}
			c.compareLogits(t, filepath.Join(dir, "model.onnx"), b, c.LoRALogits)
		})
	}
}

var prefixModels = []string{
	"models/gpt2-ts13", "models/gpt2-optimum", "matrix/llama-optimum-past", "matrix/qwen3-dyn20", "matrix/falcon-ts17",
	"matrix/opt-optimum", "matrix/gpt-neo-optimum-past", "matrix/gpt2-optimum-o2",
}

// Norms and sums of a prefix, and of the network that makes it, are the oracle's: every record looks
// its own rows up, although all get the same.
func TestPrefixNormsAgainstLoop(t *testing.T) {
	for _, path := range fewIfShort(prefixModels[:5]) {
		for name, o := range map[string]MethodOptions{"network": {PrefixMid: 6}, "direct": {PrefixDirect: true}} {
			t.Run(filepath.Base(path)+"/"+name, func(t *testing.T) {
				t.Parallel()
				o.Name, o.PrefixLength = "prefix", 3
				m, names := adapted(t, filepath.Join("..", "testdata", path), o)
				if want := map[string]int{"network": 5, "direct": 1}[name]; len(names) != want {
					t.Errorf("%q are trained", names)
				}
				loss, b := methodCase(t, path)
				compareWithLoop(t, m, loss, b, []string{"part:adapter"})
			})
		}
	}
}

// The written model, its prefix a constant, computes what the one under training does, and continues
// texts with a cache as without.
func TestPrefixIsBaked(t *testing.T) {
	for _, path := range fewIfShort(prefixModels) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			m, _ := adapted(t, filepath.Join("..", "testdata", path), MethodOptions{Name: "prefix", PrefixLength: 3, PrefixMid: 6})
			p, err := m.Prepared()
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := p.Graph.Graph.Save(filepath.Join(dir, "training.onnx")); err != nil {
				t.Fatal(err)
			}
			if err := m.method.save(m, dir, wholeWeights(t, p), map[string]string{privacyKey: "?"}); err != nil {
				t.Fatal(err)
			}
			_, b := methodCase(t, path)
			written := filepath.Join(dir, "model.onnx")
			x, y := forwardOf(t, filepath.Join(dir, "training.onnx"), b)[p.Output], forwardOf(t, written, b)[p.Output]
			if d := largestGap(t, x, y); d > 1e-4 {
				t.Errorf("outputs are %g apart", d)
			}
			continuesAsRecomputed(t, written)
		})
	}
}

// continuesAsRecomputed compares texts of different length continued in one batch, with a cache, with
// each by itself without.
func continuesAsRecomputed(t *testing.T, path string) {
	t.Helper()
	prompts := [][]int32{{7, 21, 5}, {33}, {4, 60, 61, 9, 12, 80, 3}}
	o := GenerateOptions{MaxNewTokens: 9, EOS: []int64{}}
	fast, slow := openPath(t, path), Options{Threads: 1, NoCache: true}
	g, err := fast.generation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if g.reason != nil {
		t.Fatalf("no cache: %v", g.reason)
	}
	got, err := fast.Generate(t.Context(), prompts, o)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Open(path, slow)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for i, p := range prompts {
		want, err := m.Generate(t.Context(), [][]int32{p}, o)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got[i], want[0]) {
			t.Errorf("prompt %v: %v, recomputed %v", p, got[i], want[0])
		}
	}
}

// A run trains the network alone, and says so; the result is a model of its own.
func TestPrefixTrains(t *testing.T) {
	o := languageOptions(t, fewUsers())
	o.UnitColumn, o.RecordsPerUnit, o.ExpectedBatch = "", 0, 4
	o.Method, o.PrefixLength, o.PrefixMid = "prefix", 2, 5
	if _, err := Finetune(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	var said dpadam.Statement
	readJSON(t, filepath.Join(o.Out, "release", "privacy.json"), &said)
	if !strings.HasPrefix(said.Method, "prefix tuning, 2 positions in 2 attentions, trained through a network of 5 units") || said.Dim != 2*20+20*5+5+5*80+80 {
		t.Errorf("the statement says %q, %d coordinates", said.Method, said.Dim)
	}
	for _, name := range []string{"model.onnx", "adapter/adapter_model.safetensors", "adapter/adapter_config.json", "adapter/README.md"} {
		if !exists(filepath.Join(o.Out, name)) {
			t.Errorf("%s is missing", name)
		}
	}
	before, after := weightsOf(t, filepath.Join(o.Model, "model.onnx")), weightsOf(t, filepath.Join(o.Out, "model.onnx"))
	if !slices.Equal(before["transformer.wte.weight"], after["transformer.wte.weight"]) {
		t.Error("the model itself changed")
	}
	if len(after["prefix.1.value"]) != 2*2*10 {
		t.Errorf("prefix.1.value has %d numbers", len(after["prefix.1.value"]))
	}
	continuesAsRecomputed(t, filepath.Join(o.Out, "model.onnx"))
	m := openPath(t, o.Out)
	if n := m.baked(); n != 2 {
		t.Errorf("the model says that %d positions are taken, not 2", n)
	}
	if _, err := m.Adapt(t.Context(), MethodOptions{Name: "prefix"}, nil); ExitCode(err) != ExitUntrainable || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second prefix: %v", err)
	}
}

// A run that was stopped is resumed by its directory alone: method and settings are kept.
func TestPrefixIsResumed(t *testing.T) {
	if testing.Short() {
		t.Skip("two runs")
	}
	o := languageOptions(t, fewUsers())
	o.UnitColumn, o.RecordsPerUnit, o.ExpectedBatch = "", 0, 4
	o.Method, o.PrefixLength, o.PrefixMid = "prefix", 2, 5
	stop := make(chan struct{})
	close(stop)
	o.Stop = stop
	if _, err := Finetune(t.Context(), o); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	again, err := SavedOptions(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	again.Resume = true
	r, err := Finetune(t.Context(), again)
	if err != nil {
		t.Fatal(err)
	}
	if r.Steps != 3 || again.PrefixMid != 5 {
		t.Errorf("%d steps, options %+v", r.Steps, again)
	}
}

func TestPrefixRefusals(t *testing.T) {
	for says, c := range map[string]struct {
		model string
		o     MethodOptions
		code  int
	}{
		"CumSum":            {"models/roberta-ts17", MethodOptions{}, ExitUntrainable},
		"decoder_input_ids": {"matrix/t5-optimum", MethodOptions{}, ExitUntrainable},
		"--prefix-mid":      {"models/gpt2-ts17", MethodOptions{PrefixDirect: true, PrefixMid: 3}, ExitUsage},
	} {
		m, err := Open(filepath.Join("..", "testdata", c.model), Options{})
		if err != nil {
			t.Fatal(err)
		}
		c.o.Name = "prefix"
		_, err = m.Adapt(t.Context(), c.o, nil)
		if ExitCode(err) != c.code || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
		m.Close()
	}
}
