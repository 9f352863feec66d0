package ir

import (
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

// A Graph is a working copy of a model's main graph: nodes in topological
// order, names unique, Constant nodes turned into initializers.
type Graph struct {
	Name string
	// Doc is written as the graph's doc_string.
	Doc     string
	Inputs  []*ValueInfo // without initializers
	Outputs []*ValueInfo
	Nodes   []*Node
	// Inits holds initializers by name, InitOrder their order in the file.
	Inits     map[string]*Tensor
	InitOrder []string
	// Lifted marks initializers that were Constant nodes: never parameters.
	Lifted map[string]bool
	// Nested marks initializers that lie in a branch of the model file.
	Nested map[string]bool
	// Overridable holds initializers that are also graph inputs, which a caller
	// may feed, with their declaration as inputs.
	Overridable map[string]*ValueInfo
	// Opset holds the imported version per domain; "" is ai.onnx.
	Opset map[string]int64
	// ValueInfos declares types and shapes of intermediate values. Exporters
	// get them wrong, so nothing is derived from them on reading; the
	// rewriter fills them on writing, where they let the runtime plan memory.
	ValueInfos map[string]*ValueInfo
	// Metadata are written as the model's metadata_props.
	Metadata map[string]string

	functions map[string]*onnxpb.FunctionProto // local functions by functionKey
	folder    *folder                          // where the external data of bodies lie
}

// A ValueInfo is a declared tensor type. Dims is nil where no shape is
// declared; a Dim with neither Param nor a Value ≥ 0 is unknown.
type ValueInfo struct {
	Name  string
	DType DType
	Dims  []DeclaredDim
}

// A DeclaredDim is one declared dimension: a constant Value ≥ 0, a symbol
// Param, or neither.
type DeclaredDim struct {
	Value int64
	Param string
}

// AddInit adds or replaces an initializer.
func (g *Graph) AddInit(t *Tensor) {
	if _, ok := g.Inits[t.Name]; !ok {
		g.InitOrder = append(g.InitOrder, t.Name)
	}
	g.Inits[t.Name] = t
}

// RemoveInit drops an initializer.
func (g *Graph) RemoveInit(name string) {
	delete(g.Inits, name)
	delete(g.Lifted, name)
	delete(g.Overridable, name)
	g.InitOrder = slices.DeleteFunc(g.InitOrder, func(s string) bool { return s == name })
}

// Input returns the graph input of that name, or nil.
func (g *Graph) Input(name string) *ValueInfo { return findValue(g.Inputs, name) }

// Output returns the graph output of that name, or nil.
func (g *Graph) Output(name string) *ValueInfo { return findValue(g.Outputs, name) }

func findValue(vs []*ValueInfo, name string) *ValueInfo {
	for _, v := range vs {
		if v.Name == name {
			return v
		}
	}
	return nil
}

// A Use is one place where a value is read: Node.Inputs[Index]; Index is −1
// for a capture by a subgraph.
type Use struct {
	Node  *Node
	Index int
}

// An Index answers who makes and who reads a value.
type Index struct {
	Producer map[string]*Node
	Uses     map[string][]Use
}

// Index returns the def-use links of the graph as it is now.
func (g *Graph) Index() *Index {
	ix := &Index{Producer: make(map[string]*Node), Uses: make(map[string][]Use)}
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			if o != "" {
				ix.Producer[o] = n
			}
		}
		for i, in := range n.Inputs {
			if in != "" {
				ix.Uses[in] = append(ix.Uses[in], Use{n, i})
			}
		}
		for _, c := range n.captures {
			ix.Uses[c] = append(ix.Uses[c], Use{n, -1})
		}
	}
	return ix
}

// ReplaceUses makes every node and graph output that reads old read new.
func (g *Graph) ReplaceUses(old, new string) {
	for _, n := range g.Nodes {
		for i, in := range n.Inputs {
			if in == old {
				n.Inputs[i] = new
			}
		}
	}
}

// FreshName returns prefix, or prefix with a number behind it, such that no
// value of the graph has that name.
func (g *Graph) FreshName(prefix string) string {
	taken := func(name string) bool {
		if _, ok := g.Inits[name]; ok || g.Input(name) != nil {
			return true
		}
		return slices.ContainsFunc(g.Nodes, func(n *Node) bool { return slices.Contains(n.Outputs, name) })
	}
	name := prefix
	for i := 1; taken(name); i++ {
		name = fmt.Sprintf("%s_%d", prefix, i)
	}
	return name
}

// Sort puts Nodes in topological order, keeping the present order where it can
// (Kahn's algorithm by position). A cycle, a value defined twice or a value
// that nothing defines is an error naming the node.
func (g *Graph) Sort() error {
	producer, err := g.producers()
	if err != nil {
		return err
	}
	state := make(map[*Node]int, len(g.Nodes)) // 0 new, 1 open, 2 done
	sorted := make([]*Node, 0, len(g.Nodes))
	type frame struct {
		node *Node
		next int
	}
	for _, root := range g.Nodes {
		stack := []frame{{node: root}}
		for len(stack) > 0 && state[root] != 2 {
			top := &stack[len(stack)-1]
			reads := top.node.Reads()
			state[top.node] = 1
			if top.next == len(reads) {
				state[top.node] = 2
				sorted = append(sorted, top.node)
				stack = stack[:len(stack)-1]
				continue
			}
			in := reads[top.next]
			top.next++
			p, made := producer[in]
			if in == "" || !made {
				continue
			}
			switch state[p] {
			case 0:
				stack = append(stack, frame{node: p})
			case 1:
				return fmt.Errorf("%w: the graph has a cycle through %v (value %q)", ErrInvalid, p, in)
			}
		}
	}
	g.Nodes = sorted
	return nil
}

// producers maps values to the nodes that make them, checking that every value
// is defined exactly once.
func (g *Graph) producers() (map[string]*Node, error) {
	known := map[string]bool{"": true}
	for _, v := range g.Inputs {
		if known[v.Name] {
			return nil, fmt.Errorf("%w: graph input %q is declared twice or has no name", ErrInvalid, v.Name)
		}
		known[v.Name] = true
	}
	for name := range g.Inits {
		if g.Input(name) == nil {
			known[name] = true
		}
	}
	producer := make(map[string]*Node)
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			if o == "" {
				continue
			}
			if known[o] {
				return nil, fmt.Errorf("%w: value %q is defined twice, last by %v", ErrInvalid, o, n)
			}
			known[o] = true
			producer[o] = n
		}
	}
	for _, n := range g.Nodes {
		for _, in := range n.Reads() {
			if !known[in] {
				return nil, fmt.Errorf("%w: %v reads %q, which nothing defines", ErrInvalid, n, in)
			}
		}
	}
	for _, o := range g.Outputs {
		if o.Name == "" || !known[o.Name] {
			return nil, fmt.Errorf("%w: graph output %q is defined by nothing", ErrInvalid, o.Name)
		}
	}
	return producer, nil
}

// Prune drops nodes and initializers that no output depends on. Overridable
// initializers stay: they are part of the graph's interface.
func (g *Graph) Prune() {
	needed := map[string]bool{}
	for _, o := range g.Outputs {
		needed[o.Name] = true
	}
	kept := make([]*Node, 0, len(g.Nodes))
	for _, n := range slices.Backward(g.Nodes) {
		if !slices.ContainsFunc(n.Outputs, func(o string) bool { return needed[o] }) {
			continue
		}
		for _, in := range n.Reads() {
			needed[in] = true
		}
		kept = append(kept, n)
	}
	slices.Reverse(kept)
	g.Nodes = kept
	for _, name := range slices.Clone(g.InitOrder) {
		if !needed[name] && g.Overridable[name] == nil {
			g.RemoveInit(name)
		}
	}
	made := map[string]bool{}
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			made[o] = true
		}
	}
	for name := range g.ValueInfos {
		if !made[name] {
			delete(g.ValueInfos, name)
		}
	}
}
