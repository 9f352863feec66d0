package ghost

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/canon"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/separate"
)

// A Prepared model is one that has been analysed: canonical, shapes inferred,
// records traced, parameters found. It is the start of every Program.
type Prepared struct {
	Graph      *canon.Graph
	Values     *infer.Values
	Proof      *separate.Proof
	Parameters []Parameter
	Constants  []Constant
	// Quantised are the integer initializers that stand for weights.
	Quantised []Constant
	// Left are the inputs of the file that training has no use for: caches of
	// earlier tokens, and the switch of a merged decoder.
	Left []string
	// Output is the value that a loss reads; "" when the model has several
	// outputs and none was chosen.
	Output string
	// Adapters marks the parameters that a method added to those of the file.
	Adapters map[string]bool
}

// Prepare analyses a model. output names the output that the loss reads ("" for
// "logits" or the only one); head "tied" gives a base model a language-model
// head that shares its token embedding.
func Prepare(m *ir.Model, output, head string) (*Prepared, error) {
	file := m.Graph()
	given := slices.Clone(file.Inputs)
	g, err := canon.Canonical(file)
	if err != nil {
		return nil, err
	}
	chosen, err := chooseOutput(g.Graph, output)
	if err != nil {
		return nil, err
	}
	switch head {
	case "":
	case "tied":
		if chosen == "" {
			return nil, fmt.Errorf("--head tied: the model has outputs %s; choose the hidden states with --output", outputNames(g.Graph))
		}
		if chosen, err = onnxgrad.AttachTiedHead(g.Graph, chosen); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("unknown head %q; there is tied", head)
	}
	p := &Prepared{Graph: g, Output: chosen}
	if err := p.analyse(); err != nil {
		return nil, err
	}
	for _, in := range given {
		if p.Graph.Input(in.Name) == nil {
			p.Left = append(p.Left, in.Name)
		}
	}
	return p, nil
}

// Rewritten analyses what rewrite makes of a copy of the graph: a graph in canonical
// form, in which adapters are the initializers that were added.
func (p *Prepared) Rewritten(rewrite func(g *canon.Graph) (adapters []string, err error)) (*Prepared, error) {
	g := &canon.Graph{Graph: p.Graph.Clone(), Aliases: slices.Clone(p.Graph.Aliases), Repairs: p.Graph.Repairs}
	adapters, err := rewrite(g)
	if err != nil {
		return nil, err
	}
	r := &Prepared{Graph: g, Output: p.Output, Left: p.Left, Adapters: map[string]bool{}}
	for _, name := range adapters {
		r.Adapters[name] = true
	}
	return r, r.analyse()
}

// analyse fills in what follows from the graph.
func (p *Prepared) analyse() (err error) {
	g := p.Graph
	shape := separate.InputShape(g.Graph)
	if p.Values, err = infer.Graph(g.Graph, shape); err != nil {
		return err
	}
	if p.Proof, err = separate.Prove(g.Graph, p.Values); err != nil {
		return err
	}
	canon.FoldShapes(g.Graph, p.Values)
	for i, in := range g.Inputs { // from here on inputs are declared with the proof's symbols
		g.Inputs[i] = &ir.ValueInfo{Name: in.Name, DType: in.DType, Dims: onnxgrad.Declare(shape(in))}
	}
	p.Parameters, p.Constants = findParameters(g.Graph, p.Values, p.Proof)
	p.findParts()
	p.Quantised = quantised(g.Graph)
	p.Constants = append(p.Constants, p.Quantised...)
	return nil
}

// chooseOutput applies the rule of --output.
func chooseOutput(g *ir.Graph, name string) (string, error) {
	if name != "" {
		if g.Output(name) == nil {
			return "", fmt.Errorf("%w: the model has no output %q; there are %s", ir.ErrInvalid, name, outputNames(g))
		}
		return name, nil
	}
	if g.Output("logits") != nil {
		return "logits", nil
	}
	if len(g.Outputs) == 1 {
		return g.Outputs[0].Name, nil
	}
	return "", nil
}

func outputNames(g *ir.Graph) string {
	names := make([]string, len(g.Outputs))
	for i, o := range g.Outputs {
		names[i] = o.Name
	}
	return strings.Join(names, ", ")
}

// clone returns a working copy of the graph with its own shapes.
func (p *Prepared) clone() (*ir.Graph, *infer.Values, error) {
	g := p.Graph.Clone()
	values, err := infer.Graph(g, infer.Declared)
	return g, values, err
}
