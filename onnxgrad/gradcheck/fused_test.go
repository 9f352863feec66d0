package gradcheck

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/canon"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// A spelling is one way to write an operator that the canonical form has in one
// piece, of the trained vector a.
type spelling struct {
	graph *irtest.Builder
	fused string // the operator it becomes; "" where it must stay
}

// spelled starts a graph of the trained vector a with the constants of activation
// functions, as exporters round them.
func spelled() *irtest.Builder {
	return irtest.New(18).Output("y").Floats("a", []int64{int64(len(points))}, points...).
		Const("half", nil, .5).Const("one", nil, 1).Const("two", nil, 2).Const("three", nil, 3).Const("root2", nil, math.Sqrt2).
		Const("k", nil, 0.79788456).Const("c", nil, 0.044715).Const("half1", []int64{1}, .5)
}

// points lie where the functions bend, and far out, where a careless form
// overflows.
var points = func() []float32 {
	out := []float32{0, float32(math.Copysign(0, -1)), 1e-30, -1e-30, 1e-7, -1e-7, 5.5, -5.5, 9, -9, 13.7, -13.7, 88, -88, 104, -104, 1e4, -1e4, 3e9, -3e9, 1e12, -1e12}
	rng := rand.New(rand.NewPCG(7, 1))
	for range 200 {
		out = append(out, float32(rng.NormFloat64()*3))
	}
	return out
}()

// activationSpellings are the forms of PyTorch's exporters, of transformers' own
// functions, of TensorFlow's and of this project's converter, and what only looks
// like them.
var activationSpellings = map[string]spelling{
	"erf, TorchScript": {spelled().Node("d = Div(a,root2)").Node("e = Erf(d)").Node("p = Add(e,one)").Node("m = Mul(a,p)").Node("y = Mul(m,half)"), "Gelu"},
	"erf, half first": {spelled().Const("inverse", nil, 0.70710678).Node("d = Mul(a,inverse)").Node("e = Erf(d)").Node("p = Add(one,e)").Node("h = Mul(half,a)").
		Node("y = Mul(h,p)"), "Gelu"},
	"erf, half of the sum": {spelled().Node("d = Div(a,root2)").Node("e = Erf(d)").Node("p = Add(e,one)").Node("h = Mul(p,half1)").Node("y = Mul(h,a)"), "Gelu"},
	"erf, root at run time": {spelled().Node("r = Sqrt(two)").Node("d = Div(a,r)").Node("e = Erf(d)").Node("p = Add(e,one)").Node("q = Div(p,two)").
		Node("y = Mul(a,q)"), "Gelu"},
	"erf, two terms": {spelled().Node("d = Div(a,root2)").Node("e = Erf(d)").Node("h = Mul(a,half)").Node("z = Mul(e,h)").Node("y = Add(z,h)"), "Gelu"},
	"erf of an inner value": {spelled().Node("b = Mul(a,three)").Node("d = Div(b,root2)").Node("e = Erf(d)").Node("p = Add(e,one)").Node("m = Mul(b,p)").
		Node("y = Mul(m,half)"), "Gelu"},
	"tanh, Pow": {spelled().Node("cube = Pow(a,three)").Node("s = Mul(cube,c)").Node("i = Add(a,s)").Node("u = Mul(i,k)").Node("t = Tanh(u)").
		Node("p = Add(t,one)").Node("h = Mul(a,half)").Node("y = Mul(h,p)"), "FastGelu"},
	"tanh, products": {spelled().Node("s = Mul(a,a)").Node("b = Mul(s,a)").Node("d = Mul(b,c)").Node("i = Add(a,d)").Node("u = Mul(k,i)").Node("t = Tanh(u)").
		Node("p = Add(one,t)").Node("m = Mul(p,half)").Node("y = Mul(a,m)"), "FastGelu"},
	"tanh, gelu_fast": {spelled().Node("h = Mul(a,half)").Node("n = Mul(a,k)").Node("s = Mul(a,c)").Node("q = Mul(s,a)").Node("r = Add(q,one)").Node("u = Mul(n,r)").
		Node("t = Tanh(u)").Node("p = Add(t,one)").Node("y = Mul(h,p)"), "FastGelu"},
	"sigmoid of the cube": {spelled().Const("k2", nil, 1.5957691216).Node("cube = Pow(a,three)").Node("s = Mul(cube,c)").Node("i = Add(a,s)").Node("u = Mul(i,k2)").
		Node("t = Sigmoid(u)").Node("y = Mul(t,a)"), "FastGelu"},
	"SiLU":      {spelled().Node("s = Sigmoid(a)").Node("y = Mul(a,s)"), "QuickGelu"},
	"QuickGELU": {spelled().Const("q", nil, 1.702).Node("u = Mul(q,a)").Node("s = Sigmoid(u)").Node("y = Mul(s,a)"), "QuickGelu"},

	"another root":          {spelled().Node("d = Div(a,half)").Node("e = Erf(d)").Node("p = Add(e,one)").Node("m = Mul(a,p)").Node("y = Mul(m,half)"), ""},
	"another constant":      {spelled().Const("c2", nil, 0.0447).Node("cube = Pow(a,three)").Node("s = Mul(cube,c2)").Node("i = Add(a,s)").Node("u = Mul(i,k)").Node("t = Tanh(u)").Node("p = Add(t,one)").Node("h = Mul(a,half)").Node("y = Mul(h,p)"), ""},
	"the root is read":      {spelled().Node("d = Div(a,root2)").Node("e = Erf(d)").Node("p = Add(e,one)").Node("m = Mul(a,p)").Node("z = Mul(m,half)").Node("y = Add(z,d)"), ""},
	"the gate is read":      {spelled().Node("s = Sigmoid(a)").Node("z = Mul(a,s)").Node("y = Add(z,s)"), ""},
	"a gate of another":     {spelled().Node("b = Neg(a)").Node("s = Sigmoid(b)").Node("t = Tanh(a)").Node("y = Mul(t,s)"), ""},
	"a half that learns":    {spelled().Floats("w", []int64{1}, .5).Node("d = Div(a,root2)").Node("e = Erf(d)").Node("p = Add(e,one)").Node("m = Mul(a,p)").Node("y = Mul(m,w)"), ""},
	"a constant with axes":  {spelled().Const("wide", []int64{1, 1}, .5).Node("d = Div(a,root2)").Node("e = Erf(d)").Node("p = Add(e,one)").Node("m = Mul(a,p)").Node("y = Mul(m,wide)"), ""},
	"a sum that is shifted": {spelled().Node("d = Div(a,root2)").Node("e = Erf(d)").Node("p = Add(e,one)").Node("m = Mul(a,p)").Node("h = Mul(m,half)").Node("y = Add(h,one)"), "Gelu"},
}

func TestActivationSpellings(t *testing.T) { checkSpellings(t, activationSpellings) }

// checkSpellings compares a graph with its canonical form: which operators it has,
// its result and its gradient.
func checkSpellings(t *testing.T, cases map[string]spelling) {
	env, err := ort.Load("")
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range cases {
		t.Run(name, func(t *testing.T) {
			g := s.graph.Graph()
			c, err := canon.Canonical(g.Clone())
			if err != nil {
				t.Fatal(err)
			}
			found := slices.ContainsFunc(c.Nodes, func(n *ir.Node) bool { return n.Op == s.fused })
			if s.fused != "" && !found {
				t.Errorf("not recognised: %v", c.Nodes)
			}
			isFused := func(n *ir.Node) bool { return n.Domain != "" || strings.HasSuffix(n.Op, "Normalization") }
			if i := slices.IndexFunc(c.Nodes, isFused); s.fused == "" && i >= 0 {
				t.Errorf("%v is not what the graph computes", c.Nodes[i])
			}
			plain, err := canon.Unfused(g)
			if err != nil {
				t.Fatal(err)
			}
			sameNumbers(t, env, c.Graph, plain.Graph)
		})
	}
}

// sameNumbers compares results and gradients of two graphs with trained vector a.
func sameNumbers(t *testing.T, env *ort.Env, got, want *ir.Graph) {
	t.Helper()
	y1, g1 := numbersOf(t, env, got)
	y2, g2 := numbersOf(t, env, want)
	a := points
	if len(y1) != len(y2) || len(g1) != len(g2) {
		t.Fatalf("%d and %d numbers, of the plain graph %d and %d", len(y1), len(g1), len(y2), len(g2))
	}
	for i := range y1 {
		if y1[i] != y1[i] && y2[i] != y2[i] {
			continue // neither has a value there
		}
		if !(math.Abs(y1[i]-y2[i]) <= 3e-6*(1e-3+math.Abs(y2[i])+math.Min(1, math.Abs(float64(a[i]))))) {
			t.Errorf("y at %g: %g, of the plain graph %g", a[i], y1[i], y2[i])
		}
	}
	for i := range g1 {
		if g1[i] != g1[i] && g2[i] != g2[i] {
			continue
		}
		if !(math.Abs(g1[i]-g2[i]) <= 5e-6*(1+math.Abs(g2[i]))) {
			t.Errorf("gradient at %g: %g, of the plain graph %g", a[i], g1[i], g2[i])
		}
	}
}

// numbersOf runs a graph and its gradient, in single precision, with a fixed seed.
func numbersOf(t *testing.T, env *ort.Env, g *ir.Graph) (y, gradient []float64) {
	t.Helper()
	c, err := New(env, g, nil, []string{"a"}, Single)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	out, err := c.forward.Run(t.Context(), c.feeds, ort.Outputs("y")...)
	if err != nil {
		t.Fatal(err)
	}
	if y, err = numbers(out["y"]); err != nil {
		t.Fatal(err)
	}
	seed := make([]float64, len(y))
	for i := range seed {
		seed[i] = 1 + math.Sin(float64(i))/2
	}
	if c.feeds["seed of y"], err = c.tensor(out["y"].Shape(), seed); err != nil {
		t.Fatal(err)
	}
	if out, err = c.gradient.Run(t.Context(), c.feeds, ort.Outputs("gradient of a")...); err != nil {
		t.Fatal(err)
	}
	if gradient, err = numbers(out["gradient of a"]); err != nil {
		t.Fatal(err)
	}
	return y, gradient
}
