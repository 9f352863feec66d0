package convert

import (
	"math"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// An encoder is what the layers of a bidirectional model share: it reads
// input_ids and attention_mask, both [B,T], and every token sees every other that
// is no padding.
type encoder struct {
	b     *Builder
	ids   string
	mask  string
	heads int64
	width int64 // of a head
	bias  string
}

func newEncoder(b *Builder, heads, width int64) *encoder {
	return &encoder{
		b: b, heads: heads, width: width,
		ids: b.Input("input_ids", ir.Int64, Batch, Sequence), mask: b.Input("attention_mask", ir.Int64, Batch, Sequence),
	}
}

// maskBias is what is added to scores [B,heads,T,S]: 0 where the mask [B,S] holds
// a token, the most negative number elsewhere. It is finite, so that a row of
// nothing but padding has a softmax. The result is [B,1,1,S].
func (b *Builder) maskBias(mask string) string {
	m := b.In("attention_bias")
	attended := m.Unsqueeze(m.Cast(mask, ir.Bool), 1, 2)
	return m.Doc("padding is not looked at").Op("Where", nil, attended, m.Float(0), m.Float(smallest))
}

// counted are positions 0 to T−1 of x [B,T].
func (b *Builder) counted(x string) string {
	p := b.In("positions")
	return p.Doc("positions count from 0 in every row, padded or not").Op("Range", nil, p.Int(0), p.Extent(x, 1), p.Int(1))
}

// split makes heads of a projection: [B,T,heads·width] → [B,heads,T,width].
func (e *encoder) split(b *Builder, x string) string {
	return b.Transpose(b.Reshape(x, 0, 0, e.heads, e.width), 0, 2, 1, 3)
}

// attention is multi-head attention of queries [B,heads,T,width] to keys and
// values [B,heads,S,width], with a bias on its scores: [B,T,heads·width].
func (e *encoder) attention(b *Builder, q, k, v string, scale float64, bias string) string {
	if scale != 1 {
		q = b.Mul(q, b.Float(scale))
	}
	scores := b.Add(b.MatMul(q, b.Transpose(k, 0, 1, 3, 2)), bias)
	y := b.Transpose(b.MatMul(b.Softmax(scores), v), 0, 2, 1, 3)
	return b.Reshape(y, 0, 0, e.heads*e.width)
}

// attend is self-attention of x [B,T,d] by linear layers of those names within b.
func (e *encoder) attend(b *Builder, x string, names [3]string, std float64) string {
	if e.bias == "" {
		e.bias = e.b.maskBias(e.mask)
	}
	d := e.heads * e.width
	var h [3]string
	for i, name := range names {
		h[i] = e.split(b, b.In(name).Linear(x, d, d, true, std))
	}
	return e.attention(b, h[0], h[1], h[2], 1/math.Sqrt(float64(e.width)), e.bias)
}

// firstToken is the hidden state of the first token: [B,T,d] → [B,d].
func (b *Builder) firstToken(h string) string {
	return b.Op("Gather", ir.Attrs{"axis": int64(1)}, h, b.Int(0))
}

// asHead writes with parameters that belong to the head: a checkpoint may lack
// them.
func (b *Builder) asHead(write func() string) string {
	before := b.head
	b.head = true
	defer func() { b.head = before }()
	return write()
}

// A vocabularyHead is h·Wᵀ + bias with W the token embedding, as masked language
// models end.
type vocabularyHead struct {
	table      string // parameter of the token embedding
	weight     string // its alias in the head, or the parameter where it is not tied
	bias       string // parameter
	biasAlias  string // its alias, "" for none
	width      int64
	vocabulary int64
	tied       bool
	std        float64
}

func (v vocabularyHead) write(b *Builder, h string) string {
	module, leaf := cutLast(v.weight)
	m := b.In(module)
	var y string
	if v.tied {
		if err := b.tie(v.weight, v.table); err != nil {
			b.err = err
		}
		y = m.MatMul(h, m.Transpose(b.float32(v.table), 1, 0))
	} else {
		w := m.Parameter(Parameter{Name: leaf, Shape: []int64{v.vocabulary, v.width}, Transposed: true, Init: normal(v.std)})
		y = m.MatMul(h, w)
	}
	owner, leaf := cutLast(v.bias)
	y = m.Add(y, b.In(owner).Parameter(Parameter{Name: leaf, Shape: []int64{v.vocabulary}, Init: zeros}))
	if v.biasAlias != "" {
		if err := b.tie(v.biasAlias, v.bias); err != nil {
			b.err = err
		}
	}
	return y
}

// cutLast splits a parameter's name into its module and the rest.
func cutLast(name string) (module, leaf string) {
	i := strings.LastIndexByte(name, '.')
	return name[:max(0, i)], name[i+1:]
}

// holds reports that the checkpoint has a parameter; a model without a
// checkpoint has all.
func (b *Builder) holds(parameter string) bool {
	if b.source.weights == nil {
		return true
	}
	_, _, ok := b.source.find(parameter)
	return ok
}

// legacyNames are the names of old checkpoints: LayerNorm.gamma and .beta, and the
// bias of a vocabulary head under its alias.
func legacyNames(aliases map[string]string) func(string) []string {
	return func(name string) []string {
		var out []string
		for now, before := range map[string]string{".weight": ".gamma", ".bias": ".beta"} {
			if stem, ok := strings.CutSuffix(name, now); ok && strings.HasSuffix(strings.ToLower(stem), "norm") {
				out = append(out, stem+before)
			}
		}
		if alias, ok := aliases[name]; ok {
			out = append(out, alias)
		}
		return out
	}
}

// states declares the output of a bare encoder.
func (e *encoder) states(h string, width int64) {
	e.b.Output("last_hidden_state", h, ir.Float32, Batch, Sequence, dim(width))
}
