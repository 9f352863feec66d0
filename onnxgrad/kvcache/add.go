package kvcache

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/canon"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// ErrNotUnderstood is wrapped by the error about a graph that can't be given a cache; it names the node.
var ErrNotUnderstood = errors.New("no cache can be added")

// Names of the dimensions of the result.
const (
	batchDim = "batch_size"
	newDim   = "sequence_length"
	pastDim  = "past_sequence_length"
)

// Names of the inputs of the result.
const (
	idsInput       = "input_ids"
	maskInput      = "attention_mask"
	positionsInput = "position_ids"
	typesInput     = "token_type_ids"
)

// Add returns the graph with a cache. output names the logits, "" takes "logits" or the only output of rank 3; other
// outputs are dropped. g is brought to canonical form (float32, opset 18 or newer) on the way and must not be used
// afterwards.
//
// An error wraps ErrNotUnderstood and names the node or input.
func Add(g *ir.Graph, output string) (*ir.Graph, error) {
	r, err := newRewriter(g, output)
	if err != nil {
		return nil, notUnderstood(err)
	}
	for _, n := range r.old.Nodes {
		if !r.content[n.Output(0)] {
			continue
		}
		if err := r.node(n); err != nil {
			return nil, notUnderstood(err)
		}
	}
	if len(r.slots) == 0 {
		return nil, notUnderstood(errors.New("the graph has no attention over tokens"))
	}
	return r.finish(output)
}

func notUnderstood(err error) error { return fmt.Errorf("%w: %w", ErrNotUnderstood, err) }

// A rewriter builds the graph with a cache.
type rewriter struct {
	builder
	old     *ir.Graph
	before  *infer.Values // of old, for a text of newDim tokens
	made    map[string]*ir.Node
	content map[string]bool
	emitted map[string]bool   // values of old that exist in the new graph under their names
	full    map[string]string // values of old for the whole text
	slots   []slot
	at      map[string]string // the joined value of a cut
	mask    string            // of the whole text, boolean [batch, 1, 1, past + new]; "" until needed
	ownMask bool              // the old graph has an attention mask of its own

}

// A slot is one cache tensor.
type slot struct{ kind, past, present string }

func newRewriter(g *ir.Graph, output string) (*rewriter, error) {
	if err := keepLogits(g, output); err != nil {
		return nil, err
	}
	c, err := canon.Canonical(g)
	if err != nil {
		return nil, err
	}
	old := c.Graph
	old.Prune()
	makeRoom(old)
	r := &rewriter{
		old: old, made: old.Index().Producer, content: map[string]bool{}, emitted: map[string]bool{}, full: map[string]string{}, at: map[string]string{},
	}
	if err := r.inputs(); err != nil {
		return nil, err
	}
	if r.before, err = infer.Graph(old, textShape); err != nil {
		return nil, err
	}
	for _, n := range old.Nodes {
		if r.isContent(n) {
			for _, o := range n.Outputs {
				r.content[o] = true
			}
		}
	}
	r.begin()
	return r, nil
}

// makeRoom renames values of the old graph that have a name which the new one needs.
func makeRoom(g *ir.Graph) {
	for _, n := range g.Nodes {
		for i, o := range n.Outputs {
			if strings.HasPrefix(o, "present.") || strings.HasPrefix(o, "past_key_values.") {
				n.Outputs[i] = g.FreshName("old/" + o)
				g.ReplaceUses(o, n.Outputs[i])
			}
		}
	}
}

// keepLogits leaves one output.
func keepLogits(g *ir.Graph, output string) error {
	var kept []*ir.ValueInfo
	for _, o := range g.Outputs {
		if o.Name == output || output == "" && o.Name == "logits" {
			g.Outputs = []*ir.ValueInfo{o}
			return nil
		}
		if len(o.Dims) == 3 {
			kept = append(kept, o)
		}
	}
	if output != "" || len(kept) != 1 {
		return fmt.Errorf("which output holds the logits is not clear (%q)", output)
	}
	g.Outputs = kept
	return nil
}

// inputs checks the old graph's inputs: texts, and nothing else.
func (r *rewriter) inputs() error {
	for _, in := range r.old.Inputs {
		switch in.Name {
		case idsInput, maskInput, positionsInput, typesInput:
		default:
			return fmt.Errorf("input %q is not one that a text has", in.Name)
		}
		if len(in.Dims) != 2 || in.Dims[1].Value > 0 && in.Dims[1].Param == "" {
			return fmt.Errorf("input %q has the dimensions %v; it must be [batch, tokens], of any length", in.Name, in.Dims)
		}
		if in.Dims[0].Param == "" && in.Dims[0].Value > 0 && (in.Name != positionsInput || in.Dims[0].Value != 1) {
			return fmt.Errorf("input %q is for %d texts only", in.Name, in.Dims[0].Value)
		}
		r.content[in.Name] = in.Name != maskInput
		r.ownMask = r.ownMask || in.Name == maskInput
	}
	if r.old.Input(idsInput) == nil {
		return fmt.Errorf("there is no input %q", idsInput)
	}
	return nil
}

// textShape is the shape of the old graph's inputs.
func textShape(in *ir.ValueInfo) []sym.Dim {
	if in.Dims[0].Param == "" && in.Dims[0].Value == 1 {
		return []sym.Dim{sym.Const(1), sym.Var(newDim)}
	}
	return []sym.Dim{sym.Var(batchDim), sym.Var(newDim)}
}

// isContent reports whether a node's values depend on the tokens, and not only on how many there are.
func (r *rewriter) isContent(n *ir.Node) bool {
	if n.Is("Shape") || n.Is("Size") {
		return false
	}
	return slices.ContainsFunc(n.Reads(), func(in string) bool { return r.content[in] })
}

// finish declares inputs and outputs and leaves out what nothing reads.
func (r *rewriter) finish(output string) (*ir.Graph, error) {
	g := r.graph
	logits := *r.old.Outputs[0]
	shape := r.values.Of(logits.Name)
	if !shape.Ranked || len(shape.Shape) != 3 || !sym.Equal(shape.Shape[1], sym.Var(newDim)) {
		return nil, notUnderstood(fmt.Errorf("output %q has shape %v; logits are [batch, tokens, vocabulary]", logits.Name, shape))
	}
	logits.Dims = declared(shape.Shape)
	g.Outputs = []*ir.ValueInfo{&logits}
	for _, s := range r.slots {
		info := r.values.Of(s.present)
		g.Outputs = append(g.Outputs, &ir.ValueInfo{Name: s.present, DType: info.DType, Dims: declared(info.Shape)})
	}
	g.Prune()
	used := map[string]bool{}
	for _, n := range g.Nodes {
		for _, in := range n.Reads() {
			used[in] = true
		}
	}
	g.Inputs = slices.DeleteFunc(g.Inputs, func(v *ir.ValueInfo) bool { return !used[v.Name] })
	return g, g.Sort()
}

// declared writes symbolic dimensions as a file does.
func declared(shape []sym.Dim) []ir.DeclaredDim {
	out := make([]ir.DeclaredDim, len(shape))
	for i, d := range shape {
		if n, ok := d.Const(); ok {
			out[i] = ir.DeclaredDim{Value: n}
		} else {
			out[i] = ir.DeclaredDim{Value: -1, Param: d.String()}
		}
	}
	return out
}
