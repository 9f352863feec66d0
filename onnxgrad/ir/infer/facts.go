package infer

import (
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// A fact is an equation that holds wherever the graph runs at all: a causal table
// of 64 rows cut to min(64, sequence) meets scores of sequence rows, and an
// operator that broadcasts fails unless the two are equal. What is computed from
// the minimum elsewhere, GPT-Neo's reshapes for instance, may take it for the
// length.
type fact struct {
	symbol string
	is     sym.Dim
}

// learn notes the minima among the operands' extents that the result's equal.
func (v *Values) learn(out []sym.Dim, operands ...[]sym.Dim) {
	for _, shape := range operands {
		for i, d := range shape {
			is := out[len(out)-len(shape)+i]
			s, opaque := d.Symbol()
			if !opaque || s.Op != "min" || sym.Equal(d, is) || !sym.SameOrFails(d, is) {
				continue
			}
			v.facts = append(v.facts, fact{s.Name, is})
		}
	}
}

func (f fact) apply(dims []sym.Dim) []sym.Dim {
	if !slices.ContainsFunc(dims, func(d sym.Dim) bool { return d.Contains(f.symbol) }) {
		return dims
	}
	return each(dims, func(d sym.Dim) sym.Dim { return d.Replace(f.symbol, f.is) })
}
