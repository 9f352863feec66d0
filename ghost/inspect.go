package ghost

import (
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/separate"
)

// A Report says how a model would be trained, whatever the loss.
type Report struct {
	*Selection
	Parameters []ParameterReport
	Constants  []Constant
	// Unsupported lists the nodes that a gradient would have to pass and
	// can't.
	Unsupported Gaps
	// Mixed is nil when the records of a batch are proven not to mix at any
	// output that carries records.
	Mixed error
}

// A ParameterReport is a parameter with its place in training.
type ParameterReport struct {
	Parameter
	Trainable bool
	// Norm says how the per-example norm is made; "" where there is none.
	Norm string
}

// A Gap is a node without a usable gradient rule.
type Gap struct{ Node, Op, Why string }

// Gaps is a list of gaps.
type Gaps []Gap

// Errors returns the gaps as errors.
func (g Gaps) Errors() []error {
	var out []error
	for _, x := range g {
		out = append(out, fmt.Errorf("%w: op %q node %q: %s", onnxgrad.ErrNoGradient, x.Op, x.Node, x.Why))
	}
	return out
}

// Inspect differentiates every floating output that carries records (or the
// chosen one) with unknown output gradients and reports what it finds.
func (p *Prepared) Inspect(trainable, freeze []string) (*Report, error) {
	chosen, err := p.choose(trainable, freeze)
	if err != nil {
		return nil, err
	}
	var trained []Parameter
	for i, param := range p.Parameters {
		if chosen.Trained[i] {
			trained = append(trained, param)
		}
	}
	outputs := p.inspected()
	r := &Report{Selection: chosen, Constants: p.Constants, Mixed: p.Proof.Check(outputs...)}
	gaps, err := onnxgrad.Gaps(p.Graph.Graph, p.Values, names(trained), outputs)
	if err != nil {
		return nil, err
	}
	for _, g := range gaps {
		r.Unsupported = append(r.Unsupported, Gap{g.Node.Name, g.Node.Op, g.Why})
	}
	forms := map[string]string{}
	if r.Mixed == nil && len(r.Unsupported) == 0 && len(trained) > 0 && len(outputs) > 0 {
		if forms, err = p.forms(trained, outputs); err != nil {
			r.Unsupported = append(r.Unsupported, Gap{Why: err.Error()})
		}
	}
	for i, param := range p.Parameters {
		r.Parameters = append(r.Parameters, ParameterReport{param, chosen.Trained[i], forms[param.Name]})
	}
	return r, nil
}

// inspected lists the outputs to differentiate.
func (p *Prepared) inspected() []string {
	if p.Output != "" {
		return []string{p.Output}
	}
	var out []string
	for _, o := range p.Graph.Outputs {
		if p.Values.Of(o.Name).DType.IsFloat() && p.Proof.Of(o.Name).Kind != separate.Invariant {
			out = append(out, o.Name)
		}
	}
	return out
}

// forms differentiates with the outputs themselves as seeds and reports how
// each parameter's norm would be made.
func (p *Prepared) forms(trained []Parameter, outputs []string) (map[string]string, error) {
	g, values, err := p.clone()
	if err != nil {
		return nil, err
	}
	seeds := map[string]string{}
	for _, o := range outputs {
		seeds[o] = o
	}
	b := onnxgrad.NewBuilder(g, values)
	c := newCollector(b, p.Proof, trained)
	_, err = onnxgrad.Gradients(b, onnxgrad.Request{Seeds: seeds, Trainable: names(trained), Hook: c, Proof: p.Proof})
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, param := range trained {
		if found := c.found[param.Name]; found != nil {
			out[param.Name] = formOf(found)
		} else {
			out[param.Name] = "0: no output depends on it"
		}
	}
	return out, nil
}

// Opset is the version of the default operator set of the canonical graph.
func (p *Prepared) Opset() int64 { return p.Graph.Opset[""] }

// Inputs returns the model's inputs as the proof sees them.
func (p *Prepared) Inputs() []*ir.ValueInfo { return p.Graph.Inputs }
