package ghost

import "github.com/ghostwriter-dp/ghostwriter/onnxgrad"

// A contribution is what one use of a parameter adds to its per-example
// gradient, the parameter seen as a matrix [r,c] (its first extent by the
// product of the others). Values are named; B counts records.
type contribution interface{ form() string }

// outer is scale·Σ_t a_t g_tᵀ, with A [B,T,r] and G [B,T,c].
type outer struct {
	A, G  string
	scale float32
}

// rows is Σ_t e_{id_t} g_tᵀ, with IDs int64 [B,T] or [1,T] and G [B,T,c].
type rows struct {
	IDs, G string
	node   string // the look-up
}

// dense is the instantiated gradient, with D [B,r,c].
type dense struct{ D string }

func (outer) form() string { return "outer" }
func (rows) form() string  { return "rows" }
func (dense) form() string { return "dense" }

// chunked is the outer of a language model's head, whose logits are not kept; see
// head_sum.go.
type chunked struct{ *head }

func (chunked) form() string { return "chunked" }

// A part is a contribution that is emitted when its norm is: until then its
// values keep the shapes they have in the backward pass.
type part struct {
	kind string // "linear", "embedding" or "instantiated", for reports
	node string // of a look-up
	emit func(*onnxgrad.Builder) contribution
}

// A gathered parameter is one whose gradient has at least one part.
type gathered struct {
	param    Parameter
	parts    []part
	begun    int // when the backward pass has the first of what it is made of
	complete int // and when all
}

// matrix returns the extents [r,c] that a parameter of that shape is seen with.
func matrix(shape []int64) (r, c int64) {
	c = 1
	for _, d := range shape[1:] {
		c *= d
	}
	return shape[0], c
}
