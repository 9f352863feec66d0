package adapt

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// RGP reparametrises weights by low-rank gradient carriers (Yu et al. 2021, "Large Scale Private Learning via Low-rank
// Reparametrization", 2106.09352, §3): where the graph computes y = x·W it becomes
//
//	y = x·(W − A·B) + (x·A)·B,   A [in, r] with orthonormal columns,  B [r, out] with orthonormal rows,
//
// which is the same function of x, and whose gradients in A and B are those of W projected: ∂A = ∂W·Bᵀ, ∂B = Aᵀ·∂W.
// A and B are what is trained, that is clipped and noised; the optimizer moves W ([LowRank.Project]), and new carriers
// are made of it before every step ([LowRank.Carry]).
type RGP struct {
	Rank int // r
	// Source draws where the carriers' power iteration begins, by the name of the weight.
	Source func(name string) *rand.Rand
}

// Apply reparametrises weights of g, in canonical form, with carriers of the weights themselves. Errors are those of
// [LoRA.Apply].
func (r RGP) Apply(g *ir.Graph, weights []string) ([]LowRank, error) {
	updates, err := LoRA{Rank: r.Rank, Alpha: float64(r.Rank), Source: r.Source, prefix: "rgp"}.Apply(g, weights)
	if err != nil {
		return nil, err
	}
	for _, u := range updates {
		w, err := g.Inits[u.Weight].Float32s()
		if err != nil {
			return nil, fmt.Errorf("%q: %w", u.Weight, err)
		}
		a, b := make([]float32, u.In*int64(r.Rank)), make([]float32, int64(r.Rank)*u.Out)
		u.Carry(w, r.Source(u.Weight), a, b)
		u.without(w, a, b)
		for name, v := range map[string][]float32{u.Weight: w, u.A: a, u.B: b} {
			g.Inits[name] = ir.NewFloat32(name, g.Inits[name].Dims, v)
		}
	}
	return updates, nil
}

// Residual puts W − A·B, what the graph multiplies by beside the carriers, into rest.
func (u LowRank) Residual(w, a, b, rest []float32) {
	copy(rest, w)
	u.without(rest, a, b)
}

func (u LowRank) without(w, a, b []float32) {
	u.Scale = -u.Scale
	u.Merge(w, a, b)
}

// Carry puts carriers of a direction into a and b: one power iteration from a random B (Yu et al., Algorithm 2),
//
//	A = orth(M·Bᵀ),  B = orth(Aᵀ·M),
//
// M [in, out] stored as the weight is. Columns that vanish, all of them where M = 0, are replaced by random ones.
func (u LowRank) Carry(m []float32, source *rand.Rand, a, b []float32) {
	rank := len(a) / int(u.In)
	rows := randomRows(rank, int(u.Out), source)
	columns := make([][]float64, rank) // of A
	for k := range columns {
		columns[k] = make([]float64, u.In)
	}
	u.each(m, func(i, j int, v float64) {
		for k := range rank {
			columns[k][i] += v * rows[k][j]
		}
	})
	orthonormal(columns, source)
	for k := range rows {
		clear(rows[k])
	}
	u.each(m, func(i, j int, v float64) {
		for k := range rank {
			rows[k][j] += v * columns[k][i]
		}
	})
	orthonormal(rows, source)
	for k := range rank {
		for i, v := range columns[k] {
			a[i*rank+k] = float32(v)
		}
		for j, v := range rows[k] {
			b[k*int(u.Out)+j] = float32(v)
		}
	}
}

// Project puts the gradient of W that those of its carriers stand for into g, stored as the weight is (Yu et al., eq. 5):
//
//	∂W = ∂A·B + A·∂B − A·Aᵀ·∂A·B,
//
// the projection of the gradient onto the carriers' columns and rows. It is linear in ∂A and ∂B, so noise stays noise, and
// what follows from noised ones is as private as they are.
func (u LowRank) Project(da, db, a, b, g []float32) {
	rank := len(a) / int(u.In)
	// ∂W = (∂A − A·(Aᵀ·∂A))·B + A·∂B
	inner := make([]float64, rank*rank)
	for i := range int(u.In) {
		for k := range rank {
			for l := range rank {
				inner[k*rank+l] += float64(a[i*rank+k]) * float64(da[i*rank+l])
			}
		}
	}
	left := make([]float64, rank)
	for i := range int(u.In) {
		for l := range rank {
			left[l] = float64(da[i*rank+l])
			for k := range rank {
				left[l] -= float64(a[i*rank+k]) * inner[k*rank+l]
			}
		}
		for j := range int(u.Out) {
			var sum float64
			for k := range rank {
				sum += left[k]*float64(b[k*int(u.Out)+j]) + float64(a[i*rank+k])*float64(db[k*int(u.Out)+j])
			}
			// The graph's product may have a factor beside the weight: what W is multiplied with, 1/Scale.
			g[u.at(i, j)] = float32(sum / u.Scale)
		}
	}
}

// at is the place of row i and column j in the weight's storage.
func (u LowRank) at(i, j int) int {
	if u.Transposed {
		return j*int(u.In) + i
	}
	return i*int(u.Out) + j
}

// each visits a matrix that is stored as the weight is.
func (u LowRank) each(m []float32, visit func(i, j int, v float64)) {
	for i := range int(u.In) {
		for j := range int(u.Out) {
			visit(i, j, float64(m[u.at(i, j)]))
		}
	}
}

func randomRows(n, width int, source *rand.Rand) [][]float64 {
	rows := make([][]float64, n)
	for k := range rows {
		rows[k] = make([]float64, width)
		for j := range rows[k] {
			rows[k][j] = source.NormFloat64()
		}
	}
	return rows
}

// orthonormal makes vectors orthonormal by Gram and Schmidt, twice for what rounding leaves; one that vanishes, or is not
// finite, is replaced by a random one. There may be no more vectors than they have numbers.
func orthonormal(vectors [][]float64, source *rand.Rand) {
	for k, v := range vectors {
		for !settle(v, vectors[:k]) {
			copy(v, randomRows(1, len(v), source)[0])
		}
	}
}

// settle takes what earlier vectors span out of v and makes its norm 1; false where nothing is left of it.
func settle(v []float64, earlier [][]float64) bool {
	before := norm(v)
	if !(before > 0) || math.IsInf(before, 0) {
		return false
	}
	for range 2 {
		for _, e := range earlier {
			var dot float64
			for i, x := range e {
				dot += x * v[i]
			}
			for i, x := range e {
				v[i] -= dot * x
			}
		}
	}
	n := norm(v)
	if !(n > 1e-12*before) {
		return false
	}
	for i := range v {
		v[i] /= n
	}
	return true
}

func norm(v []float64) float64 {
	var sum float64
	for _, x := range v {
		sum += x * x
	}
	return math.Sqrt(sum)
}
