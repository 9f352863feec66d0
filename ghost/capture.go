package ghost

import (
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/separate"
)

// A collector is the hook of the backward pass: it turns each use of a trained
// parameter into a part.
type collector struct {
	builder  *onnxgrad.Builder
	proof    *separate.Proof
	producer map[string]*ir.Node
	trained  map[string]Parameter
	found    map[string]*gathered
	order    []string          // parameters in the order in which the backward pass has what their norms are made of: last layers first
	rowsOf   map[string]string // memo of RowsByRecord, so that shared inputs stay shared
}

func newCollector(b *onnxgrad.Builder, proof *separate.Proof, trained []Parameter) *collector {
	c := &collector{
		builder: b, proof: proof, producer: b.Graph.Index().Producer, trained: map[string]Parameter{}, found: map[string]*gathered{}, rowsOf: map[string]string{},
	}
	for _, p := range trained {
		c.trained[p.Name] = p
	}
	return c
}

// add records a part, made of the gradient named.
func (c *collector) add(name, gradient string, p part) {
	g := c.found[name]
	if g == nil {
		g = &gathered{param: c.trained[name], begun: c.builder.Emitted(gradient)}
		c.found[name] = g
		c.order = append(c.order, name)
	}
	g.parts, g.complete = append(g.parts, p), max(g.complete, c.builder.Emitted(gradient))
}

// sort puts the parameters in their order. One that is used again, or whose gradient
// is a sum over all its uses, comes when the last is there: what its norm is made of
// is alive until then, and no longer.
func (c *collector) sort() {
	slices.SortStableFunc(c.order, func(a, b string) int { return c.found[a].complete - c.found[b].complete })
}

// Capture implements onnxgrad.Hook: it takes products with a weight matrix and
// look-ups in a table. Everything else is instantiated by the engine.
func (c *collector) Capture(u *onnxgrad.Use) (bool, error) {
	root, transposed, ok := c.resolve(u.Node.Inputs[u.Operand])
	if !ok {
		return false, nil
	}
	switch {
	case u.Node.Is("Gather") && u.Operand == 0 && u.Node.Int("axis", 0) == 0 && !transposed:
		return c.lookUp(u, root), nil
	case u.Lifted || u.Rank(u.Node.Inputs[u.Operand]) != 2:
		return false, nil
	case u.Node.Is("MatMul") && u.Operand == 1:
		return c.product(u, root, transposed, u.Node.Inputs[0], false, 1), nil
	case u.Node.Is("Gemm") && u.Operand == 1:
		flip := u.Node.Int("transB", 0) != 0
		return c.product(u, root, transposed != flip, u.Node.Inputs[0], u.Node.Int("transA", 0) != 0, u.Node.Float("alpha", 1)), nil
	}
	return false, nil
}

// resolve follows a value back to the trained parameter that it is, seen as the
// matrix [r,c] or, transposed, as [c,r].
func (c *collector) resolve(value string) (root string, transposed, ok bool) {
	if p, isRoot := c.trained[value]; isRoot {
		return value, false, len(p.Shape) >= 2
	}
	n := c.producer[value]
	if n == nil || n.Domain != "" {
		return "", false, false
	}
	root, transposed, ok = c.resolveInput(n)
	if !ok {
		return "", false, false
	}
	switch n.Op {
	case "Identity", "Cast":
		return root, transposed, true
	case "Transpose":
		perm, given := n.Ints("perm")
		return root, !transposed, !given || slices.Equal(perm, []int64{1, 0})
	case "Reshape", "Flatten", "Squeeze", "Unsqueeze":
		return root, false, !transposed
	}
	return "", false, false
}

func (c *collector) resolveInput(n *ir.Node) (string, bool, bool) {
	if n.Input(0) == "" {
		return "", false, false
	}
	return c.resolve(n.Input(0))
}

// hasMatrix checks that value has exactly the extents [r,c] of root (or [c,r]).
func (c *collector) hasMatrix(b *onnxgrad.Builder, value, root string, transposed bool) bool {
	r, k := matrix(c.trained[root].Shape)
	if transposed {
		r, k = k, r
	}
	return sym.EqualShape(b.Shape(value), []sym.Dim{sym.Const(r), sym.Const(k)})
}

// product records Y = X·W: with W = root the gradient is Σ x gᵀ, with W = rootᵀ
// it is Σ g xᵀ.
func (c *collector) product(u *onnxgrad.Use, root string, transposed bool, x string, transX bool, alpha float32) bool {
	value := u.Node.Inputs[u.Operand]
	flip := u.Node.Is("Gemm") && u.Node.Int("transB", 0) != 0
	lx, ly := c.proof.Of(x), c.proof.Of(u.Node.Output(0))
	if !c.hasMatrix(u.Builder, value, root, transposed != flip) || lx.Kind != separate.Batch || ly.Kind != separate.Batch || transX {
		return false
	}
	gy := u.GY
	c.add(root, gy, part{kind: "linear", emit: func(b *onnxgrad.Builder) contribution {
		in, out := c.byRecord(b, x, lx), c.byRecord(b, gy, ly)
		if transposed {
			in, out = out, in
		}
		return outer{A: in, G: out, scale: alpha}
	}})
	return true
}

// lookUp records Y = W[ids].
func (c *collector) lookUp(u *onnxgrad.Use, root string) bool {
	value, idx := u.Node.Inputs[0], u.Node.Inputs[1]
	p := c.trained[root]
	first, width := matrix(p.Shape)
	li, ly := c.proof.Of(idx), c.proof.Of(u.Node.Output(0))
	shape := u.Shape(value)
	if !shape[0].Is(first) || u.Lifted != (li.Kind == separate.Invariant) || !u.Lifted && (li.Kind != separate.Batch || ly.Kind != separate.Batch) {
		return false
	}
	gy, lifted := u.GY, u.Lifted
	node := u.Node
	c.add(root, gy, part{kind: "embedding", node: node.Name, emit: func(b *onnxgrad.Builder) contribution {
		w := sym.Const(width)
		r := rows{IDs: c.lookUpIDs(b, node), node: node.Name}
		if lifted { // one set of indices for all records, gradients by record
			r.G = b.Reshape(gy, []sym.Dim{b.Shape(gy)[0], b.Shape(r.IDs)[1], w})
			return r
		}
		r.G = c.byRecord(b, flattenFeatures(b, gy, b.Rank(idx), w), ly)
		return r
	}})
	return true
}

// lookUpIDs are the rows that a Gather reads of its table, [B,T] or, the same for all
// records, [1,T].
func (c *collector) lookUpIDs(b *onnxgrad.Builder, n *ir.Node) string {
	idx, first := n.Input(1), b.Shape(n.Input(0))[0]
	rows, _ := first.Const()
	l := c.proof.Of(idx)
	if l.Kind != separate.Batch {
		return c.indices(b, idx, []sym.Dim{sym.Const(1), sym.Product(b.Shape(idx)...)}, rows)
	}
	ids := c.byRecord(b, b.Unsqueeze(idx, b.Rank(idx)), l)
	return c.indices(b, ids, b.Shape(ids)[:2], rows)
}

// flattenFeatures joins the axes from k on into one of extent w.
func flattenFeatures(b *onnxgrad.Builder, g string, k int, w sym.Dim) string {
	return b.Reshape(g, append(slices.Clone(b.Shape(g)[:k]), w))
}

// indices reshapes ids to [B,T] and counts negative ones from the end, so that
// equal rows have equal numbers.
func (c *collector) indices(b *onnxgrad.Builder, ids string, shape []sym.Dim, n int64) string {
	ids = b.Cast(b.Reshape(ids, shape), ir.Int64)
	return b.Where(b.Op("Less", nil, ids, b.Int(0)), b.Add(ids, b.Int(n)), ids)
}

// byRecord is Builder.RowsByRecord, once per value.
func (c *collector) byRecord(b *onnxgrad.Builder, x string, l separate.Label) string {
	if y, ok := c.rowsOf[x]; ok {
		return y
	}
	y := b.RowsByRecord(x, l)
	c.rowsOf[x] = y
	return y
}

// Instantiated implements onnxgrad.Hook: a gradient [B, parameter's shape].
func (c *collector) Instantiated(name, gradient string) error {
	p := c.trained[name]
	c.add(name, gradient, part{kind: "instantiated", emit: func(b *onnxgrad.Builder) contribution {
		r, k := matrix(p.Shape)
		return dense{D: b.Reshape(gradient, []sym.Dim{b.Shape(gradient)[0], sym.Const(r), sym.Const(k)})}
	}})
	return nil
}
