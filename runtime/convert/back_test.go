package convert_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/convert"
	"github.com/ghostwriter-dp/ghostwriter/runtime/safetensors"
)

// A place is where the exporter put a parameter, as names.json (testdata/gen)
// found it by the parameter's numbers.
type place struct {
	Initializers []struct {
		Name      string `json:"name"`
		Transform string `json:"transform"` // identity, transpose
	} `json:"initializers"`
}

// Every exporter's models give back every parameter under its name with its
// numbers, whatever became of the names.
func TestExportsBack(t *testing.T) {
	if testing.Short() {
		t.Skip("computes for long and finds nothing under the race detector")
	}
	dirs, err := filepath.Glob(filepath.Join("..", "..", "testdata", "models", "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no models (%v)", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var places map[string]place
			text, err := os.ReadFile(filepath.Join(dir, "names.json"))
			if err == nil {
				err = json.Unmarshal(text, &places)
			}
			if err != nil {
				t.Fatal(err)
			}
			dst := filepath.Join(t.TempDir(), "hf")
			r, err := convert.ToHF(t.Context(), dir, dst, convert.BackOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if r.Compared == nil {
				t.Errorf("not compared: %s", r.Why)
			}
			got, file := tensorsOf(t, dst), initializersAndIdentities(t, dir)
			if len(got) != len(places) {
				t.Errorf("%d tensors, want %d", len(got), len(places))
			}
			for name, p := range places {
				if len(p.Initializers) == 0 { // zeros, which exporters leave out
					if x := got[name]; !strings.HasSuffix(name, ".bias") || len(x.Data) == 0 || !bytes.Equal(x.Data, make([]byte, len(x.Data))) {
						t.Errorf("%q: %v", name, x)
					}
					continue
				}
				want, err := file[p.Initializers[0].Name].Float32s()
				if err != nil {
					t.Fatal(err)
				}
				x, ok := got[name]
				if !ok {
					x, ok = got[strings.TrimPrefix(name, "transformer.")] // a bare GPT2Model
				}
				if !ok || x.DType != "F32" {
					t.Fatalf("%q is missing, or %s", name, x.DType)
				}
				have, err := ir.NewRaw(name, ir.Float32, x.Shape, x.Data).Float32s()
				if err != nil {
					t.Fatal(err)
				}
				if p.Initializers[0].Transform == "transpose" {
					want = flip(want, file[p.Initializers[0].Name].Dims)
				}
				if !slices.Equal(have, want) {
					t.Errorf("%q holds other numbers", name)
				}
			}
		})
	}
}

// initializersAndIdentities are a model's tensors, those that exporters hide behind
// an Identity by its name too.
func initializersAndIdentities(t *testing.T, dir string) map[string]*ir.Tensor {
	t.Helper()
	m, err := ir.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	g := m.Graph()
	out := maps.Clone(g.Inits)
	for _, n := range g.Nodes {
		if x, ok := out[n.Input(0)]; ok && n.Is("Identity") {
			out[n.Output(0)] = x
		}
	}
	return out
}

func flip(v []float32, dims []int64) []float32 {
	out := make([]float32, 0, len(v))
	for j := range dims[1] {
		for i := range dims[0] {
			out = append(out, v[i*dims[1]+j])
		}
	}
	return out
}

// The models of onnxruntime's optimizer, whose queries, keys and values are one
// matrix, are taken apart again; what only their order tells is believed because
// the outputs are the same.
func TestFusedExportsBack(t *testing.T) {
	for name, c := range map[string]struct{ config, evidence string }{
		"bert-optimum-o2": {`{"model_type": "bert", "architectures": ["BertForSequenceClassification"], "hidden_size": 24, "num_hidden_layers": 2,
			"num_attention_heads": 2, "intermediate_size": 42, "vocab_size": 97, "max_position_embeddings": 64, "num_labels": 3}`, "order"},
		"llama-ts17-ortopt": {`{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 97, "hidden_size": 24, "intermediate_size": 38,
			"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}`, "name"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			copyModel(t, filepath.Join("..", "..", "testdata", "matrix", name, "model.onnx"), dir)
			write(t, filepath.Join(dir, "config.json"), c.config)
			r, err := convert.ToHF(t.Context(), dir, filepath.Join(dir, "hf"), convert.BackOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if r.Compared == nil || r.Evidence[convert.Evidence(c.evidence)] == 0 {
				t.Errorf("%+v", r)
			}
			_, err = convert.ToHF(t.Context(), dir, filepath.Join(dir, "hf2"), convert.BackOptions{NoCompare: true})
			if guessed := r.Evidence[convert.ByOrder] > 0; guessed != (err != nil) {
				t.Errorf("without a comparison: %v", err)
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func copyModel(t *testing.T, from, dir string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "model.onnx"), string(b))
}

// exported writes a small model and lets change spoil its graph.
func exported(t *testing.T, checkpoint string, change func(g *ir.Graph)) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "onnx")
	if _, err := convert.ToONNX(t.Context(), filepath.Join("testdata", checkpoint), dir, convert.Options{}); err != nil {
		t.Fatal(err)
	}
	m, err := ir.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	g := m.Graph()
	change(g)
	if err := g.Save(filepath.Join(dir, "model.onnx")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// anonymous takes from a graph what its exporter may lose: metadata, the names of
// nodes and those of initializers that match.
func anonymous(g *ir.Graph, lost func(name string) bool) {
	g.Metadata = nil
	rename := map[string]string{}
	for i, name := range g.InitOrder {
		if lost(name) {
			rename[name] = "onnx::MatMul_" + string(rune('a'+i/26)) + string(rune('a'+i%26))
		}
	}
	for _, n := range g.Nodes {
		n.Name, n.Scope = "", ""
		for i, in := range n.Inputs {
			if to, ok := rename[in]; ok {
				n.Inputs[i] = to
			}
		}
	}
	for from, to := range rename {
		x := *g.Inits[from]
		g.RemoveInit(from)
		x.Name = to
		g.AddInit(&x)
	}
}

// With every name gone a model is still found by the order of its forward pass,
// because its outputs say so.
func TestNamelessModelsBack(t *testing.T) {
	if testing.Short() {
		t.Skip("computes for long and finds nothing under the race detector")
	}
	for _, checkpoint := range []string{"encoders/bert-classify", "encoders/t5-gated", "decoders/gpt2", "decoders/llama"} {
		t.Run(checkpoint, func(t *testing.T) {
			dir := exported(t, checkpoint, func(g *ir.Graph) {
				anonymous(g, func(name string) bool { return !strings.HasPrefix(name, "const/") })
			})
			dst := filepath.Join(t.TempDir(), "hf")
			r, err := convert.ToHF(t.Context(), dir, dst, convert.BackOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if r.Evidence[convert.ByOrder] == 0 || r.Compared == nil {
				t.Errorf("%+v", r)
			}
			want, got := tensorsOf(t, filepath.Join("testdata", checkpoint)), tensorsOf(t, dst)
			for name, x := range want {
				if !bytes.Equal(x.Data, got[name].Data) {
					t.Errorf("%q holds other numbers", name)
				}
			}
		})
	}
}

// What is missing, too much, ambiguous or unlike the model is refused, and said.
func TestBackRefuses(t *testing.T) {
	for what, c := range map[string]struct {
		checkpoint string
		change     func(g *ir.Graph)
		says       []string
	}{
		"swapped weights": {"encoders/bert-classify", func(g *ir.Graph) {
			anonymous(g, func(string) bool { return false })
			for _, n := range g.Nodes { // the query's product reads the key's weight under the query's name, and so on
				for i, in := range n.Inputs {
					switch in {
					case "bert.encoder.layer.0.attention.self.query.weight":
						n.Inputs[i] = "bert.encoder.layer.0.attention.self.key.weight"
					case "bert.encoder.layer.0.attention.self.key.weight":
						n.Inputs[i] = "bert.encoder.layer.0.attention.self.query.weight"
					}
				}
			}
		}, []string{"what was found is not the model"}},
		"a parameter that is gone": {"encoders/bert-classify", func(g *ir.Graph) {
			for _, n := range g.Nodes {
				if n.Op == "LayerNormalization" && strings.Contains(n.Name, "layer.0/attention") {
					n.Inputs[1] = "const/ones"
				}
			}
			g.AddInit(ir.NewFloat32("const/ones", []int64{1}, []float32{1}))
		}, []string{"bert.encoder.layer.0.attention.output.LayerNorm.weight"}},
		"two heads": {"decoders/gpt2", func(g *ir.Graph) {
			// The head is a copy that was trained apart from the table it is tied to.
			table := g.Inits["transformer.wte.weight"]
			v, _ := table.Float32s()
			v[3] += 1
			g.AddInit(ir.NewFloat32("lm_head.weight", table.Dims, v))
			for _, n := range g.Nodes {
				if n.Is("Transpose") && n.Input(0) == "transformer.wte.weight" {
					n.Inputs[0] = "lm_head.weight"
				}
			}
		}, []string{"transformer.wte.weight", "tie_word_embeddings"}},
		"a quantised weight": {"encoders/bert-classify", func(g *ir.Graph) {
			g.Nodes = append(g.Nodes, &ir.Node{Name: "dq", Op: "DequantizeLinear", Inputs: []string{"const/q", "const/s"}, Outputs: []string{"unused"}, Attrs: ir.Attrs{}})
			g.AddInit(ir.NewRaw("const/q", ir.Int8, []int64{2}, []byte{1, 2}))
			g.AddInit(ir.NewFloat32("const/s", nil, []float32{1}))
		}, []string{"quantised"}},
	} {
		t.Run(what, func(t *testing.T) {
			dir := exported(t, c.checkpoint, c.change)
			dst := filepath.Join(t.TempDir(), "hf")
			_, err := convert.ToHF(t.Context(), dir, dst, convert.BackOptions{})
			for _, s := range c.says {
				if err == nil || !strings.Contains(err.Error(), s) {
					t.Errorf("%v; want something about %q", err, s)
				}
			}
			if runtime.ExitCode(err) != runtime.ExitUsage {
				t.Errorf("exit code %d", runtime.ExitCode(err))
			}
			if _, err := os.Stat(dst); err == nil {
				t.Error("something was written")
			}
		})
	}
	dir := exported(t, "decoders/gpt2", func(*ir.Graph) {})
	if err := os.Remove(filepath.Join(dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := convert.ToHF(t.Context(), dir, filepath.Join(t.TempDir(), "hf"), convert.BackOptions{}); err == nil || !strings.Contains(err.Error(), "--like") {
		t.Errorf("without config.json: %v", err)
	}
	if _, err := convert.ToHF(t.Context(), dir, filepath.Join(t.TempDir(), "hf"), convert.BackOptions{Like: filepath.Join("testdata", "decoders", "gpt2")}); err != nil {
		t.Errorf("with --like: %v", err)
	}
}

// An export may lack what its output does not need: it comes from the original
// checkpoint, by name.
func TestLikeFillsIn(t *testing.T) {
	original := filepath.Join("testdata", "encoders", "bert-classify")
	dir := exported(t, "encoders/bert-classify", func(g *ir.Graph) {
		anonymous(g, func(string) bool { return false })
		// A graph for single sentences: the type of every token is folded into a constant.
		types := g.Inits["bert.embeddings.token_type_embeddings.weight"]
		v, _ := types.Float32s()
		g.AddInit(ir.NewFloat32("const/type", []int64{1, 1, types.Dims[1]}, v[:types.Dims[1]]))
		for _, n := range g.Nodes {
			if n.Is("Gather") && n.Input(0) == types.Name {
				n.Op, n.Inputs, n.Attrs = "Identity", []string{"const/type"}, ir.Attrs{}
			}
		}
		g.Inputs = slices.DeleteFunc(g.Inputs, func(v *ir.ValueInfo) bool { return v.Name == "token_type_ids" })
		g.ValueInfos = map[string]*ir.ValueInfo{}
		g.Prune()
	})
	if _, err := convert.ToHF(t.Context(), dir, filepath.Join(t.TempDir(), "hf"), convert.BackOptions{}); err == nil || !strings.Contains(err.Error(), "token_type_embeddings.weight") {
		t.Errorf("without --like: %v", err)
	}
	r, err := convert.ToHF(t.Context(), dir, filepath.Join(t.TempDir(), "hf"), convert.BackOptions{Like: original})
	if err != nil || !slices.Equal(r.FromLike, []string{"bert.embeddings.token_type_embeddings.weight"}) {
		t.Fatal(r, err)
	}
}

// A model that was trained here becomes a checkpoint that says how private it is.
func TestTrainedModelsBack(t *testing.T) {
	dir := trainingDir(t, `{"model_type": "bert", "vocab_size": 40, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
		"intermediate_size": 8, "max_position_embeddings": 16, "pad_token_id": 0}`)
	model, out, back := filepath.Join(dir, "model"), filepath.Join(dir, "out"), filepath.Join(dir, "hf")
	if _, err := convert.New(t.Context(), filepath.Join(dir, "config.json"), model, convert.Options{Head: convert.HeadClassify, Labels: 2}); err != nil {
		t.Fatal(err)
	}
	_, err := runtime.Finetune(t.Context(), runtime.FinetuneOptions{
		Model: model, Task: "classify", Train: filepath.Join(dir, "train.jsonl"), Out: out, Accountant: "rdp",
		TargetEpsilon: 8, Steps: 2, ExpectedBatch: 8, LearningRate: 1e-2, MaxLength: 16, Microbatch: 8, Threads: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := convert.ToHF(t.Context(), out, back, convert.BackOptions{DType: ir.BFloat16})
	if err != nil || r.Compared == nil {
		t.Fatal(r, err)
	}
	for _, name := range []string{"README.md", "release/statement.txt", "release/privacy.json", "vocab.txt", "config.json"} {
		a, err1 := os.ReadFile(filepath.Join(out, name))
		b, err2 := os.ReadFile(filepath.Join(back, name))
		if err1 != nil || err2 != nil || name != "config.json" && !bytes.Equal(a, b) {
			t.Errorf("%s: %v, %v", name, err1, err2)
		}
	}
	for name, x := range tensorsOf(t, back) {
		if x.DType != "BF16" {
			t.Errorf("%s is %s", name, x.DType)
		}
	}
	again := filepath.Join(dir, "again")
	if _, err := convert.ToONNX(t.Context(), back, again, convert.Options{}); err != nil {
		t.Errorf("and there again: %v", err)
	}
	if _, err := os.Stat(filepath.Join(again, "release", "statement.txt")); err != nil {
		t.Error(err)
	}
}

// A model that is not written here is found by the names of a checkpoint of it,
// whose numbers don't matter; what the export keeps nowhere is refused.
func TestUnknownModelsBackByLike(t *testing.T) {
	original := filepath.Join("testdata", "encoders", "bert-classify")
	dir, like := exported(t, "encoders/bert-classify", func(g *ir.Graph) { g.Metadata = nil }), t.TempDir()
	config := `{"model_type": "mystery", "architectures": ["MysteryModel"], "vocab_size": 13}`
	write(t, filepath.Join(dir, "config.json"), config)
	write(t, filepath.Join(like, "config.json"), config)
	var others []safetensors.Tensor
	for _, x := range tensorsOf(t, original) {
		x.Data = make([]byte, len(x.Data))
		others = append(others, x)
	}
	if _, err := safetensors.WriteDir(like, others, nil, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := convert.ToHF(t.Context(), dir, filepath.Join(t.TempDir(), "hf"), convert.BackOptions{}); err == nil || !strings.Contains(err.Error(), "--like") {
		t.Errorf("without --like: %v", err)
	}
	dst := filepath.Join(t.TempDir(), "hf")
	r, err := convert.ToHF(t.Context(), dir, dst, convert.BackOptions{Like: like})
	if err != nil || r.Why == "" || len(r.FromLike) > 0 {
		t.Fatal(r, err)
	}
	want, got := tensorsOf(t, original), tensorsOf(t, dst)
	for name, x := range want {
		if !bytes.Equal(x.Data, got[name].Data) || len(got) != len(want) {
			t.Errorf("%q holds other numbers", name)
		}
	}
	hidden := exported(t, "encoders/bert-classify", func(g *ir.Graph) { // a parameter read in a way that is not known
		g.Metadata = nil
		for _, n := range g.Nodes {
			if n.Is("LayerNormalization") && strings.Contains(n.Name, "embeddings") {
				g.Nodes = append([]*ir.Node{{Name: "abs", Op: "Abs", Inputs: []string{n.Inputs[1]}, Outputs: []string{"abs"}, Attrs: ir.Attrs{}}}, g.Nodes...)
				n.Inputs[1] = "abs"
			}
		}
	})
	write(t, filepath.Join(hidden, "config.json"), config)
	if _, err := convert.ToHF(t.Context(), hidden, filepath.Join(t.TempDir(), "hf"), convert.BackOptions{Like: like}); err == nil || !strings.Contains(err.Error(), "embeddings.LayerNorm.weight") {
		t.Errorf("a hidden parameter: %v", err)
	}
}
