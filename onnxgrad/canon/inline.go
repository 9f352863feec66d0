package canon

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// Bounds on inlining: functions that apply functions grow exponentially with
// their nesting, and a file may be made to.
const (
	maxInlineDepth = 32
	maxInlineNodes = 1 << 18
)

// inline replaces applications of local functions by their bodies, and every If
// whose condition is the same in every training step by its branch, until
// neither is left.
func inline(c *Graph) error {
	for range maxInlineDepth {
		f, err := c.inlineFunctions()
		if err != nil {
			return err
		}
		b, err := c.inlineBranches()
		if err != nil {
			return err
		}
		if !f && !b {
			return nil
		}
		c.LiftConstants()
	}
	return fmt.Errorf("%w: local functions or branches nested more than %d deep", ir.ErrUnsupported, maxInlineDepth)
}

// inlineFunctions goes one level down.
func (c *Graph) inlineFunctions() (found bool, err error) {
	var out []*ir.Node
	for _, n := range c.Nodes {
		body, err := c.Function(n)
		if err != nil {
			return false, err
		}
		if body == nil {
			out = append(out, n)
			continue
		}
		found = true
		nodes, err := c.applied(n, body)
		if err != nil {
			return false, fmt.Errorf("%v: %w", n, err)
		}
		if out = append(out, nodes...); len(out) > maxInlineNodes {
			return false, fmt.Errorf("%w: local functions expand to more than %d nodes, at %v", ir.ErrUnsupported, maxInlineNodes, n)
		}
	}
	c.Nodes = out
	return found, nil
}

// applied returns a function's nodes with n's operands, results and attributes.
func (c *Graph) applied(n *ir.Node, body *ir.Body) ([]*ir.Node, error) {
	for domain, version := range body.Opset {
		if have, ok := c.Opset[domain]; ok && have != version && domain == "" {
			return nil, fmt.Errorf("%w: the function imports opset %d, the model %d; export the model with one opset", ir.ErrUnsupported, version, have)
		} else if !ok {
			c.Opset[domain] = version
		}
	}
	names := map[string]string{"": ""}
	for i, in := range body.Inputs {
		names[in] = n.Input(i)
	}
	var pass []*ir.Node // results that are the function's own operands
	for i, o := range body.Outputs {
		switch actual := n.Output(i); {
		case actual == "":
		case names[o] != "":
			pass = append(pass, &ir.Node{Name: n.Name + "/" + o, Op: "Identity", Inputs: []string{names[o]}, Outputs: []string{actual}, Attrs: ir.Attrs{}})
		default:
			names[o] = actual
		}
	}
	rename := func(v string) string {
		if to, ok := names[v]; ok {
			return to
		}
		names[v] = n.Name + "/" + v
		return names[v]
	}
	for i, m := range body.Nodes {
		m.Name = fmt.Sprintf("%s/%s#%d", n.Name, m.Name, i)
		m.RenameValues(rename)
		if err := bindAttributes(m, n, body); err != nil {
			return nil, err
		}
		if m.Scope == "" {
			m.Scope = n.Scope
		}
	}
	return append(body.Nodes, pass...), nil
}

// bindAttributes gives m, a node of a body, the values of the attributes that it
// takes from the application n: n's own, the function's default, or none.
func bindAttributes(m, n *ir.Node, body *ir.Body) error {
	for _, key := range slices.Collect(maps.Keys(m.Attrs)) {
		name, isReference := m.Reference(key)
		if !isReference {
			continue
		}
		if v, ok := n.Attrs[name]; ok {
			m.Attrs[key] = v
		} else if v, ok := body.Attrs[name]; ok {
			m.Attrs[key] = v
		} else {
			delete(m.Attrs, key)
		}
	}
	return nil
}

// inlineBranches goes one level down.
func (c *Graph) inlineBranches() (found bool, err error) {
	if !slices.ContainsFunc(c.Nodes, func(n *ir.Node) bool { return n.Is("If") }) {
		return false, nil
	}
	values, err := c.values()
	if err != nil {
		return false, err
	}
	var out []*ir.Node
	for _, n := range c.Nodes {
		var condition []int64
		known := false
		if n.Is("If") {
			condition, known = values.Of(n.Input(0)).Ints()
		}
		if !known || len(condition) != 1 {
			out = append(out, n)
			continue
		}
		found = true
		nodes, err := c.branch(n, condition[0] != 0)
		if err != nil {
			return false, err
		}
		if out = append(out, nodes...); len(out) > maxInlineNodes {
			return false, fmt.Errorf("%w: branches expand to more than %d nodes, at %v", ir.ErrUnsupported, maxInlineNodes, n)
		}
	}
	c.Nodes = out
	return found, nil
}

// branch returns the nodes of the taken branch; its initializers become the
// graph's, under their own names, by which they are written back.
func (c *Graph) branch(n *ir.Node, taken bool) ([]*ir.Node, error) {
	attr := "else_branch"
	if taken {
		attr = "then_branch"
	}
	body, err := c.Branch(n, attr)
	if err != nil {
		return nil, err
	}
	if len(body.Outputs) != len(n.Outputs) {
		return nil, fmt.Errorf("%w: %v has %d results, its %s gives %d", ir.ErrInvalid, n, len(n.Outputs), attr, len(body.Outputs))
	}
	for _, t := range body.Inits {
		if _, clash := c.Inits[t.Name]; clash {
			return nil, fmt.Errorf("%w: %v: its %s has an initializer %q and so has the graph", ir.ErrUnsupported, n, attr, t.Name)
		}
		c.AddInit(t)
		if c.Nested == nil {
			c.Nested = map[string]bool{}
		}
		c.Nested[t.Name] = true
	}
	made := map[string]bool{}
	for _, m := range body.Nodes {
		for _, o := range m.Outputs {
			made[o] = true
		}
	}
	names := map[string]string{}
	var pass []*ir.Node // results that the branch only hands on
	for i, o := range body.Outputs {
		switch {
		case n.Outputs[i] == "":
		case made[o] && names[o] == "":
			names[o] = n.Outputs[i]
		default:
			from := o
			if names[o] != "" {
				from = names[o]
			}
			pass = append(pass, &ir.Node{Name: n.Name + "/" + n.Outputs[i], Op: "Identity", Inputs: []string{from}, Outputs: []string{n.Outputs[i]}, Attrs: ir.Attrs{}})
		}
	}
	for i, m := range body.Nodes {
		m.Name = fmt.Sprintf("%s/%s#%d", n.Name, m.Name, i)
		m.RenameValues(func(v string) string {
			switch to := names[v]; {
			case to != "":
				return to
			case made[v]: // a value of this branch: the other may have one of the same name
				names[v] = n.Name + "/" + v
				return names[v]
			}
			return v
		})
	}
	return append(body.Nodes, pass...), nil
}
