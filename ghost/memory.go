package ghost

import (
	"cmp"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/separate"
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
func (p *Program) Peak(records, length int64) Peak {
	values, err := infer.Graph(p.Graph, infer.Declared)
	if err != nil {
		return Peak{}
	}
	m := &memoryPlan{graph: p.Graph, env: p.extents(records, length), given: map[string]bool{}, values: values}
	for _, in := range p.Graph.Inputs {
		m.given[in.Name] = true
	}
	for name := range p.Graph.Inits {
		m.given[name] = true
	}
	for _, o := range p.Graph.Outputs {
		m.given[o.Name] = true // written where the caller says
	}
	if p.SumsKept {
		m.kept = p.sumOutputs()
	}
	m.run(executionOrder(p.Graph.Nodes))
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

// extents gives every symbol of the inputs a value.
func (p *Program) extents(records, length int64) map[string]int64 {
	env := map[string]int64{separate.BatchSymbol: records, separate.SequenceSymbol: length, "label_words": 2}
	for _, in := range p.Graph.Inputs {
		for _, d := range in.Dims { // a decoder's length, for instance
			if _, known := env[d.Param]; !known && d.Param != "" {
				env[d.Param] = length
			}
		}
	}
	return env
}

// bytesOf is the size of a value, 0 where it is not known.
func bytesOf(info infer.Info, env map[string]int64) int64 {
	if !info.Ranked {
		return 0
	}
	n := elementSize(info.DType)
	for _, d := range info.Shape {
		e, ok := d.Eval(env)
		if !ok {
			return 0
		}
		n *= e
	}
	return n
}

func elementSize(d ir.DType) int64 {
	switch d {
	case ir.Int64, ir.Float64, ir.Uint64:
		return 8
	case ir.Float16, ir.BFloat16:
		return 2
	case ir.Bool, ir.Int8, ir.Uint8:
		return 1
	}
	return 4
}
