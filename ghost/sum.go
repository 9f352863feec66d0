package ghost

import (
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// A summer emits Σ_i factor_i·g_i for each parameter.
//
// A record that does not count is deselected on both factors of every product,
// never multiplied by zero: one with an infinite activation and factor 0 would
// otherwise put 0·∞ = NaN into everyone's sum. Selecting copies activations and
// gradients, so that it happens only in a microbatch that holds a value which is
// not finite: each product is emitted twice, in the branches of an If. The two give
// the same bits where both are defined, since a selected row is one of zeros.
type summer struct {
	*onnxgrad.Builder
	factor string // float [B], 0 for records that do not count; "" where gradients are weighted already
	ok     string // bool [B]
	plain  string // bool []: a factor of 0 is enough for every record that does not count

	columns map[string]string // memo: ok and factor as [B,1,1]
	sides   map[string]string // memo: value and factor → left side of plain products
}

func newSummer(b *onnxgrad.Builder, factor, ok, plain string) *summer {
	return &summer{
		Builder: b, factor: factor, ok: ok, plain: plain, columns: map[string]string{}, sides: map[string]string{},
	}
}

// zeroed keeps the rows of the records that count.
func (s *summer) zeroed(x string) string { return s.Where(s.column(s.ok), x, s.Scalar(0)) }

// column gives a value [B] the shape [B,1,1].
func (s *summer) column(v string) string {
	if c, ok := s.columns[v]; ok {
		return c
	}
	c := s.Op("Unsqueeze", nil, v, s.Ints(1, 2))
	s.columns[v] = c
	return c
}

// times is factor ∘ x.
func (s *summer) times(x string) string {
	if s.factor == "" {
		return x
	}
	return s.Mul(x, s.column(s.factor))
}

// weighted is zeroed(factor ∘ x).
func (s *summer) weighted(x string) string { return s.zeroed(s.times(x)) }

// sum adds the parts into one tensor of the parameter's shape.
func (s *summer) sum(p Parameter, parts []contribution) string {
	r, c := matrix(p.Shape)
	total := ""
	for _, part := range parts { // products first: look-ups are added into them
		switch o := part.(type) {
		case outer:
			total = s.addOuter(total, o)
		case chunked:
			total = s.addChunked(total, o)
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

// addOuter adds Σ_i c_i A_iᵀ G_i as one product over all rows of all records. The
// factor goes to the narrower side.
func (s *summer) addOuter(total string, o outer) string {
	p := s.productOf(o)
	scaleLeft := s.factor != "" && columnsOf(s.Builder, p.left) < columnsOf(s.Builder, p.right)
	left := s.side(p.left, scaleLeft)
	for _, v := range []string{s.ok, s.factor} { // outside of the branches
		if v != "" {
			s.column(v)
		}
	}
	return s.If(s.plain, func() string {
		right := p.right
		if !scaleLeft {
			right = s.times(right)
		}
		return s.add(total, p, left, right)
	}, func() string {
		left, right := p.left, p.right
		if scaleLeft {
			left = s.times(left)
		} else {
			right = s.times(right)
		}
		return s.add(total, p, s.turned(s.zeroed(left)), s.zeroed(right))
	})
}

// A product is an outer as left-turned · right, [r,c], or if over is set, as that of
// the sides exchanged, [c,r], turned over at the end.
type product struct {
	left, right string
	over        bool
	scale       float32
}

// widest is the number of rows of a sum up to which the product is that of A, turned
// over, with G. The runtime reads the left side once for each strip of columns: with
// the logits of a head on that side, which fit no cache, this costs more than the
// copy of the result.
const widest = 1 << 14

func (s *summer) productOf(o outer) product {
	if columnsOf(s.Builder, o.A) > widest && columnsOf(s.Builder, o.G) < columnsOf(s.Builder, o.A) {
		return product{left: o.G, right: o.A, over: true, scale: o.scale}
	}
	return product{left: o.A, right: o.G, scale: o.scale}
}

// add adds p with these sides, the left one turned over, to total.
func (s *summer) add(total string, p product, left, right string) string {
	args := []string{left, s.flat(right)}
	if total != "" && !p.over {
		args = append(args, total)
	}
	sum := s.Op("Gemm", ir.Attrs{"alpha": p.scale}, args...)
	if !p.over {
		return sum
	}
	if sum = s.Transpose(sum, 1, 0); total != "" {
		sum = s.Add(sum, total)
	}
	return sum
}

// side is the left side of a plain product, once per value: the query, key and
// value maps of a layer read the same input.
func (s *summer) side(x string, scaled bool) string {
	key := x
	if scaled {
		key += "\x00" + s.factor
	}
	if y, ok := s.sides[key]; ok {
		return y
	}
	if scaled {
		x = s.times(x)
	}
	y := s.turned(x)
	s.sides[key] = y
	return y
}

// turned is [B,T,w] → [w, B·T]: the copy costs less than the runtime's product with
// a transposed left side loses.
func (s *summer) turned(x string) string { return s.Transpose(s.flat(x), 1, 0) }

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
