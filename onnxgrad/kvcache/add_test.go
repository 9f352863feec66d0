package kvcache

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

func added(t *testing.T, dir string) (*ir.Graph, error) {
	t.Helper()
	m, err := ir.Open(filepath.Join("../../testdata", dir))
	if err != nil {
		t.Fatal(err)
	}
	return Add(m.Graph(), "")
}

// What exporters write for the same architecture comes out with the same interface. That the numbers are right is shown
// where graphs can be run, in package runtime.
func TestInterface(t *testing.T) {
	for dir, want := range map[string]string{
		"models/gpt2-ts13":         "input_ids attention_mask position_ids 4×[2 10]",
		"models/gpt2-dyn18":        "input_ids attention_mask position_ids 4×[2 10]",
		"models/gpt2-dyn23":        "input_ids attention_mask position_ids 4×[2 10]",
		"models/gpt2-optimum":      "input_ids attention_mask position_ids 4×[2 10]",
		"matrix/gpt2-optimum-o2":   "input_ids attention_mask position_ids 4×[2 10]",
		"matrix/opt-ts17":          "input_ids attention_mask 4×[2 9]", // positions are counted by the mask
		"matrix/opt-ts17-qdq4":     "input_ids attention_mask 4×[2 9]",
		"matrix/llama-ts17-ortopt": "input_ids attention_mask position_ids 4×[2 6]", // 2 heads of keys for 4 of queries
		"matrix/mistral-ts13":      "input_ids attention_mask position_ids 4×[2 8]",
		"matrix/qwen2-dyn23":       "input_ids attention_mask position_ids 4×[2 6]",
		"matrix/falcon-ts17":       "input_ids attention_mask position_ids 4×[1 12]", // one head of keys for all
	} {
		g, err := added(t, dir)
		if err != nil {
			t.Errorf("%s: %v", dir, err)
			continue
		}
		if got := describe(g); got != want {
			t.Errorf("%s: %s, want %s", dir, got, want)
		}
	}
}

// describe lists the inputs, caches as their number and [heads width].
func describe(g *ir.Graph) string {
	var names []string
	caches, form := 0, ""
	for _, in := range g.Inputs {
		if !strings.HasPrefix(in.Name, "past_key_values.") {
			names = append(names, in.Name)
			continue
		}
		caches++
		form = "[" + sym.Const(in.Dims[1].Value).String() + " " + sym.Const(in.Dims[3].Value).String() + "]"
		out := g.Output(strings.Replace(in.Name, "past_key_values", "present", 1))
		if out == nil || out.Dims[2].Param != pastDim+"+"+newDim || in.Dims[2].Param != pastDim || in.Dims[0].Param != batchDim {
			return "the output of " + in.Name + " is missing, or tokens are not counted"
		}
	}
	return strings.Join(names, " ") + " " + sym.Const(int64(caches)).String() + "×" + form
}

// What is no decoder, or joins tokens elsewhere than in attention, is refused by the node's name.
func TestRefusesByName(t *testing.T) {
	for dir, says := range map[string]string{
		"models/bert-dyn18":          `"node_select"`,  // the pooler reads the first token
		"models/roberta-dyn18":       `"node_cumsum"`,  // positions are counted over the ids
		"matrix/deberta-v3-ts17":     "GatherElements", // relative positions are gathered by content
		"matrix/squeezebert-ts17":    "batch, heads",   // heads are never apart
		"matrix/t5-ts17-ortopt":      `"decoder_input_ids"`,
		"matrix/vit-ts17-ortopt":     `"pixel_values"`,
		"matrix/albert-ts17-ortopt":  "picks tokens",
		"matrix/wav2vec2-ts17":       `"input_values"`,
		"matrix/electra-ts17-ortopt": "picks tokens",
	} {
		_, err := added(t, dir)
		if !errors.Is(err, ErrNotUnderstood) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want it to name %s", dir, err, says)
		}
	}
}

// A reshape keeps tokens apart or not, whatever the extents are.
func TestRegroups(t *testing.T) {
	b, s, d := sym.Var(batchDim), sym.Var(newDim), sym.Const
	for _, c := range []struct {
		from, to []sym.Dim
		want     bool
	}{
		{[]sym.Dim{b, s, d(12)}, []sym.Dim{b, s, d(3), d(4)}, true},
		{[]sym.Dim{b, s, d(12)}, []sym.Dim{sym.Mul(b, s), d(12)}, true},
		{[]sym.Dim{sym.Mul(b, s), d(12)}, []sym.Dim{b, s, d(12)}, true},
		{[]sym.Dim{b, d(3), s, d(4)}, []sym.Dim{sym.Mul(b, d(3)), s, d(4)}, true},
		{[]sym.Dim{b, s, d(12)}, []sym.Dim{b, d(12), s}, false},
		{[]sym.Dim{b, s, d(12)}, []sym.Dim{b, d(3), s, d(4)}, false},
		{[]sym.Dim{s, b, d(12)}, []sym.Dim{sym.Mul(b, s), d(12)}, false},
		{[]sym.Dim{sym.Mul(b, s), d(12)}, []sym.Dim{s, b, d(12)}, false},
		{[]sym.Dim{b, s, d(12)}, []sym.Dim{b, sym.Mul(s, d(2)), d(6)}, false},
		{[]sym.Dim{b, s}, []sym.Dim{d(1), b, s, d(1)}, true},
		{[]sym.Dim{b, s, d(4)}, []sym.Dim{b, s, d(5)}, false},
	} {
		if got := regroups(c.from, c.to); got != c.want {
			t.Errorf("%v to %v: %v, want %v", c.from, c.to, got, c.want)
		}
	}
}

// A decoder whose tokens also meet in a convolution, a sum or a reversal is refused.
func TestRefusesWhatJoinsTokens(t *testing.T) {
	for op, n := range map[string]*ir.Node{
		"CumSum":     {Op: "CumSum", Inputs: []string{"", "one"}},
		"ReduceMean": {Op: "ReduceMean", Inputs: []string{"", "axes"}},
		"Softmax":    {Op: "Softmax", Inputs: []string{""}, Attrs: ir.Attrs{"axis": int64(1)}},
		"Slice":      {Op: "Slice", Inputs: []string{"", "axes", "last", "axes"}},
	} {
		m, err := ir.Open("../../testdata/models/gpt2-ts17")
		if err != nil {
			t.Fatal(err)
		}
		g := m.Graph()
		for _, c := range []*ir.Tensor{ir.NewInt64("one", nil, []int64{1}), ir.NewInt64("axes", []int64{1}, []int64{1}), ir.NewInt64("last", []int64{1}, []int64{1 << 40})} {
			g.AddInit(c)
		}
		g.AddInit(ir.NewFloat32("nothing", nil, []float32{0}))
		ids := g.Nodes[embedding(t, g)].Outputs[0]
		g.ReplaceUses(ids, "joined")
		n.Name, n.Outputs = "spy", []string{"spied"}
		n.Inputs[0] = ids
		if n.Attrs == nil {
			n.Attrs = ir.Attrs{}
		}
		g.Nodes = append(g.Nodes, n,
			&ir.Node{Name: "scaled", Op: "Mul", Inputs: []string{"spied", "nothing"}, Outputs: []string{"scaled"}, Attrs: ir.Attrs{}},
			&ir.Node{Name: "join", Op: "Add", Inputs: []string{ids, "scaled"}, Outputs: []string{"joined"}, Attrs: ir.Attrs{}})
		g.Opset[""] = 18
		if err := g.Sort(); err != nil {
			t.Fatal(err)
		}
		if _, err := Add(g, ""); !errors.Is(err, ErrNotUnderstood) || !strings.Contains(err.Error(), `"spy"`) {
			t.Errorf("%s over tokens: %v", op, err)
		}
	}
}

// embedding finds the node that reads the token embeddings.
func embedding(t *testing.T, g *ir.Graph) int {
	t.Helper()
	for i, n := range g.Nodes {
		if n.Is("Gather") && g.Inits[n.Input(0)] != nil && len(g.Inits[n.Input(0)].Dims) == 2 {
			return i
		}
	}
	t.Fatal("no embedding")
	return -1
}
