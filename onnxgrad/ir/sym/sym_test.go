package sym

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

var b, t, h = Var("batch"), Var("sequence"), Const(12)

func TestArithmeticPrints(tt *testing.T) {
	cases := []struct {
		got  Dim
		want string
	}{
		{Const(0), "0"},
		{Mul(b, Mul(t, Const(24))), "24*batch*sequence"},
		{Add(Mul(b, t), Const(-3)), "batch*sequence-3"},
		{Sub(t, t), "0"},
		{Mul(Add(b, Const(1)), Sub(b, Const(1))), "batch*batch-1"},
		{FloorDiv(Mul(Mul(b, t), Const(24)), Mul(b, t)), "24"},
		{FloorDiv(t, Const(2)), "floordiv(sequence,2)"},
		{FloorDiv(Const(-7), Const(2)), "-4"},
		{Mod(Const(-7), Const(2)), "1"},
		{Min(Const(64), t), "min(64,sequence)"},
		{Max(Const(3), Const(9)), "9"},
	}
	for _, c := range cases {
		if c.got.String() != c.want {
			tt.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

func TestDivExact(tt *testing.T) {
	if q, ok := DivExact(Mul(Add(b, t), Add(b, h)), Add(b, t)); !ok || !Equal(q, Add(b, h)) {
		tt.Errorf("(b+t)(b+12)/(b+t) = %v, %v", q, ok)
	}
	for _, c := range [][2]Dim{{Mul(b, Const(3)), Const(2)}, {b, t}, {Add(b, Const(1)), b}, {b, Const(0)}} {
		if q, ok := DivExact(c[0], c[1]); ok {
			tt.Errorf("%s / %s = %s, want no proof", c[0], c[1], q)
		}
	}
}

func TestBroadcast(tt *testing.T) {
	cases := []struct {
		a, b Dim
		want string
		ok   bool
	}{
		{b, Const(1), "batch", true},
		{Const(1), t, "sequence", true},
		{Const(4), Const(5), "", false},
		{b, Const(5), "5", true},
		{t, Min(Const(64), t), "sequence", true},
		{Sub(Min(Const(64), Add(t, Const(3))), Const(3)), t, "sequence", true}, // min(61, t)
		{Sub(Min(Const(4), Add(t, Const(3))), Const(3)), t, "broadcast(min(4,sequence+3)-3,sequence)", true},
		{Min(Const(1), t), t, "broadcast(min(1,sequence),sequence)", true},
		{b, t, "broadcast(batch,sequence)", true},
	}
	for _, c := range cases {
		got, ok := Broadcast(c.a, c.b)
		if ok != c.ok || ok && got.String() != c.want {
			tt.Errorf("broadcast(%s, %s) = %s, %v; want %s, %v", c.a, c.b, got, ok, c.want, c.ok)
		}
	}
}

func TestContainsLooksInsideOpaqueSymbols(tt *testing.T) {
	if d := FloorDiv(b, Const(3)); !d.Contains("batch") || d.Contains("sequence") {
		tt.Errorf("%s", d)
	}
	if Var("batch_size").Contains("batch") {
		tt.Error("a longer name is not the symbol")
	}
}

func TestOverflowBecomesOpaqueNotWrong(tt *testing.T) {
	huge := Const(math.MaxInt64)
	for _, d := range []Dim{Mul(huge, Const(2)), Add(huge, huge), Mul(Const(math.MinInt64), Const(-1))} {
		if c, ok := d.Const(); ok {
			tt.Errorf("overflow gave the constant %d", c)
		}
	}
}

// Every operation must agree with integer arithmetic at random points.
func TestOperationsAgreeWithIntegers(tt *testing.T) {
	rapid.Check(tt, func(r *rapid.T) {
		env := map[string]int64{"batch": rapid.Int64Range(1, 9).Draw(r, "batch"), "sequence": rapid.Int64Range(1, 9).Draw(r, "seq")}
		x, y := randomDim(r, "x"), randomDim(r, "y")
		vx, _ := x.Eval(env)
		vy, _ := y.Eval(env)
		check := func(name string, d Dim, want int64) {
			if got, ok := d.Eval(env); ok && got != want {
				r.Fatalf("%s of %s and %s at %v: %d, want %d", name, x, y, env, got, want)
			}
		}
		check("add", Add(x, y), vx+vy)
		check("sub", Sub(x, y), vx-vy)
		check("mul", Mul(x, y), vx*vy)
		check("min", Min(x, y), min(vx, vy))
		check("max", Max(x, y), max(vx, vy))
		if vy != 0 {
			check("floor of the quotient", FloorDiv(x, y), int64(math.Floor(float64(vx)/float64(vy))))
			check("mod", Mod(x, y), vx-vy*int64(math.Floor(float64(vx)/float64(vy))))
		}
		if q, ok := DivExact(Mul(x, y), y); vy != 0 {
			if !ok {
				r.Fatalf("%s·%s is not divisible by %s", x, y, y)
			}
			check("div", q, vx)
		}
		if Equal(x, y) && vx != vy {
			r.Fatalf("%s = %s but %d ≠ %d", x, y, vx, vy)
		}
	})
}

func randomDim(r *rapid.T, label string) Dim {
	d := Const(rapid.Int64Range(-3, 3).Draw(r, label+".c"))
	for range rapid.IntRange(0, 3).Draw(r, label+".n") {
		m := Const(rapid.Int64Range(-3, 3).Draw(r, label+".k"))
		for range rapid.IntRange(0, 2).Draw(r, label+".d") {
			m = Mul(m, rapid.SampledFrom([]Dim{b, t}).Draw(r, label+".v"))
		}
		d = Add(d, m)
	}
	return d
}
