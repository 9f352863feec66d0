package gradcheck

import (
	"math/rand/v2"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/canon"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

type attrs = ir.Attrs

// p starts a graph with parameters a (by default [2,3]) and output y.
func p(dims ...int64) *irtest.Builder {
	if dims == nil {
		dims = []int64{2, 3}
	}
	return irtest.New(18).Output("y").Fill("a", dims...)
}

// positive has a > 0.
func positive() *irtest.Builder {
	return irtest.New(18).Output("y").Floats("a", []int64{2, 3}, .3, 1.2, .7, 2.5, .9, 1.6)
}

// ruleCases differentiates every rule of the table, with the variants of
// attributes, broadcasting on either side and duplicate indices that matter.
var ruleCases = map[string]*irtest.Builder{
	"Identity": p().Node("y = Identity(a)"), "Neg": p().Node("y = Neg(a)"), "Exp": p().Node("y = Exp(a)"),
	"Sqrt": positive().Node("y = Sqrt(a)"), "Log": positive().Node("y = Log(a)"), "Reciprocal": positive().Node("y = Reciprocal(a)"),
	"Tanh": p().Node("y = Tanh(a)"), "Sigmoid": p().Node("y = Sigmoid(a)"), "Relu": p().Node("y = Relu(a)"), "Abs": p().Node("y = Abs(a)"),
	"Sin": p().Node("y = Sin(a)"), "Cos": p().Node("y = Cos(a)"), "Softplus": p().Node("y = Softplus(a)"),
	"Elu": p().Node("y = Elu(a)", attrs{"alpha": float32(1.5)}), "LeakyRelu": p().Node("y = LeakyRelu(a)", attrs{"alpha": float32(.2)}),
	"HardSigmoid":       p().Node("y = HardSigmoid(a)", attrs{"alpha": float32(.6)}),
	"Cast":              p().Node("y = Cast(a)", attrs{"to": int64(1)}),
	"Cast to int stops": p().Node("i = Cast(a)", attrs{"to": int64(7)}).Node("f = Cast(i)", attrs{"to": int64(1)}).Node("y = Add(f,a)"),
	"Round stops":       p().Floats("k", []int64{1}, 1.3).Node("s = Mul(a,k)").Node("r = Floor(s)").Node("y = Add(r,a)"),

	"Add": p().Fill("b", 2, 3).Node("y = Add(a,b)"), "Add broadcast right": p().Fill("b", 3).Node("y = Add(a,b)"),
	"Add broadcast left": p(3).Fill("b", 4, 2, 3).Node("y = Add(a,b)"), "Add both ways": p(2, 1).Fill("b", 4, 1, 3).Node("y = Add(a,b)"),
	"Add to itself": p().Node("y = Add(a,a)"), "Sub": p().Fill("b", 3).Node("y = Sub(a,b)"), "Sub left": p(3).Fill("b", 2, 3).Node("y = Sub(a,b)"),
	"Mul": p().Fill("b", 2, 1).Node("y = Mul(a,b)"), "Mul square": p().Node("y = Mul(a,a)"),
	"Div": p().Floats("b", []int64{3}, 1.5, -.7, 2).Node("y = Div(a,b)"), "Div scalar": positive().Floats("b", nil, 1.5).Node("y = Div(b,a)"),
	"Pow 2": p().Const("b", nil, 2).Node("y = Pow(a,b)"), "Pow 1": p().Const("b", nil, 1).Node("y = Pow(a,b)"), "Pow 3": p().Ints("e", []int64{}, 3).Node("y = Pow(a,e)"),
	"Pow both": positive().Floats("b", []int64{3}, 1.5, -.7, 2.2).Node("y = Pow(a,b)"), "Sum": p().Fill("b", 3).Fill("c", 1).Node("y = Sum(a,b,c)"),
	"Pow fraction": positive().Const("b", nil, -.5).Node("y = Pow(a,b)"), "Max": p().Fill("b", 3).Node("y = Max(a,b)"), "Min": p().Fill("b", 2, 1).Node("y = Min(a,b)"),
	"Clip": p().Const("lo", nil, -.3).Const("hi", nil, .4).Node("y = Clip(a,lo,hi)"), "Clip below": p().Const("lo", nil, -.3).Node("y = Clip(a,lo,)"),
	"PRelu": p().Floats("b", []int64{3}, .2, .3, .4).Node("y = PRelu(a,b)"),
	"Where": p().Fill("b", 3).Const("k", []int64{2, 1}, .5, -.5).Node("c = Greater(k,k2)").Const("k2", nil, 0).Node("y = Where(c,a,b)"),

	"Reshape": p().Ints("s", nil, 3, -1).Node("r = Reshape(a,s)").Node("y = Mul(r,r)"), "Flatten": p(2, 3, 2).Node("r = Flatten(a)", attrs{"axis": int64(2)}).Node("y = Exp(r)"),
	"Squeeze": p(2, 1, 3).Ints("s", nil, -2).Node("r = Squeeze(a,s)").Node("y = Exp(r)"), "Unsqueeze": p().Ints("s", nil, 0, -1).Node("r = Unsqueeze(a,s)").Node("y = Exp(r)"),
	"Transpose": p(2, 3, 4).Node("r = Transpose(a)", attrs{"perm": []int64{2, 0, 1}}).Node("y = Exp(r)"), "Transpose default": p(2, 3, 4).Node("r = Transpose(a)").Node("y = Exp(r)"),
	"Expand":                 p(2, 1).Ints("s", nil, 3, 1, 4).Node("r = Expand(a,s)").Fill("b", 3, 2, 4).Node("y = Mul(r,b)"),
	"Concat":                 p().Fill("b", 2, 2).Node("r = Concat(a,b,a)", attrs{"axis": int64(-1)}).Node("y = Exp(r)"),
	"Split":                  p(2, 5).Ints("s", nil, 2, 3).Node("u,v = Split(a,s)", attrs{"axis": int64(1)}).Node("e = Exp(u)").Ints("ax", nil, 1).Node("t = ReduceSum(v,ax)").Node("y = Add(e,t)"),
	"Split, one part unused": p(2, 6).Node("u,v,w = Split(a)", attrs{"axis": int64(1), "num_outputs": int64(3)}).Node("e = Exp(u)").Node("y = Mul(e,w)"),
	"Trilu":                  p(3, 3).Node("r = Trilu(a)", attrs{"upper": int64(0)}).Node("y = Exp(r)"), "CumSum": p(2, 4).Ints("ax", []int64{}, -1).Node("r = CumSum(a,ax)").Node("y = Exp(r)"),
	"CumSum exclusive reverse": p(2, 4).Ints("ax", []int64{}, 1).Node("r = CumSum(a,ax)", attrs{"exclusive": int64(1), "reverse": int64(1)}).Node("y = Exp(r)"),
	"Pad":                      p().Ints("s", nil, 0, 1, 2, 0).Node("r = Pad(a,s)").Node("y = Exp(r)"),

	"Gather rows, duplicates": p(5, 3).Ints("i", []int64{2, 2}, 4, 0, 4, 1).Node("r = Gather(a,i)").Node("y = Exp(r)"),
	"Gather columns":          p(3, 5).Ints("i", nil, 4, -1, 2).Node("r = Gather(a,i)", attrs{"axis": int64(1)}).Node("y = Exp(r)"),
	"Gather one":              p(3, 5).Ints("i", []int64{}, 2).Node("r = Gather(a,i)", attrs{"axis": int64(1)}).Node("y = Exp(r)"),
	"Gather last":             p(3, 5).Ints("i", []int64{1}, -1).Node("r = Gather(a,i)", attrs{"axis": int64(1)}).Node("y = Exp(r)"),
	"Gather middle":           p(2, 5, 3).Ints("i", []int64{2, 2}, 0, 3, 3, 1).Node("r = Gather(a,i)", attrs{"axis": int64(1)}).Node("y = Exp(r)"),
	"GatherElements":          p(3, 4).Ints("i", []int64{3, 2}, 0, 3, 1, 1, 2, 0).Node("r = GatherElements(a,i)", attrs{"axis": int64(1)}).Node("y = Exp(r)"),
	"GatherND":                p(3, 4).Ints("i", []int64{3, 2}, 0, 3, 1, 1, 0, 3).Node("r = GatherND(a,i)").Node("y = Exp(r)"),
	"Slice":                   p(4, 6).Ints("s", nil, 1, 2).Ints("e", nil, 3, 5).Node("r = Slice(a,s,e)").Node("y = Exp(r)"),
	"Slice negative":          p(4, 6).Ints("s", nil, -3).Ints("e", nil, -1).Ints("x", nil, 1).Node("r = Slice(a,s,e,x)").Node("y = Exp(r)"),
	"Slice backwards":         p(4, 6).Ints("s", nil, -1).Ints("e", nil, -9223372036854775808).Ints("x", nil, 1).Ints("st", nil, -2).Node("r = Slice(a,s,e,x,st)").Node("y = Exp(r)"),
	"Slice to the end":        p(4, 6).Ints("s", nil, 2).Ints("e", nil, 9223372036854775807).Ints("x", nil, -1).Node("r = Slice(a,s,e,x)").Node("y = Exp(r)"),

	"ReduceSum":              p(2, 3, 4).Ints("ax", nil, 0, -1).Node("r = ReduceSum(a,ax)").Node("y = Exp(r)"),
	"ReduceSum all":          p().Node("r = ReduceSum(a)", attrs{"keepdims": int64(0)}).Node("y = Exp(r)"),
	"ReduceSum none":         p().Node("r = ReduceSum(a)", attrs{"noop_with_empty_axes": int64(1)}).Node("y = Exp(r)"),
	"ReduceMean":             p(2, 3, 4).Ints("ax", nil, 1).Node("r = ReduceMean(a,ax)", attrs{"keepdims": int64(0)}).Node("y = Exp(r)"),
	"ReduceMean used beside": p().Ints("ax", nil, -1).Node("m = ReduceMean(a,ax)").Node("d = Sub(a,m)").Node("y = Mul(d,a)"),
	"ReduceMax":              p(2, 3, 4).Ints("ax", nil, 2).Node("r = ReduceMax(a,ax)").Node("y = Exp(r)"),
	"ReduceMin":              p(2, 3, 4).Ints("ax", nil, 1).Node("r = ReduceMin(a,ax)").Node("y = Exp(r)"),
	"ReduceL2":               p(2, 3, 4).Ints("ax", nil, 2).Node("r = ReduceL2(a,ax)").Node("y = Exp(r)"),
	"ReduceL1":               p(2, 3, 4).Ints("ax", nil, 2).Node("r = ReduceL1(a,ax)").Node("y = Exp(r)"),
	"ReduceSumSquare":        p(2, 3, 4).Ints("ax", nil, 2, 0).Node("y = ReduceSumSquare(a,ax)"),
	"ReduceLogSumExp":        p(2, 3, 4).Ints("ax", nil, 1).Node("y = ReduceLogSumExp(a,ax)"),

	"Softmax": p().Node("y = Softmax(a)"), "Softmax axis 0": p().Node("y = Softmax(a)", attrs{"axis": int64(0)}),
	"LogSoftmax": p().Node("y = LogSoftmax(a)"), "LogSoftmax middle": p(2, 3, 4).Node("y = LogSoftmax(a)", attrs{"axis": int64(1)}),

	"MatMul": p().Fill("b", 3, 4).Node("y = MatMul(a,b)"), "MatMul batched": p(2, 5, 3).Fill("b", 2, 3, 4).Node("y = MatMul(a,b)"),
	"MatMul shared right": p(2, 5, 3).Fill("b", 3, 4).Node("y = MatMul(a,b)"), "MatMul shared left": p(5, 3).Fill("b", 2, 3, 4).Node("y = MatMul(a,b)"),
	"MatMul broadcast": p(2, 1, 5, 3).Fill("b", 4, 3, 2).Node("y = MatMul(a,b)"), "MatMul vector right": p(2, 5, 3).Fill("b", 3).Node("y = MatMul(a,b)"),
	"MatMul vector left": p(3).Fill("b", 2, 3, 4).Node("y = MatMul(a,b)"), "MatMul vectors": p(3).Fill("b", 3).Node("y = MatMul(a,b)"),
	"MatMul with its transpose": p(3, 4).Node("t = Transpose(a)").Node("y = MatMul(a,t)"),
	"Gemm":                      p().Fill("b", 3, 4).Fill("c", 4).Node("y = Gemm(a,b,c)", attrs{"alpha": float32(.5), "beta": float32(2)}),
	"Gemm transposed right":     p().Fill("b", 4, 3).Node("y = Gemm(a,b)", attrs{"transB": int64(1)}), "Gemm transposed left": p(3, 2).Fill("b", 3, 4).Node("y = Gemm(a,b)", attrs{"transA": int64(1)}),
	"Gemm both transposed": p(3, 2).Fill("b", 4, 3).Fill("c", 2, 1).Node("y = Gemm(a,b,c)", attrs{"transA": int64(1), "transB": int64(1), "alpha": float32(1.5)}),
}

// singleCases have no double kernel in the runtime.
var singleCases = map[string]*irtest.Builder{
	"Erf": p().Node("y = Erf(a)"), "HardSwish": p().Node("y = HardSwish(a)"), "Mean": p().Fill("b", 3).Node("y = Mean(a,b)"),
	"Gelu": gelu("Gelu(a)", nil), "Gelu tanh": gelu("Gelu(a)", attrs{"approximate": "tanh"}),
	"com.microsoft.Gelu": gelu("com.microsoft::Gelu(a)", nil), "QuickGelu": gelu("com.microsoft::QuickGelu(a)", attrs{"alpha": float32(1.3)}),
	"FastGelu": gelu("com.microsoft::FastGelu(a)", nil), "FastGelu with bias": gelu("com.microsoft::FastGelu(a,b)", nil),
	"BiasGelu":                             gelu("com.microsoft::BiasGelu(a,b)", nil),
	"LayerNormalization":                   p(2, 4).Fill("g", 4).Fill("bb", 4).Node("y = LayerNormalization(a,g,bb)"),
	"LayerNormalization axis 1":            p(2, 3, 4).Fill("g", 3, 4).Node("y = LayerNormalization(a,g)", attrs{"axis": int64(1), "epsilon": float32(1e-3)}),
	"LayerNormalization, statistics named": p(2, 4).Fill("g", 4).Node("y,m,s = LayerNormalization(a,g)"),
	"SimplifiedLayerNormalization":         p(2, 4).Fill("g", 4).Node("y = SimplifiedLayerNormalization(a,g)", attrs{"epsilon": float32(1e-3)}),
	"RMSNormalization":                     irtest.New(23).Output("y").Fill("a", 2, 3, 4).Fill("g", 4).Node("y = RMSNormalization(a,g)"),
	"RMSNormalization axis 1":              irtest.New(23).Output("y").Fill("a", 2, 3, 4).Fill("g", 3, 4).Node("y = RMSNormalization(a,g)", attrs{"axis": int64(1)}),
	"Attention 23": irtest.New(23).Output("y").Fill("a", 1, 5, 8).Fill("k", 1, 5, 4).Fill("v", 1, 5, 4).
		Node("y = Attention(a,k,v)", attrs{"q_num_heads": int64(4), "kv_num_heads": int64(2), "is_causal": int64(1)}),
	"Attention 23, rank 4": irtest.New(23).Output("y").Fill("a", 1, 2, 5, 4).Fill("k", 1, 2, 3, 4).Fill("v", 1, 2, 3, 4).Fill("m", 5, 3).
		Node("y = Attention(a,k,v,m)", attrs{"scale": float32(.7)}),
}

func gelu(call string, a attrs) *irtest.Builder {
	if a == nil {
		a = attrs{}
	}
	return irtest.New(20).Domain("com.microsoft", 1).Output("y").Fill("a", 2, 3).Fill("b", 3).Node("y = "+call, a)
}

func TestRules(t *testing.T) {
	checkAll(t, ruleCases, Double, 1e-6)
}

func TestRulesInSinglePrecision(t *testing.T) {
	checkAll(t, singleCases, Single, 2e-3)
}

func checkAll(t *testing.T, cases map[string]*irtest.Builder, p Precision, tolerance float64) {
	env, err := ort.Load("")
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range cases {
		t.Run(name, func(t *testing.T) {
			c, err := canon.Canonical(b.Graph())
			if err != nil {
				t.Fatal(err)
			}
			for seed := range uint64(3) {
				r, err := Check(t.Context(), env, c.Clone(), nil, p, rand.New(rand.NewPCG(seed, 1)))
				if err != nil {
					t.Fatal(err)
				}
				if e := r.Error(); !(e < tolerance) {
					t.Errorf("seed %d: vjp %.9g, numeric %.9g, relative error %.2g", seed, r.VJP, r.Numeric, e)
				}
				if r.Scale == 0 {
					t.Errorf("nothing was compared")
				}
			}
		})
	}
}

// Extents that only the run decides: s may equal t, or be 1 and broadcast.
func TestBroadcastDecidedAtRunTime(t *testing.T) {
	env, err := ort.Load("")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []int64{1, 3} {
		g := irtest.New(18).Output("y").Input("x", ir.Float32, "n", "t", 4).Input("z", ir.Float32, "n", "s", 4).
			Fill("a", 4).Fill("b", 4).Node("u = Mul(x,a)").Node("v = Mul(z,b)").Node("w = Mul(u,v)").Node("y = Tanh(w)").Graph()
		feeds := map[string]*ort.Tensor{"x": ramp(t, 2, 3, 4), "z": ramp(t, 2, s, 4)}
		r, err := Check(t.Context(), env, g, feeds, Double, rand.New(rand.NewPCG(uint64(s), 1)))
		if err != nil {
			t.Fatal(err)
		}
		if e := r.Error(); !(e < 1e-6) {
			t.Errorf("s = %d: vjp %.9g, numeric %.9g", s, r.VJP, r.Numeric)
		}
	}
}

func ramp(t *testing.T, shape ...int64) *ort.Tensor {
	t.Helper()
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	data := make([]float32, n)
	for i := range data {
		data[i] = float32(i%7)/5 - .6
	}
	x, err := ort.NewTensor(shape, data)
	if err != nil {
		t.Fatal(err)
	}
	return x
}
