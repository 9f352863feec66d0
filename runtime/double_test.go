package runtime

import (
	"maps"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/gradcheck"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// inDouble makes a program's graph compute in float64 between the float32 inputs
// and outputs it had. What is left of rounding is that of the outputs, 6e-8 of
// each number, whatever cancels inside: a test can ask for the mathematics.
func inDouble(g *ir.Graph) *ir.Graph {
	fed := slices.AppendSeq(slices.Clone(g.Inputs), maps.Values(g.Overridable))
	inputs, outputs := floats32(fed), floats32(g.Outputs)
	outer := ir.Graph{Inputs: slices.Clone(g.Inputs), Outputs: slices.Clone(g.Outputs), Inits: maps.Clone(g.Inits)}
	gradcheck.Doubled(g)
	castStatistics(g)
	g.Inputs, g.Outputs = outer.Inputs, outer.Outputs
	for _, name := range inputs { // what an input is when it is not fed
		if t, ok := outer.Inits[name]; ok {
			g.Inits[name] = t
		}
	}

	wide := map[string]string{}
	for _, name := range slices.Concat(inputs, outputs) {
		wide[name] = g.FreshName(name + "_double")
	}
	for _, n := range g.Nodes {
		n.RenameValues(func(name string) string {
			if w, ok := wide[name]; ok {
				return w
			}
			return name
		})
	}
	for _, name := range inputs {
		g.Nodes = append(g.Nodes, cast(name, wide[name], ir.Float64))
	}
	for _, name := range outputs {
		g.Nodes = append(g.Nodes, cast(wide[name], name, ir.Float32))
	}
	return g
}

// castStatistics casts the mean and the inverse deviation of every
// LayerNormalization to float64: the operator has them in float32 at most.
func castStatistics(g *ir.Graph) {
	for _, n := range g.Nodes {
		if !n.Is("LayerNormalization") {
			continue
		}
		for i, name := range n.Outputs {
			if i > 0 && name != "" {
				n.Outputs[i] = g.FreshName(name + "_single")
				g.Nodes = append(g.Nodes, cast(n.Outputs[i], name, ir.Float64))
			}
		}
	}
}

func floats32(values []*ir.ValueInfo) (names []string) {
	for _, v := range values {
		if v.DType == ir.Float32 {
			names = append(names, v.Name)
		}
	}
	return names
}

func cast(from, to string, t ir.DType) *ir.Node {
	return &ir.Node{Name: "cast/" + to, Op: "Cast", Inputs: []string{from}, Outputs: []string{to}, Attrs: ir.Attrs{"to": int64(t)}}
}
