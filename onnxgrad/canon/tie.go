package canon

import (
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// tie finds output heads that are copies of the token embedding, as they are
// or transposed, and makes both read one initializer. Exporters fold the
// transposition of a tied head into a second copy of the table; updating one
// of the two would train a different model without a word.
//
// Only matrices are compared, only an embedding table (Gather along axis 0)
// against a product's weight, and never a constant-valued matrix: fresh biases
// and LayerNorm scales are equal without being tied.
func tie(c *Graph) error {
	heads := c.headWeights()
	for _, table := range c.embeddingTables() {
		root := c.Inits[table]
		var values []float32
		for _, name := range heads {
			head := c.Inits[name]
			if name == table || head == nil || !sameExtents(root.Dims, head.Dims) {
				continue
			}
			if values == nil {
				var err error
				if values, err = root.Float32s(); err != nil {
					return err
				}
			}
			if constant, err := constantValued(root); err != nil {
				return err
			} else if constant {
				break
			}
			transposed, equal, err := compare(values, root.Dims, head)
			if err != nil {
				return err
			}
			if equal {
				c.tieTo(root, head, transposed)
			}
		}
	}
	return nil
}

// embeddingTables lists matrices read by Gather along axis 0, in file order.
func (c *Graph) embeddingTables() []string {
	return c.matricesUsedBy(func(n *ir.Node, i int) bool { return n.Is("Gather") && i == 0 && n.Int("axis", 0) == 0 })
}

// headWeights lists matrices that are the right operand of a product, directly
// or through a Transpose.
func (c *Graph) headWeights() []string {
	ix := c.Index()
	return c.matricesUsedBy(func(n *ir.Node, i int) bool {
		if n.Is("Transpose") {
			return slices.ContainsFunc(ix.Uses[n.Output(0)], func(u ir.Use) bool { return isWeightOperand(u.Node, u.Index) })
		}
		return isWeightOperand(n, i)
	})
}

func isWeightOperand(n *ir.Node, i int) bool { return (n.Is("MatMul") || n.Is("Gemm")) && i == 1 }

func (c *Graph) matricesUsedBy(match func(*ir.Node, int) bool) []string {
	used := map[string]bool{}
	for _, n := range c.Nodes {
		for i, in := range n.Inputs {
			if _, ok := c.isParameterLike(in, 2); ok && match(n, i) {
				used[in] = true
			}
		}
	}
	var out []string
	for _, name := range c.InitOrder {
		if used[name] {
			out = append(out, name)
		}
	}
	return out
}

func sameExtents(a, b []int64) bool {
	return a[0] == b[0] && a[1] == b[1] || a[0] == b[1] && a[1] == b[0]
}

// compare reports whether head equals the table, or its transpose.
func compare(table []float32, dims []int64, head *ir.Tensor) (transposed, equal bool, err error) {
	h, err := head.Float32s()
	if err != nil {
		return false, false, err
	}
	if slices.Equal(dims, head.Dims) && slices.Equal(table, h) {
		return false, true, nil
	}
	rows, cols := int(dims[0]), int(dims[1])
	if head.Dims[0] != dims[1] {
		return false, false, nil
	}
	for i := range rows {
		for j := range cols {
			if table[i*cols+j] != h[j*rows+i] {
				return false, false, nil
			}
		}
	}
	return true, true, nil
}

// tieTo replaces head by root, through one Transpose where it is transposed.
func (c *Graph) tieTo(root, head *ir.Tensor, transposed bool) {
	c.Aliases = append(c.Aliases, Alias{Root: root.Name, Name: head.Name, Transposed: transposed})
	if transposed {
		view := c.FreshName(root.Name + "/transposed")
		c.Nodes = append([]*ir.Node{{
			Name: view, Op: "Transpose", Inputs: []string{root.Name}, Outputs: []string{view},
			Attrs: ir.Attrs{"perm": []int64{1, 0}},
		}}, c.Nodes...)
		c.ReplaceUses(head.Name, view)
	} else {
		c.ReplaceUses(head.Name, root.Name)
	}
	c.RemoveInit(head.Name)
}
