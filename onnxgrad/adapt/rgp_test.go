package adapt_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/adapt"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
)

// matrixOf reads [in, out] numbers that are stored as a weight is.
func matrixOf(u adapt.LowRank, v []float32) *mat.Dense {
	m := mat.NewDense(int(u.In), int(u.Out), nil)
	for i := range int(u.In) {
		for j := range int(u.Out) {
			at := i*int(u.Out) + j
			if u.Transposed {
				at = j*int(u.In) + i
			}
			m.Set(i, j, float64(v[at]))
		}
	}
	return m
}

func dense(rows, cols int, v []float32) *mat.Dense {
	m := mat.NewDense(rows, cols, nil)
	for i, x := range v {
		m.Set(i/cols, i%cols, float64(x))
	}
	return m
}

func drawFloats(t *rapid.T, n int, name string) []float32 {
	return rapid.SliceOfN(rapid.Float32Range(-2, 2), n, n).Draw(t, name)
}

// TestRGPCarries: carriers are orthonormal whatever the direction, also where it vanishes or has too low a rank, and of a
// direction of their rank they lose nothing.
func TestRGPCarries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := adapt.LowRank{In: rapid.Int64Range(1, 9).Draw(t, "in"), Out: rapid.Int64Range(1, 9).Draw(t, "out"), Transposed: rapid.Bool().Draw(t, "transposed"), Scale: 1}
		rank := rapid.IntRange(1, int(min(u.In, u.Out))).Draw(t, "rank")
		var m []float32
		switch rapid.IntRange(0, 2).Draw(t, "direction") {
		case 0:
			m = make([]float32, u.In*u.Out)
		case 1:
			m = drawFloats(t, int(u.In*u.Out), "m")
		default: // of the carriers' rank
			m = make([]float32, u.In*u.Out)
			u.Merge(m, drawFloats(t, int(u.In)*rank, "left"), drawFloats(t, rank*int(u.Out), "right"))
		}
		a, b := make([]float32, int(u.In)*rank), make([]float32, rank*int(u.Out))
		u.Carry(m, rand.New(rand.NewPCG(1, 2)), a, b)
		A, B := dense(int(u.In), rank, a), dense(rank, int(u.Out), b)
		var aa, bb mat.Dense
		aa.Mul(A.T(), A)
		bb.Mul(B, B.T())
		for k := range rank {
			for l := range rank {
				want := 0.0
				if k == l {
					want = 1
				}
				if math.Abs(aa.At(k, l)-want) > 1e-5 || math.Abs(bb.At(k, l)-want) > 1e-5 {
					t.Fatalf("not orthonormal: %v, %v", mat.Formatted(&aa), mat.Formatted(&bb))
				}
			}
		}
		rest := make([]float32, len(m))
		u.Residual(m, a, b, rest)
		var sum mat.Dense
		sum.Mul(A, B)
		sum.Add(&sum, matrixOf(u, rest))
		sum.Sub(&sum, matrixOf(u, m))
		if mat.Max(&sum) > 1e-5 || mat.Min(&sum) < -1e-5 {
			t.Fatalf("residual and carriers are not the weight: %v", mat.Formatted(&sum))
		}
	})
}

// TestRGPProjects: with ∂A = ∂W·Bᵀ and ∂B = Aᵀ·∂W what Project gives is ∂W minus its part outside of the carriers,
// (1 − AAᵀ)·∂W·(1 − BᵀB), for weights stored either way and products with a factor.
func TestRGPProjects(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := adapt.LowRank{In: rapid.Int64Range(1, 8).Draw(t, "in"), Out: rapid.Int64Range(1, 8).Draw(t, "out"), Transposed: rapid.Bool().Draw(t, "transposed"), Scale: 1}
		rank := rapid.IntRange(1, int(min(u.In, u.Out))).Draw(t, "rank")
		dw := drawFloats(t, int(u.In*u.Out), "gradient")
		a, b := make([]float32, int(u.In)*rank), make([]float32, rank*int(u.Out))
		u.Carry(drawFloats(t, len(dw), "direction"), rand.New(rand.NewPCG(3, 4)), a, b)
		W, A, B := matrixOf(u, dw), dense(int(u.In), rank, a), dense(rank, int(u.Out), b)
		var da, db mat.Dense
		da.Mul(W, B.T())
		db.Mul(A.T(), W)
		u.Scale = rapid.SampledFrom([]float64{1, 2, 0.25}).Draw(t, "scale")
		got := make([]float32, len(dw))
		u.Project(floats(&da), floats(&db), a, b, got)

		var left, right, outside mat.Dense
		left.Mul(A, A.T())
		left.Sub(identity(int(u.In)), &left)
		right.Mul(B.T(), B)
		right.Sub(identity(int(u.Out)), &right)
		outside.Mul(&left, W)
		outside.Mul(&outside, &right)
		outside.Sub(W, &outside)
		g := matrixOf(u, got)
		g.Scale(u.Scale, g)
		g.Sub(g, &outside)
		if mat.Max(g) > 1e-4 || mat.Min(g) < -1e-4 {
			t.Fatalf("off by %v", mat.Formatted(g))
		}
	})
}

func identity(n int) *mat.Dense {
	m := mat.NewDense(n, n, nil)
	for i := range n {
		m.Set(i, i, 1)
	}
	return m
}

func floats(m *mat.Dense) []float32 {
	rows, cols := m.Dims()
	v := make([]float32, 0, rows*cols)
	for i := range rows {
		for j := range cols {
			v = append(v, float32(m.At(i, j)))
		}
	}
	return v
}

// TestRGPRewritesProducts: the graph has carriers of its own names, and its weights are what is left without them.
func TestRGPRewritesProducts(t *testing.T) {
	w := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	g := irtest.New(18).Input("x", ir.Float32, "B", 3).Floats("layer.weight", []int64{4, 3}, w...).
		Node("y = Gemm(x, layer.weight)", ir.Attrs{"transB": int64(1), "alpha": float32(0.5)}).Output("y").Graph()
	updates, err := adapt.RGP{Rank: 2, Source: source}.Apply(g, []string{"layer.weight"})
	if err != nil {
		t.Fatal(err)
	}
	u := updates[0]
	if u.A != "layer.rgp_A.weight" || u.B != "layer.rgp_B.weight" || u.Scale != 2 || !u.Transposed {
		t.Errorf("update %+v", u)
	}
	parts := map[string][]float32{}
	for _, name := range []string{u.Weight, u.A, u.B} {
		if parts[name], err = g.Inits[name].Float32s(); err != nil {
			t.Fatal(err)
		}
	}
	u.Merge(parts[u.Weight], parts[u.A], parts[u.B])
	for i, v := range parts[u.Weight] {
		if math.Abs(float64(v-w[i])) > 1e-5 {
			t.Errorf("weight %d is %g, was %g", i, v, w[i])
		}
	}
	if _, err := (adapt.RGP{Rank: 5, Source: source}).Apply(g, []string{"layer.weight"}); err == nil {
		t.Error("rank 5 of a 4 by 3 matrix is taken")
	}
}
