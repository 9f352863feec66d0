package ghost

import "github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"

// executionOrder imitates onnxruntime: a depth-first walk from the leaves
// (nodes whose outputs nobody reads), the highest node index first, inputs of
// the highest index first, each node after its inputs.
func executionOrder(nodes []*ir.Node) []*ir.Node {
	w := &orderWalk{nodes: nodes, producer: map[string]int{}, done: make([]bool, len(nodes))}
	read := map[string]bool{}
	for i, n := range nodes {
		for _, o := range n.Outputs {
			w.producer[o] = i
		}
		for _, in := range n.Reads() {
			read[in] = true
		}
	}
	for i := len(nodes) - 1; i >= 0; i-- {
		leaf := true
		for _, o := range nodes[i].Outputs {
			leaf = leaf && !read[o]
		}
		if leaf {
			w.visit(i)
		}
	}
	return w.order
}

type orderWalk struct {
	nodes    []*ir.Node
	producer map[string]int
	done     []bool
	order    []*ir.Node
}

// visit appends node i after everything that it reads.
func (w *orderWalk) visit(i int) {
	if w.done[i] {
		return
	}
	w.done[i] = true
	for {
		next := -1 // of what it reads and is not yet there, the highest index
		for _, in := range w.nodes[i].Reads() {
			if p, made := w.producer[in]; made && !w.done[p] {
				next = max(next, p)
			}
		}
		if next < 0 {
			break
		}
		w.visit(next)
	}
	w.order = append(w.order, w.nodes[i])
}
