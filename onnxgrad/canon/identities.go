package canon

import (
	"regexp"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// resolveIdentities removes Identity(initializer). Exporters merge parameters
// whose values are equal when exported and keep the second name on an Identity:
// all fresh LayerNorm scales are ones, all fresh biases zeros. Such a name is
// a parameter of its own and becomes an initializer again. A matrix with
// distinct numbers in it does not repeat by accident: it is one tied weight.
func resolveIdentities(c *Graph) error {
	var kept []*ir.Node
	for _, n := range c.Nodes {
		t, fromInit := c.Inits[n.Input(0)]
		if !n.Is("Identity") || !fromInit || c.Output(n.Output(0)) != nil {
			kept = append(kept, n)
			continue
		}
		own, err := ownParameter(t, n.Output(0))
		if err != nil {
			return err
		}
		if !own {
			c.ReplaceUses(n.Output(0), n.Input(0))
			continue
		}
		split := *t
		split.Name = n.Output(0)
		c.AddInit(&split)
		if c.Lifted[n.Input(0)] {
			c.Lifted[split.Name] = true
		}
	}
	c.Nodes = kept
	return nil
}

// generated matches names that exporters make up for intermediate values.
var generated = regexp.MustCompile(`^\d+$|^onnx::|^/|_output_\d+$|^val_\d+$`)

func ownParameter(t *ir.Tensor, name string) (bool, error) {
	if !t.DType.IsFloat() || len(t.Dims) == 0 || generated.MatchString(name) {
		return false, nil
	}
	if len(t.Dims) == 1 {
		return true, nil
	}
	constant, err := constantValued(t)
	return constant, err
}

// constantValued reports whether all elements are equal.
func constantValued(t *ir.Tensor) (bool, error) {
	values, err := t.Float32s()
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(values, func(v float32) bool { return v != values[0] }), nil
}
