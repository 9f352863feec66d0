package ghost

import (
	"cmp"
	"maps"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// A Peak is the moment of a run at which most memory is in use.
type Peak struct {
	// Bytes are what is in use beside weights, sums and everything else that the
	// caller holds.
	Bytes int64
	// Node is the node that runs then.
	Node string
	// Live are the values that are held then, the largest first.
	Live []LiveValue
}

// A LiveValue is a value that is held in memory.
type LiveValue struct {
	Name  string // of the value that was first in its place
	Op    string // what made it
	Bytes int64
}

// PeakBytes predicts the memory of one run; see Peak.
func (p *Program) PeakBytes(records, length int64) int64 { return p.Peak(records, length).Bytes }

// Peak predicts the memory that one run of the program takes for a batch of that
// many records and that length: the largest sum of live values over the runtime's
// order of execution, where values share memory as the runtime lets them
// (memory_plan.go). The records are taken to be finite: where a microbatch holds
// one that is not, the product that deselects it copies its two sides. Values of
// unknown extents count as nothing.
//
// What the runtime makes of the graph when it loads it is guessed; PeakOf knows it.
func (p *Program) Peak(records, length int64) Peak {
	shapes, err := p.planShapes(records, length)
	if err != nil {
		return Peak{}
	}
	return p.memoryPlan(p.Graph, shapes).peakOf(executionOrder(p.Graph.Nodes))
}

// PeakOf is Peak for the graph that the runtime made of the program's when it loaded
// it, with its nodes in the order that they run in.
func (p *Program) PeakOf(loaded *ir.Graph, records, length int64) Peak {
	shapes, err := p.planShapes(records, length)
	if err != nil || shapes.learn(slices.Collect(maps.Values(loaded.Inits)), loaded.Nodes) != nil {
		return p.Peak(records, length)
	}
	m := p.memoryPlan(loaded, shapes)
	m.loaded = true
	return m.peakOf(loaded.Nodes)
}

// memoryPlan prepares a plan for the program's graph, or what was made of it.
func (p *Program) memoryPlan(g *ir.Graph, shapes *planShapes) *memoryPlan {
	m := &memoryPlan{graph: g, shapes: shapes, given: map[string]bool{}}
	for _, in := range g.Inputs {
		m.given[in.Name] = true
	}
	for name := range g.Inits {
		m.given[name] = true
	}
	for _, o := range g.Outputs {
		m.given[o.Name] = true // written where the caller says
	}
	if p.SumsKept {
		m.kept = p.sumOutputs()
	}
	return m
}

// peakOf runs the plan.
func (m *memoryPlan) peakOf(order []*ir.Node) Peak {
	m.run(order)
	peak := Peak{Bytes: m.peak, Node: m.peakNode, Live: m.peakLive}
	slices.SortStableFunc(peak.Live, func(a, b LiveValue) int { return cmp.Compare(b.Bytes, a.Bytes) })
	return peak
}

// sumOutputs are the names of the outputs that sums consist of.
func (p *Program) sumOutputs() map[string]bool {
	out := map[string]bool{}
	for _, name := range p.Sums {
		out[name] = true
	}
	for _, r := range p.Rows {
		out[r.IDs], out[r.Values] = true, true
	}
	return out
}
