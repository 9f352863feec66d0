package canon_test

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/canon"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// encoded returns the wire form's message of a test graph.
func encoded(t *testing.T, b *irtest.Builder) *onnxpb.ModelProto {
	t.Helper()
	data, err := b.Graph().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	m := &onnxpb.ModelProto{}
	if err := proto.Unmarshal(data, m); err != nil {
		t.Fatal(err)
	}
	return m
}

func marshalled(t *testing.T, m *onnxpb.ModelProto) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// function makes a local function of the nodes of a test graph.
func function(t *testing.T, name string, inputs, outputs []string, b *irtest.Builder) *onnxpb.FunctionProto {
	g := encoded(t, b)
	return &onnxpb.FunctionProto{
		Name: proto.String(name), Domain: proto.String("local"), Input: inputs, Output: outputs, Node: g.Graph.Node,
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(18)}, {Domain: proto.String("local"), Version: proto.Int64(1)}},
	}
}

// sameForward requires that the model's file and its canonical form compute the
// same.
func sameForward(t *testing.T, model []byte, feeds map[string]*ort.Tensor) *canon.Graph {
	t.Helper()
	env, err := ort.Load("")
	if err != nil {
		t.Fatal(err)
	}
	m, err := ir.Parse(model)
	if err != nil {
		t.Fatal(err)
	}
	if feeds == nil {
		feeds = feed(t, m.Graph())
	}
	want := forward(t, env, m.Graph(), feeds)
	c, err := canon.Canonical(m.Graph())
	if err != nil {
		t.Fatal(err)
	}
	got := forward(t, env, c.Graph, feeds)
	for i, w := range want["y"] {
		if math.Abs(float64(got["y"][i]-w)) > 1e-6 {
			t.Fatalf("y[%d] = %g, the model gives %g", i, got["y"][i], w)
		}
	}
	if len(want["y"]) == 0 || len(got["y"]) != len(want["y"]) {
		t.Fatalf("y has %d numbers, the model gives %d", len(got["y"]), len(want["y"]))
	}
	return c
}

// withFunctions applies functions with an attribute, a default, a nested application, an
// optional operand and a nested function.
func withFunctions(t *testing.T) *onnxpb.ModelProto {
	m := encoded(t, irtest.New(18).Domain("local", 1).Input("x", ir.Float32, "batch", 3).Fill("w", 3, 3).Output("y").
		Node("a,same = local::Outer(x,w)", attrs{"slope": float32(.25)}).Node("b, = local::Outer(a,w)").Node("c = Add(b,same)").Node("d = local::Maybe(c,)").Node("y = local::Maybe(d,w)"))
	inner := function(t, "Inner", []string{"p"}, []string{"q"}, irtest.New(18).Input("p", ir.Float32, 2).Output("q").
		Node("r = LeakyRelu(p)", attrs{"alpha": float32(0)}).Node("q = Neg(r)"))
	inner.Attribute = []string{"slope"}
	inner.Node[0].Attribute = []*onnxpb.AttributeProto{{Name: proto.String("alpha"), Type: onnxpb.AttributeProto_FLOAT.Enum(), RefAttrName: proto.String("slope")}}
	outer := function(t, "Outer", []string{"p", "w"}, []string{"q", "same"}, irtest.New(18).Domain("local", 1).Input("p", ir.Float32, 2).Input("w", ir.Float32, 2).Output("q", "same").
		Node("same = Identity(p)").Node("r = MatMul(p,w)").Node("k = Constant()", attrs{"value_float": float32(2)}).Node("s = Mul(r,k)").Node("q = local::Inner(s)"))
	outer.AttributeProto = []*onnxpb.AttributeProto{{Name: proto.String("slope"), Type: onnxpb.AttributeProto_FLOAT.Enum(), F: proto.Float32(.5)}}
	last := slices.IndexFunc(outer.Node, func(n *onnxpb.NodeProto) bool { return n.GetOpType() == "Inner" })
	outer.Node[last].Attribute = []*onnxpb.AttributeProto{{Name: proto.String("slope"), Type: onnxpb.AttributeProto_FLOAT.Enum(), RefAttrName: proto.String("slope")}}
	// Graph() lifted the constant: put the node back, for functions have no initializers.
	outer.Node = append([]*onnxpb.NodeProto{{
		OpType: proto.String("Constant"), Name: proto.String("k"), Output: []string{"k"},
		Attribute: []*onnxpb.AttributeProto{{Name: proto.String("value_float"), Type: onnxpb.AttributeProto_FLOAT.Enum(), F: proto.Float32(2)}},
	}}, slices.DeleteFunc(outer.Node, func(n *onnxpb.NodeProto) bool { return n.GetOpType() == "Constant" })...)
	maybe := function(t, "Maybe", []string{"p", "lo"}, []string{"q"}, irtest.New(18).Input("p", ir.Float32, 2).Output("q").
		Node("r = Tanh(p)").Node("q = Sigmoid(r)"))
	m.Functions = []*onnxpb.FunctionProto{inner, outer, maybe}
	return m
}

func TestLocalFunctionsAreInlined(t *testing.T) {
	c := sameForward(t, marshalled(t, withFunctions(t)), nil)
	for _, n := range c.Nodes {
		if n.Domain == "local" {
			t.Errorf("%v was not inlined", n)
		}
	}
}

func TestFunctionsWithoutEndAreRefused(t *testing.T) {
	m := withFunctions(t)
	m.Functions[0].Node = []*onnxpb.NodeProto{{OpType: proto.String("Inner"), Domain: proto.String("local"), Name: proto.String("again"), Input: []string{"p"}, Output: []string{"q"}}}
	exponential := withFunctions(t)
	body := exponential.Functions[2]
	for i, in := 0, "p"; i < 40; i++ { // 40 applications of itself, each of 40, …
		out := string(rune('A' + i))
		body.Node = append(body.Node, &onnxpb.NodeProto{OpType: proto.String("Maybe"), Domain: proto.String("local"), Name: proto.String(out), Input: []string{in}, Output: []string{out}})
		in = out
	}
	for _, model := range []*onnxpb.ModelProto{m, exponential} {
		parsed, err := ir.Parse(marshalled(t, model))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := canon.Canonical(parsed.Graph()); err == nil || !strings.Contains(err.Error(), "function") {
			t.Errorf("got %v", err)
		}
	}
}

// withBranches is y = If(extent of axis 1 is 3) then x·w else x·u + x, the
// branches' weights their own, with a nested If on the decoder's switch.
func withBranches(t *testing.T, width int) *onnxpb.ModelProto {
	m := encoded(t, irtest.New(18).Input("x", ir.Float32, "batch", width).Input("use_cache_branch", ir.Bool, 1).Fill("v", int64(width), int64(width)).Output("y").
		Ints("three", nil, 3).Node("s = Shape(x)", attrs{"start": int64(1)}).Node("c = Equal(s,three)").Node("z = Neg(c)").Node("y = Tanh(z)"))
	branch := func(b *irtest.Builder) *onnxpb.GraphProto {
		g := encoded(t, b).Graph
		g.Input = nil
		return g
	}
	n := int64(width)
	outer := func() *irtest.Builder {
		return irtest.New(18).Input("x", ir.Float32, 2).Input("v", ir.Float32, 2).Input("use_cache_branch", ir.Bool, 1)
	}
	cached := branch(outer().Output("e").Fill("shared", n, n).Node("g = MatMul(x,shared)").Node("e = Exp(g)"))
	plain := branch(outer().Output("e").Fill("shared", n, n).Node("g = MatMul(x,shared)").Node("e = Neg(g)"))
	condition := func(cond, out string, then, other *onnxpb.GraphProto) *onnxpb.NodeProto {
		attr := func(name string, g *onnxpb.GraphProto) *onnxpb.AttributeProto {
			return &onnxpb.AttributeProto{Name: proto.String(name), Type: onnxpb.AttributeProto_GRAPH.Enum(), G: g}
		}
		return &onnxpb.NodeProto{OpType: proto.String("If"), Name: proto.String("if_" + out), Input: []string{cond}, Output: []string{out},
			Attribute: []*onnxpb.AttributeProto{attr("then_branch", then), attr("else_branch", other)}}
	}
	then := branch(outer().Output("q").Fill("w", n, n).Node("h = MatMul(x,w)").Node("r = Relu(h)").Node("q = Add(r,h)"))
	then.Node = append(then.Node[:2:2], condition("use_cache_branch", "nested", cached, plain), then.Node[2])
	then.Node[3].Input = []string{"nested", "h"}
	other := branch(outer().Output("q").Fill("w", n, n).Node("h = MatMul(x,v)").Node("q = Add(h,x)"))
	m.Graph.Node[2] = condition("c", "z", then, other)
	return m
}

func TestBranchesWithAConstantConditionAreInlined(t *testing.T) {
	for _, width := range []int{3, 4} {
		model := marshalled(t, withBranches(t, width))
		parsed, err := ir.Parse(model)
		if err != nil {
			t.Fatal(err)
		}
		feeds := feedBool(t, parsed.Graph())
		c := sameForward(t, model, feeds)
		for _, n := range c.Nodes {
			if n.Is("If") {
				t.Errorf("width %d: %v was not inlined", width, n)
			}
		}
		if c.Nested["shared"] != (width == 3) {
			t.Errorf("width %d: the branches' initializers are %v", width, c.Nested)
		}
	}
}

func feedBool(t *testing.T, g *ir.Graph) map[string]*ort.Tensor {
	t.Helper()
	off, err := ort.NewTensor([]int64{1}, []bool{false})
	if err != nil {
		t.Fatal(err)
	}
	g.Inputs = slices.DeleteFunc(g.Inputs, func(v *ir.ValueInfo) bool { return v.DType == ir.Bool })
	feeds := feed(t, g)
	feeds["use_cache_branch"] = off
	return feeds
}

// Both branches of the switch hold the weight "shared" with equal numbers: it is
// written into both, and nothing else changes.
func TestWritingBackIntoBranches(t *testing.T) {
	m, err := ir.Parse(marshalled(t, withBranches(t, 3)))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.onnx")
	values := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9}
	if err := m.WriteBack(path, ir.Patch{Weights: map[string][]float32{"shared": values, "v": values}}); err != nil {
		t.Fatal(err)
	}
	back, err := ir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := canon.Canonical(back.Graph())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"shared", "v"} {
		got, err := c.Inits[name].Float32s()
		if err != nil || !slices.Equal(got, values) {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
	before, after := withBranches(t, 3), &onnxpb.ModelProto{}
	data, err := back.Graph().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(data, after); err != nil {
		t.Fatal(err)
	}
	nested := func(m *onnxpb.ModelProto, attr int) *onnxpb.TensorProto {
		then := m.Graph.Node[2].Attribute
		i := slices.IndexFunc(then, func(a *onnxpb.AttributeProto) bool { return a.GetName() == "then_branch" })
		return then[i].G.Node[2].Attribute[attr].G.Initializer[0]
	}
	if !proto.Equal(nested(after, 0), nested(after, 1)) || proto.Equal(nested(before, 0), nested(after, 0)) {
		t.Error("the branches' copies differ, or did not change")
	}
}

// A decoder with a cache is trained with a cache of length 0.
func TestEmptyCache(t *testing.T) {
	b := irtest.New(18).Input("x", ir.Float32, "batch", "sequence", 4).Input("past_key_values.0.key", ir.Float32, "batch", "past_sequence_length", 4).Output("y").
		Fill("w", 4, 4).Node("k = MatMul(x,w)").Node("all = Concat(past_key_values.0.key,k)", attrs{"axis": int64(1)}).Node("y = Tanh(all)")
	c, err := canon.Canonical(b.Graph())
	if err != nil {
		t.Fatal(err)
	}
	if d := c.Input("past_key_values.0.key").Dims[1]; d.Value != 0 || d.Param != "" {
		t.Errorf("the cache's length is %v", d)
	}
}
