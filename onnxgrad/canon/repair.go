package canon

import (
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// repair mends what old exporters wrote and today's runtimes refuse: a Concat
// of a vector with constants of rank 0, which must be vectors of one element.
func repair(c *Graph) error {
	for _, n := range c.Nodes {
		if !n.Is("Concat") {
			continue
		}
		for i, in := range n.Inputs {
			t, ok := c.Inits[in]
			if !ok || len(t.Dims) != 0 {
				continue
			}
			if !t.DType.IsInt() {
				return fmt.Errorf("%w: %v concatenates the scalar %q", ir.ErrUnsupported, n, in)
			}
			values, err := t.Ints()
			if err != nil {
				return err
			}
			vector := ir.NewInt64(c.FreshName(in+"/vector"), []int64{1}, values)
			if t.DType != ir.Int64 {
				return fmt.Errorf("%w: %v concatenates the scalar %q of %v", ir.ErrUnsupported, n, in, t.DType)
			}
			c.AddInit(vector)
			c.Lifted[vector.Name] = true
			n.Inputs[i] = vector.Name
			c.Repairs = append(c.Repairs, fmt.Sprintf("%v: constant %q of rank 0 read as a vector", n, in))
		}
	}
	return nil
}
