package runtime

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/kvcache"
)

// packed turns a graph with optimum's cache into one with the cache of older exporters: past_N and present_N of shape
// [2, batch, heads, tokens, width].
func packed(t *testing.T, g *ir.Graph) *ir.Graph {
	t.Helper()
	g.AddInit(ir.NewInt64("at0", nil, []int64{0}))
	g.AddInit(ir.NewInt64("at1", nil, []int64{1}))
	g.AddInit(ir.NewInt64("front", []int64{1}, []int64{0}))
	node := func(op string, attrs ir.Attrs, out string, in ...string) {
		g.Nodes = append(g.Nodes, &ir.Node{Name: out, Op: op, Inputs: in, Outputs: []string{out}, Attrs: attrs})
	}
	var inputs, outputs []*ir.ValueInfo
	for _, in := range g.Inputs {
		layer, kind, isPast := cutCache(in.Name, "past_key_values.")
		if !isPast {
			inputs = append(inputs, in)
			continue
		}
		if kind == "key" {
			two := []ir.DeclaredDim{{Value: 2}}
			inputs = append(inputs, &ir.ValueInfo{Name: "past_" + layer, DType: in.DType, Dims: append(two, in.Dims...)})
		}
		node("Gather", ir.Attrs{"axis": int64(0)}, in.Name, "past_"+layer, map[string]string{"key": "at0", "value": "at1"}[kind])
	}
	for _, out := range g.Outputs {
		layer, kind, isPresent := cutCache(out.Name, "present.")
		if !isPresent {
			outputs = append(outputs, out)
			continue
		}
		node("Unsqueeze", ir.Attrs{}, out.Name+"/front", out.Name, "front")
		if kind == "value" {
			node("Concat", ir.Attrs{"axis": int64(0)}, "present_"+layer, "present."+layer+".key/front", out.Name+"/front")
			two := []ir.DeclaredDim{{Value: 2}}
			outputs = append(outputs, &ir.ValueInfo{Name: "present_" + layer, DType: out.DType, Dims: append(two, out.Dims...)})
		}
	}
	g.Inputs, g.Outputs = inputs, outputs
	if err := g.Sort(); err != nil {
		t.Fatal(err)
	}
	return g
}

// halved turns a graph with a cache of single precision into one whose cache has half.
func halved(t *testing.T, g *ir.Graph) *ir.Graph {
	t.Helper()
	insert := func(to ir.DType, in, out string) {
		g.Nodes = append(g.Nodes, cast(in, out, to))
	}
	for _, in := range g.Inputs {
		if _, _, ok := cutCache(in.Name, "past_key_values."); ok {
			name := in.Name
			g.ReplaceUses(name, "wide/"+name)
			in.DType = ir.Float16
			insert(ir.Float32, name, "wide/"+name)
		}
	}
	for _, out := range g.Outputs {
		if _, _, ok := cutCache(out.Name, "present."); ok {
			for _, n := range g.Nodes {
				if n.Output(0) == out.Name {
					n.Outputs[0] = "wide/" + out.Name
				}
			}
			g.ReplaceUses(out.Name, "wide/"+out.Name)
			out.DType = ir.Float16
			insert(ir.Float16, "wide/"+out.Name, out.Name)
		}
	}
	if err := g.Sort(); err != nil {
		t.Fatal(err)
	}
	return g
}

func cutCache(name, prefix string) (layer, kind string, ok bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	layer, kind, _ = strings.Cut(rest, ".")
	return layer, kind, ok
}

// saved writes a graph as a model directory with the configuration of another.
func saved(t *testing.T, g *ir.Graph, from string) string {
	t.Helper()
	dir := t.TempDir()
	if err := g.Save(filepath.Join(dir, "model.onnx")); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(from, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func graphWithCache(t *testing.T, dir string) *ir.Graph {
	t.Helper()
	m, err := ir.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	g, err := kvcache.Add(m.Graph(), "")
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Caches of other forms give what the plain export gives: a written rewrite, keys and values in one tensor, and one whose
// symbols say nothing.
func TestCacheForms(t *testing.T) {
	from := filepath.Join(models, "gpt2-ts17")
	prompts := [][]int32{{3, 4, 5}, {60}, {9, 8, 7, 6, 5, 4}}
	o := GenerateOptions{MaxNewTokens: 8, EOS: []int64{}}
	want, err := openPath(t, from).Generate(t.Context(), prompts, o)
	if err != nil {
		t.Fatal(err)
	}
	nameless := func(g *ir.Graph) *ir.Graph {
		for _, v := range slices.Concat(g.Inputs, g.Outputs) {
			for i := range v.Dims {
				if v.Dims[i].Param != "" {
					v.Dims[i].Param = fmt.Sprint("d", i)
				}
			}
		}
		return g
	}
	for what, g := range map[string]*ir.Graph{
		"as written":    graphWithCache(t, from),
		"in one tensor": packed(t, graphWithCache(t, from)),
		"without names": nameless(graphWithCache(t, from)),
		"one, nameless": nameless(packed(t, graphWithCache(t, from))),
		"in half":       halved(t, graphWithCache(t, from)),
	} {
		m := openPath(t, saved(t, g, from))
		if reason := m.CacheReason(t.Context()); reason != nil {
			t.Errorf("%s: the cache is not used: %v", what, reason)
		}
		got, err := m.Generate(t.Context(), prompts, o)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if !slices.Equal(got[i], want[i]) {
				t.Errorf("%s: %v, want %v", what, got[i], want[i])
			}
		}
	}
}

// A model that is no decoder, and a cache that lies, are found out, and texts are recomputed.
func TestWrongCachesAreNotUsed(t *testing.T) {
	from := filepath.Join(models, "gpt2-ts17")
	lying := graphWithCache(t, from)
	for _, n := range lying.Nodes { // layer 0 forgets its past values
		if n.Output(0) == "present.0.value" {
			n.Outputs[0] = "true.present"
			lying.AddInit(ir.NewFloat32("nothing", nil, []float32{0}))
			lying.Nodes = append(lying.Nodes, &ir.Node{Name: "lie", Op: "Mul", Inputs: []string{"true.present", "nothing"}, Outputs: []string{"present.0.value"}, Attrs: ir.Attrs{}})
			lying.ReplaceUses("present.0.value", "true.present")
			break
		}
	}
	if err := lying.Sort(); err != nil {
		t.Fatal(err)
	}
	want, err := openPath(t, from).Generate(t.Context(), [][]int32{{3, 4, 5}}, GenerateOptions{MaxNewTokens: 5, EOS: []int64{}})
	if err != nil {
		t.Fatal(err)
	}
	m := openPath(t, saved(t, lying, from))
	reason := m.CacheReason(t.Context())
	if reason == nil || !strings.Contains(reason.Error(), "differ") {
		t.Errorf("a cache that lies: %v", reason)
	}
	got, err := m.Generate(t.Context(), [][]int32{{3, 4, 5}}, GenerateOptions{MaxNewTokens: 5, EOS: []int64{}})
	if err != nil || !slices.Equal(got[0], want[0]) {
		t.Errorf("%v, want %v (%v)", got, want[0], err)
	}
	both := openPath(t, filepath.Join(models, "roberta-ts17"))
	if reason := both.CacheReason(t.Context()); reason == nil || !strings.Contains(reason.Error(), "CumSum") {
		t.Errorf("RoBERTa: %v", reason)
	}
}
