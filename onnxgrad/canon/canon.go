// Package canon rewrites a model's graph into the one form that the gradient
// rules know, without changing what it computes: opset 18 or newer, float32
// throughout, parameters read directly, tied weights tied, convolutions as
// products. One pass per file.
package canon

import (
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
)

// MinOpset is the oldest opset a canonical graph has.
const MinOpset = 18

// An Alias is a second copy of a parameter in the model file, found by
// content or by an Identity: training changes Root and writes the same values
// to Name.
type Alias struct {
	Root       string
	Name       string
	Transposed bool // Name holds Root's transpose
}

// A Graph is the canonical form of a model's graph.
type Graph struct {
	*ir.Graph
	Aliases []Alias
	// Repairs describes faults of the file that the runtime itself would
	// refuse and that were mended; empty for a sound file.
	Repairs []string
}

// Canonical returns the canonical form of g, which it changes.
//
// Errors wrap ir.ErrUnsupported or ir.ErrInvalid and name the node.
func Canonical(g *ir.Graph) (*Graph, error) { return canonical(g, true) }

// Unfused is Canonical without the recognition of functions that the file writes
// out: the same numbers by more operators, all of which have kernels in double.
func Unfused(g *ir.Graph) (*Graph, error) { return canonical(g, false) }

type pass struct {
	name string
	run  func(*Graph) error
}

func canonical(g *ir.Graph, fuse bool) (*Graph, error) {
	c := &Graph{Graph: g}
	passes := []pass{
		{"repair", repair}, {"cache", emptyCache}, {"inline", inline}, {"identities", resolveIdentities}, {"upgrade", upgrade}, {"widen", widen}, {"scalars", foldScalars},
		{"evaluation mode", dropTrainingOps}, {"fused operators", defuse}, {"convolutions", linearizeConvolutions}, {"tie", tie},
	}
	if fuse {
		passes = append(passes, pass{"activations", fuseActivations}, pass{"normalisations", fuseNormalizations})
	}
	for _, p := range passes {
		if err := p.run(c); err != nil {
			return nil, fmt.Errorf("canonical form, pass %q: %w", p.name, err)
		}
	}
	if err := g.Sort(); err != nil {
		return nil, err
	}
	return c, nil
}

// Repaired returns a copy of the model's graph that the runtime can load, and
// what was mended; nothing else is changed.
func Repaired(g *ir.Graph) (*ir.Graph, []string, error) {
	c := &Graph{Graph: g}
	if err := repair(c); err != nil {
		return nil, nil, err
	}
	return g, c.Repairs, nil
}

// values infers shapes with the declared input dims; passes use only ranks and
// constant extents of the result.
func (c *Graph) values() (*infer.Values, error) { return infer.Graph(c.Graph, nil) }

// Encode writes a repaired graph of any opset as an ONNX file.
func Encode(g *ir.Graph) ([]byte, error) { return g.Marshal() }

// Inlined returns g, which it changes, with local functions and constant branches
// replaced by their nodes: what a model computes, in the exporter's own operators.
func Inlined(g *ir.Graph) (*Graph, error) {
	c := &Graph{Graph: g}
	for _, run := range []func(*Graph) error{repair, emptyCache, inline} {
		if err := run(c); err != nil {
			return nil, err
		}
	}
	return c, g.Sort()
}
