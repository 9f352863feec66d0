package gradcheck

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// packed replaces a constant by one of bytes.
func packed(g *ir.Graph, name string, dims ...int64) *ir.Graph {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	raw := make([]byte, n)
	for i := range raw {
		raw[i] = byte(i*89 + 17)
	}
	g.RemoveInit(name)
	g.AddInit(ir.NewRaw(name, ir.Uint8, dims, raw))
	g.Lifted[name] = true
	return g
}

// Activations before a quantised product have a gradient; the weights are
// constants.
func TestQuantisedWeightsPassGradients(t *testing.T) {
	env, err := ort.Load("")
	if err != nil {
		t.Fatal(err)
	}
	nbits := attrs{"K": int64(32), "N": int64(3), "bits": int64(4), "block_size": int64(16)}
	wide := func() *irtest.Builder {
		return irtest.New(18).Domain("com.microsoft", 1).Output("y").Ints("w", nil, 0).Ints("z", nil, 0).Fill("a", 2, 4, 32).Const("s", []int64{3, 2}, .1, .2, .3, .15, .25, .05)
	}
	cases := map[string]*ir.Graph{
		"MatMulNBits":             packed(wide().Node("y = com.microsoft::MatMulNBits(a,w,s)", nbits).Graph(), "w", 3, 2, 8),
		"MatMulNBits, zero point": packed(packed(wide().Node("y = com.microsoft::MatMulNBits(a,w,s,z)", nbits).Graph(), "w", 3, 2, 8), "z", 3, 1),
		"DequantizeLinear": packed(irtest.New(18).Output("y").Ints("w", nil, 0).Fill("a", 2, 4).Const("s", []int64{}, .1).
			Node("f = DequantizeLinear(w,s)").Node("y = MatMul(a,f)").Graph(), "w", 4, 3),
	}
	for name, g := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := Check(t.Context(), env, g, nil, Single, rand.New(rand.NewPCG(1, 1)))
			if err != nil {
				t.Fatal(err)
			}
			if e := r.Error(); !(e < 2e-3) || r.Scale == 0 {
				t.Errorf("vjp %.9g, numeric %.9g", r.VJP, r.Numeric)
			}
		})
	}
}

// A gradient is never stopped without a word by quantised activations or by
// trained scales.
func TestQuantisedActivationsAreRefused(t *testing.T) {
	env, err := ort.Load("")
	if err != nil {
		t.Fatal(err)
	}
	start := func() *irtest.Builder {
		return irtest.New(18).Output("y").Fill("a", 2, 3).Const("s", []int64{}, .1)
	}
	cases := map[string]struct {
		graph *irtest.Builder
		blame string
	}{
		"quantised and back": {start().Node("q = QuantizeLinear(a,s)").Node("y = DequantizeLinear(q,s)"), "DequantizeLinear_1"},
		"quantised, reshaped and back": {start().Ints("f", nil, 6).Node("q = QuantizeLinear(a,s)").Node("r = Reshape(q,f)").
			Node("y = DequantizeLinear(r,s)"), "DequantizeLinear_2"},
		"integer product": {start().Ints("t", nil, 3, 2).Node("q = QuantizeLinear(a,s)").Node("w = Reshape(q,t)").Node("i = MatMulInteger(q,w)").
			Node("y = Cast(i)", attrs{"to": int64(1)}), "Cast_3"},
		"dynamic":       {start().Node("q,qs,z = DynamicQuantizeLinear(a)").Node("y = DequantizeLinear(q,qs,z)"), "DequantizeLinear_1"},
		"trained scale": {irtest.New(18).Output("y").Floats("sc", []int64{1}, .1).Ints("n", []int64{1}, 3).Node("w = Cast(n)", attrs{"to": int64(3)}).Node("y = DequantizeLinear(w,sc)", attrs{"axis": int64(0)}), "DequantizeLinear_1"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Check(t.Context(), env, c.graph.Graph(), nil, Single, rand.New(rand.NewPCG(1, 1)))
			if !errors.Is(err, onnxgrad.ErrNoGradient) || !strings.Contains(err.Error(), c.blame) {
				t.Errorf("got %v; want a refusal that names %s", err, c.blame)
			}
		})
	}
}
