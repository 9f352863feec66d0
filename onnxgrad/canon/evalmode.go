package canon

import (
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// dropTrainingOps removes Dropout in evaluation mode and Identity between
// nodes; both pass their input through.
func dropTrainingOps(c *Graph) error {
	ix := c.Index()
	var failed error
	c.Nodes = slices.DeleteFunc(c.Nodes, func(n *ir.Node) bool {
		pass := n.Is("Identity") || n.Is("Dropout")
		if !pass || c.Output(n.Output(0)) != nil || c.Output(n.Output(1)) != nil || len(ix.Uses[n.Output(1)]) > 0 && n.Output(1) != "" {
			return false
		}
		for _, u := range ix.Uses[n.Output(0)] {
			if u.Index < 0 {
				return false // a subgraph captures the name
			}
		}
		if n.Is("Dropout") && n.Input(2) != "" {
			t, ok := c.Inits[n.Input(2)]
			mode, err := evalMode(t, ok)
			if err != nil {
				failed = fmt.Errorf("%w: %v: %v", ir.ErrUnsupported, n, err)
				return false
			}
			if !mode {
				failed = fmt.Errorf("%w: %v is in training mode; export the model in evaluation mode", ir.ErrUnsupported, n)
				return false
			}
		}
		c.ReplaceUses(n.Output(0), n.Input(0))
		return true
	})
	return failed
}

// evalMode reads a constant training_mode input.
func evalMode(t *ir.Tensor, ok bool) (bool, error) {
	if !ok {
		return false, fmt.Errorf("training_mode is computed at run time")
	}
	v, err := t.Ints()
	if err != nil {
		return false, err
	}
	return len(v) == 1 && v[0] == 0, nil
}
