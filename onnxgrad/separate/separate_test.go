package separate

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/canon"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
)

func prove(t *testing.T, g *ir.Graph) *Proof {
	t.Helper()
	values, err := infer.Graph(g, InputShape(g))
	if err != nil {
		t.Fatal(err)
	}
	p, err := Prove(g, values)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Graphs in which records mix. Each names the node that the proof must blame.
func TestMixingIsRefused(t *testing.T) {
	x := func() *irtest.Builder { return irtest.New(18).Input("x", ir.Float32, "n", 3).Output("y") }
	xt := func() *irtest.Builder { return irtest.New(18).Input("x", ir.Float32, "n", "t", 4).Output("y") }
	cases := []struct {
		name  string
		graph *irtest.Builder
		blame string
	}{
		{"batch mean", x().Ints("a", nil, 0).Node("m = ReduceMean(x,a)").Node("y = Sub(x,m)"), "ReduceMean_0"},
		{"sum over everything", x().Node("m = ReduceSum(x)").Node("y = Add(x,m)"), "ReduceSum_0"},
		{"batch norm in training mode", irtest.New(18).Input("x", ir.Float32, "n", 3).Output("y").Fill("s", 3).Fill("b", 3).Fill("m", 3).Fill("v", 3).
			Node("y,rm,rv = BatchNormalization(x,s,b,m,v)", ir.Attrs{"training_mode": int64(1)}), "BatchNormalization_0"},
		{"attention across the batch", x().Node("k = Transpose(x)").Node("s = MatMul(x,k)").Node("p = Softmax(s)").Node("y = MatMul(p,x)"), "MatMul_1"},
		{"softmax along the batch", x().Node("y = Softmax(x)", ir.Attrs{"axis": int64(0)}), "Softmax_0"},
		{"in-batch negatives", x().Fill("w", 3, 3).Node("h = MatMul(x,w)").Node("ht = Transpose(h)").Node("s = MatMul(h,ht)").Node("y = LogSoftmax(s)"), "MatMul_2"},
		{"shared denominator", xt().Node("z = Size(x)").Node("f = Cast(z)", ir.Attrs{"to": int64(1)}).Node("y = Div(x,f)"), "Div_2"},
		{"loss divided by the batch size", x().Node("s = Shape(x)", ir.Attrs{"end": int64(1)}).Node("f = Cast(s)", ir.Attrs{"to": int64(1)}).Node("y = Div(x,f)"), "Div_2"},
		{"cumulative sum over records", x().Ints("a", []int64{}, 0).Node("y = CumSum(x,a)"), "CumSum_0"},
		{"reshape across records", x().Ints("s", nil, -1, 2).Node("y = Reshape(x,s)"), "Reshape_0"},
		{"reversed batch", x().Ints("a", nil, -1).Ints("e", nil, -1<<62).Ints("ax", nil, 0).Node("y = Slice(x,a,e,ax,a)"), "Slice_0"},
		{"first record for all", x().Ints("i", []int64{1}, 0).Node("f = Gather(x,i)").Node("y = Add(x,f)"), "Gather_0"},
		{"shifted by one record", x().Ints("p", nil, 1, 0, 0, 0).Node("y = Pad(x,p)"), "Pad_0"},
		{"top k over records", x().Ints("k", nil, 1).Node("y,i = TopK(x,k)", ir.Attrs{"axis": int64(0)}), "TopK_0"},
		{"compressed batch", x().Node("i = NonZero(x)").Node("t = Transpose(i)").Node("y = GatherND(x,t)"), "NonZero_0"},
		{"position-dependent scale", x().Ints("z", []int64{}, 0).Ints("o", []int64{}, 1).Node("s = Shape(x)", ir.Attrs{"end": int64(1)}).Node("n = Squeeze(s)").
			Node("r = Range(z,n,o)").Node("f = Cast(r)", ir.Attrs{"to": int64(1)}).Ints("a", nil, 1).Node("c = Unsqueeze(f,a)").Node("y = Mul(x,c)"), "Mul_5"},
		{"dynamic quantisation", x().Node("q,s,z = DynamicQuantizeLinear(x)").Node("f = DequantizeLinear(q,s,z)").Node("y = Identity(f)"), "DynamicQuantizeLinear_0"},
		{"scaled by the record's place", x().Ints("i", []int64{}, 0).Node("q = Cast(x)", ir.Attrs{"to": int64(ir.Int8)}).Fill("s", 4).Node("y = DequantizeLinear(q,s)", ir.Attrs{"axis": int64(0)}), "DequantizeLinear_1"},
		{"reads another record by index", xt().Input("i", ir.Int64, "n", "t", 2).Node("y = GatherND(x,i)"), "GatherND_0"},
		{"norm over the batch axis", x().Fill("s", 3).Node("xt = Transpose(x)").Node("l = LayerNormalization(xt,s)").Node("y = Transpose(l)"), "LayerNormalization_1"},
		{"unknown operator", x().Domain("acme", 1).Node("y = acme::Blend(x)"), "Blend_0"},
		{"one record for all by GatherND", xt().Ints("i", []int64{1, 1}, -1).Node("g = GatherND(x,i)").Node("y = Add(x,g)"), "GatherND_0"},
		{"unknown operator on weights", x().Domain("acme", 1).Fill("w", 3).Node("k = acme::Bias(w)").Node("y = Add(x,k)"), "Bias_0"},
		{"two inputs read crosswise", x().Input("z", ir.Float32, 3, "n").Node("y = MatMul(x,z)"), "y"},
		{"not a row per record", x().Node("y = Transpose(x)"), "y"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := prove(t, c.graph.Graph()).Check("y")
			if !errors.Is(err, ErrMixed) {
				t.Fatalf("accepted: %v", err)
			}
			if !strings.Contains(err.Error(), c.blame) {
				t.Fatalf("blames %v; want %s", err, c.blame)
			}
		})
	}
}

func TestSeparateGraphsAreAccepted(t *testing.T) {
	xt := func() *irtest.Builder { return irtest.New(18).Input("x", ir.Float32, "n", "t", 4).Output("y") }
	cases := []struct {
		name  string
		graph *irtest.Builder
	}{
		{"attention within a record", xt().Node("k = Transpose(x)", ir.Attrs{"perm": []int64{0, 2, 1}}).Node("s = MatMul(x,k)").Node("p = Softmax(s)").Node("y = MatMul(p,x)")},
		{"flattened linear", xt().Fill("w", 4, 5).Ints("f", nil, -1, 4).Node("r = Reshape(x,f)").Node("h = Gemm(r,w)").Node("s = Shape(x)").
			Ints("a", nil, 0).Ints("b", nil, 2).Node("bt = Slice(s,a,b)").Ints("five", nil, 5).Node("to = Concat(bt,five)", ir.Attrs{"axis": int64(0)}).Node("y = Reshape(h,to)")},
		{"sequence first", xt().Fill("w", 4, 4).Node("s = Transpose(x)", ir.Attrs{"perm": []int64{1, 0, 2}}).Node("h = MatMul(s,w)").Node("y = Transpose(h)", ir.Attrs{"perm": []int64{1, 0, 2}})},
		{"identity by GatherND", xt().Ints("z", []int64{}, 0).Ints("o", []int64{}, 1).Node("s = Shape(x)", ir.Attrs{"end": int64(1)}).Node("n = Squeeze(s)").
			Node("r = Range(z,n,o)").Ints("a", nil, 1).Node("c = Unsqueeze(r,a)").Node("y = GatherND(x,c)")},
		{"one place behind the records' axis", xt().Ints("i", []int64{1, 1}, -1).Node("f = Transpose(x)", ir.Attrs{"perm": []int64{2, 0, 1}}).Node("g = GatherND(f,i)").
			Ints("a", nil, 0).Node("y = Squeeze(g,a)")},
		{"rows of a quantised table", irtest.New(18).Input("ids", ir.Int64, "n", "t").Output("y").Raw("table", ir.Int8, []int64{2, 3}, 1, 2, 3, 4, 5, 6).Fill("s", 3).
			Node("r = Gather(table,ids)").Node("y = DequantizeLinear(r,s)", ir.Attrs{"axis": int64(2)})},
		{"mean over the sequence", xt().Ints("a", nil, 1).Node("m = ReduceMean(x,a)").Node("y = Sub(x,m)")},
		{"head size from a shape", xt().Node("s = Shape(x)").Ints("a", nil, 2).Node("d = Gather(s,a)").Node("f = Cast(d)", ir.Attrs{"to": int64(1)}).Node("q = Sqrt(f)").Node("y = Div(x,q)")},
		{"one token expanded over the batch", irtest.New(18).Input("x", ir.Float32, "n", "t", 4).Output("y").Fill("cls", 1, 1, 4).Node("s = Shape(x)", ir.Attrs{"end": int64(1)}).
			Ints("rest", nil, 1, 4).Node("to = Concat(s,rest)", ir.Attrs{"axis": int64(0)}).Node("e = Expand(cls,to)").Node("y = Concat(e,x)", ir.Attrs{"axis": int64(1)})},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if err := prove(t, c.graph.Graph()).Check("y"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Every exporter's models separate, at every float output.
func TestRealExportsSeparate(t *testing.T) {
	files, _ := filepath.Glob("../../testdata/models/*/model.onnx")
	if len(files) == 0 {
		t.Fatal("testdata/models holds no models")
	}
	shared, _ := filepath.Glob("../../../shared/data/models/*/*.onnx")
	if len(shared) == 0 {
		t.Log("skipping the models of ../shared/data/models: folder absent")
	}
	for _, f := range append(files, shared...) {
		t.Run(filepath.Base(filepath.Dir(f)), func(t *testing.T) {
			m, err := ir.Open(f)
			if err != nil {
				t.Fatal(err)
			}
			c, err := canon.Canonical(m.Graph())
			if err != nil {
				t.Fatal(err)
			}
			p := prove(t, c.Graph)
			for _, o := range c.Outputs {
				if err := p.Check(o.Name); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
