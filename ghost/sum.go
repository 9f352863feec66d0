package ghost

import (
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// A summer emits Σ_i factor_i·g_i for each parameter.
//
// Both factors of every product are selected, never multiplied by zero: a
// record with an infinite activation and factor 0 would otherwise put 0·∞ = NaN
// into everyone's sum.
type summer struct {
	*onnxgrad.Builder
	factor string // float [B], 0 for records that do not count; "" where gradients are weighted already
	ok     string // bool [B]

	selected map[string]string // memo: value → value with zero rows for records that do not count
	columns  map[string]string // memo: ok and factor as [B,1,1]
}

func newSummer(b *onnxgrad.Builder, factor, ok string) *summer {
	return &summer{Builder: b, factor: factor, ok: ok, selected: map[string]string{}, columns: map[string]string{}}
}

// zeroed keeps the rows of the records that count.
func (s *summer) zeroed(x string) string {
	if y, ok := s.selected[x]; ok {
		return y
	}
	y := s.Where(s.column(s.ok), x, s.Scalar(0))
	s.selected[x] = y
	return y
}

// column gives a value [B] the shape [B,1,1].
func (s *summer) column(v string) string {
	if c, ok := s.columns[v]; ok {
		return c
	}
	c := s.Op("Unsqueeze", nil, v, s.Ints(1, 2))
	s.columns[v] = c
	return c
}

// weighted is zeroed(factor ∘ x).
func (s *summer) weighted(x string) string {
	if s.factor == "" {
		return s.zeroed(x)
	}
	return s.zeroed(s.Mul(x, s.column(s.factor)))
}

// sum adds the parts into one tensor of the parameter's shape.
func (s *summer) sum(p Parameter, parts []contribution) string {
	r, c := matrix(p.Shape)
	total := ""
	for _, part := range parts { // products first: look-ups are added into them
		if o, ok := part.(outer); ok {
			total = s.addOuter(total, o)
		}
	}
	for _, part := range parts {
		if d, ok := part.(dense); ok {
			total = s.addDense(total, d, r, c)
		}
	}
	for _, part := range parts {
		if t, ok := part.(rows); ok {
			total = s.addRows(total, t, r, c)
		}
	}
	shape := make([]sym.Dim, len(p.Shape))
	for i, d := range p.Shape {
		shape[i] = sym.Const(d)
	}
	return s.Reshape(total, shape)
}

// flat joins records and rows: [B,T,w] → [B·T,w].
func (s *summer) flat(x string) string {
	d := s.Shape(x)
	return s.Reshape(x, []sym.Dim{sym.Mul(d[0], d[1]), d[2]})
}

// addOuter adds Σ_i c_i A_iᵀ G_i as one product over all rows of all records.
func (s *summer) addOuter(total string, o outer) string {
	args := []string{s.flat(s.zeroed(o.A)), s.flat(s.weighted(o.G))}
	if total != "" {
		args = append(args, total)
	}
	return s.Op("Gemm", ir.Attrs{"transA": int64(1), "alpha": o.scale}, args...)
}

// addDense adds Σ_i c_i D_i = cᵀ·[B, r·c].
func (s *summer) addDense(total string, d dense, r, c int64) string {
	batch := s.Shape(d.D)[0]
	flat := s.Reshape(s.zeroed(d.D), []sym.Dim{batch, sym.Const(r * c)})
	weights := s.factor
	if weights == "" {
		weights = s.Cast(s.ok, ir.Float32)
	}
	row := s.MatMul(s.Unsqueeze(weights, 0), flat)
	one := s.Reshape(row, []sym.Dim{sym.Const(r), sym.Const(c)})
	if total == "" {
		return one
	}
	return s.Add(total, one)
}

// addRows adds c_i g_t to row id_t of the table.
func (s *summer) addRows(total string, t rows, r, c int64) string {
	if total == "" {
		total = s.Zeros([]sym.Dim{sym.Const(r), sym.Const(c)})
	}
	g := s.Shape(t.G)
	ids := s.Expand(t.IDs, g[:2])
	index := s.Reshape(ids, []sym.Dim{sym.Mul(g[0], g[1]), sym.Const(1)})
	return s.Op("ScatterND", ir.Attrs{"reduction": "add"}, total, index, s.flat(s.weighted(t.G)))
}
