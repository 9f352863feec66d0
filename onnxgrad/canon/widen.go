package canon

import "github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"

// widen turns half, bfloat16 and double precision into float32: initializers
// (converted when read), graph inputs and outputs, casts and constant
// attributes. Weights are rounded back to their own type when written.
func widen(c *Graph) error {
	for name, t := range c.Inits {
		if t.DType.IsFloat() {
			c.Inits[name] = t.Widened()
		}
	}
	for _, list := range [][]*ir.ValueInfo{c.Inputs, c.Outputs} {
		for i, v := range list {
			if v.DType.IsFloat() {
				w := *v
				w.DType = ir.Float32
				list[i] = &w
			}
		}
	}
	for _, n := range c.Nodes {
		for _, attr := range []string{"to", "dtype"} {
			if to, ok := n.Attrs[attr].(int64); ok && ir.DType(to).IsFloat() {
				n.Attrs[attr] = int64(ir.Float32)
			}
		}
		if t, ok := n.Attrs["value"].(*ir.Tensor); ok {
			n.Attrs["value"] = t.Widened()
		}
	}
	return nil
}
