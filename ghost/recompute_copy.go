package ghost

import (
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// A copier makes values a second time, of values that are kept.
//
// A copy reads what is kept through a gate: the value with an axis more, and again
// without it, where the place of the axis is 0, computed of a value that is there only
// when the copies are wanted. It moves no data. Without it a runtime would merge a copy
// with its original, which applies the same operator to the same input, or compute it
// long before anything reads it; with it neither is possible, whatever the runtime and
// its settings. (A Reshape would do, but onnxruntime takes two in a row for one, and
// fails where the first one's shape is computed.)
type copier struct {
	*onnxgrad.Builder
	producer map[string]*ir.Node

	keeps func(value string) bool   // what is there anyway and read as it is
	gated func(value string) bool   // what is there anyway and read through a gate
	after func(n *ir.Node) []string // what a copy of n waits for; nothing where n is not copied
	made  map[*ir.Node]*ir.Node     // copies; nil for a node that has none
	gates map[[2]string]string      // by value and what is waited for
	zeros map[string]string         // by what is waited for
}

func newCopier(b *onnxgrad.Builder, producer map[string]*ir.Node) *copier {
	return &copier{Builder: b, producer: producer, made: map[*ir.Node]*ir.Node{}, gates: map[[2]string]string{}, zeros: map[string]string{}}
}

// again returns the value to read instead of value: its copy, or itself where it is
// kept or has none.
func (c *copier) again(value string) string {
	n := c.producer[value]
	if n == nil || c.keeps(value) || c.gated(value) {
		return value
	}
	if made := c.copy(n); made != nil {
		return made.Outputs[slices.Index(n.Outputs, value)]
	}
	return value
}

// copy copies a node with what it needs. It returns nil where nothing of it goes
// through a gate: what is made of the graph's inputs alone has nothing to wait for.
func (c *copier) copy(n *ir.Node) *ir.Node {
	if made, seen := c.made[n]; seen {
		return made
	}
	c.made[n] = nil
	after := c.after(n)
	if len(after) == 0 || !repeatable(n) {
		return nil
	}
	inputs, waits := slices.Clone(n.Inputs), false
	for i, in := range inputs {
		if in != "" && c.gated(in) {
			inputs[i] = c.gate(in, after)
		} else {
			inputs[i] = c.again(in)
		}
		waits = waits || inputs[i] != in
	}
	if waits {
		c.made[n] = c.Repeat(n, inputs)
	}
	return c.made[n]
}

// repeatable reports an operator that gives the same result each time. A graph within
// a node is not looked into.
func repeatable(n *ir.Node) bool {
	switch n.Op {
	case "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli":
		return false
	case "Dropout":
		return n.Input(2) == "" && n.Domain == ""
	}
	return !n.HasGraph()
}

// gate returns x, as it is when after is there.
func (c *copier) gate(x string, after []string) string {
	key := [2]string{x, c.zeroAfter(after...)}
	if y, ok := c.gates[key]; ok {
		return y
	}
	y := c.Op("Squeeze", nil, c.Op("Unsqueeze", nil, x, key[1]), c.Ints(0))
	c.gates[key] = y
	return y
}

// zeroAfter returns [0], computed of values: 0·isnan(the first element of the first).
func (c *copier) zeroAfter(values ...string) string {
	key := strings.Join(values, "\x00")
	if z, ok := c.zeros[key]; ok {
		return z
	}
	firsts := make([]string, len(values))
	for i, v := range values {
		if r := c.Rank(v); r > 0 {
			v = c.Op("Slice", nil, v, c.Ints(make([]int64, r)...), c.Ints(slices.Repeat([]int64{1}, r)...))
		}
		firsts[i] = c.Op("Reshape", nil, c.Cast(v, ir.Float32), c.Ints(1))
	}
	first := firsts[0]
	if len(firsts) > 1 {
		first = c.Op("Slice", nil, c.Op("Concat", ir.Attrs{"axis": int64(0)}, firsts...), c.Ints(0), c.Ints(1))
	}
	z := c.Op("Mul", nil, c.Cast(c.Op("IsNaN", nil, first), ir.Int64), c.Ints(0))
	c.zeros[key] = z
	return z
}
