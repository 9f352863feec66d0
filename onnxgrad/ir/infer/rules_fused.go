package infer

import (
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// fusedRules are the shapes of fused operators before onnxgrad/canon expands
// them: a branch's condition may ask for them.
var fusedRules = map[string]func(*call) error{
	"com.microsoft.SkipLayerNormalization":           skipNorm,
	"com.microsoft.SkipSimplifiedLayerNormalization": skipNorm,
	".SkipSimplifiedLayerNormalization":              skipNorm,
	"com.microsoft.SimplifiedLayerNormalization":     sameAsFirst,
	"com.microsoft.EmbedLayerNormalization":          embedNorm,
	"com.microsoft.Attention":                        packedAttention,
	"com.microsoft.MultiHeadAttention":               multiHeadAttention,
	"com.microsoft.RotaryEmbedding":                  sameAsFirst,
	".RotaryEmbedding":                               sameAsFirst,
	"com.microsoft.BiasSoftmax":                      sameAsFirst,
}

// skipNorm: the normalised sum, and as output 3 the sum itself.
func skipNorm(c *call) error {
	x := c.in(0)
	for _, i := range []int{0, 3} {
		if x.Ranked {
			c.out(i, x.DType, x.Shape)
		}
	}
	return nil
}

// embedNorm: ids [B,T], the word table as operand 2; as output 2 the sum of the
// embeddings.
func embedNorm(c *call) error {
	ids, table := c.in(0), c.in(2)
	if !ids.Ranked || !table.Ranked || table.Rank() != 2 {
		return nil
	}
	shape := append(slices.Clone(ids.Shape), table.Shape[1])
	c.out(0, table.DType, shape)
	c.out(2, table.DType, shape)
	return nil
}

// packedAttention: [B,T,d] and weights [d, q+k+v], equal parts unless
// qkv_hidden_sizes says otherwise.
func packedAttention(c *call) error {
	x, w := c.in(0), c.in(1)
	if !x.Ranked || x.Rank() != 3 || !w.Ranked || w.Rank() != 2 {
		return nil
	}
	width := sym.FloorDiv(w.Shape[1], sym.Const(3))
	if sizes, given := c.node.Ints("qkv_hidden_sizes"); given && len(sizes) == 3 {
		width = sym.Const(sizes[2])
	}
	c.out(0, x.DType, []sym.Dim{x.Shape[0], x.Shape[1], width})
	return nil
}

// multiHeadAttention: queries [B,T,·] and values [B,S,v] or by head [B,H,S,v/H].
func multiHeadAttention(c *call) error {
	q, v := c.in(0), c.in(2)
	if !q.Ranked || q.Rank() != 3 || !v.Ranked {
		return nil
	}
	switch v.Rank() {
	case 3:
		c.out(0, q.DType, []sym.Dim{q.Shape[0], q.Shape[1], v.Shape[2]})
	case 4:
		c.out(0, q.DType, []sym.Dim{q.Shape[0], q.Shape[1], sym.Mul(v.Shape[1], v.Shape[3])})
	}
	return nil
}
