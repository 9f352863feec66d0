package ghost

import (
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/separate"
)

// A Kind is what a parameter does where it is used.
type Kind string

// The kinds of use.
const (
	Linear    Kind = "linear"    // a factor of a product with activations
	Embedding Kind = "embedding" // a table read by index
	Bias      Kind = "bias"      // added to activations
	Scale     Kind = "scale"     // multiplied with activations elementwise, a norm's γ
	Shift     Kind = "shift"     // a norm's β
	Token     Kind = "token"     // joined to activations: a class or mask token
	Other     Kind = "other"     // meets activations in another operator
	// Quantised weights are no parameters: gradients pass them, and they stay as
	// they are. Patterns name them so.
	Quantised Kind = "quantised"
)

// Kinds lists them.
var Kinds = []Kind{Linear, Embedding, Bias, Scale, Shift, Token, Other, Quantised}

// A ParameterUse is one node that reads a parameter.
type ParameterUse struct {
	Node string
	Op   string
	Kind Kind
}

// A Parameter is a floating initializer that can be trained.
type Parameter struct {
	Name  string
	Shape []int64
	DType ir.DType // in the file; training is in float32
	Uses  []ParameterUse
	Layer int // counted from 0 as the exporter does; NoLayer outside the stack
	// Parts is where it stands; a head that is tied to the token embedding stands in
	// two places. Nil where the model tells no layers.
	Parts []string
	// Attention says what it does for attention, see AttentionRoles; nil for nothing.
	Attention []string
}

// Elements returns the number of coordinates.
func (p Parameter) Elements() int64 {
	n := int64(1)
	for _, d := range p.Shape {
		n *= d
	}
	return n
}

// A Constant is a floating initializer that is not trained, and why.
type Constant struct {
	Name  string
	Shape []int64
	Why   string
}

// findParameters sorts a canonical graph's floating initializers into
// parameters and constants by how they are used. A mask added to attention
// scores, a rotary table, a lifted scalar and whatever meets no activation are
// constants.
func findParameters(g *ir.Graph, values *infer.Values, proof *separate.Proof) ([]Parameter, []Constant) {
	f := &finder{
		graph: g, values: values, proof: proof, ix: g.Index(),
		scalesOnly: map[string]bool{}, scaledWith: map[string][]string{}, towardsSoftmax: map[string]bool{},
	}
	f.lookAhead()
	for again := true; again; {
		f.activation, f.views, f.worked = map[string]bool{}, map[string]map[string]bool{}, map[string]bool{}
		f.trace()
		again = f.dropFalseScales()
	}
	var params []Parameter
	var constants []Constant
	for _, name := range g.InitOrder {
		t := g.Inits[name]
		switch {
		case !t.DType.IsFloat():
		case g.Lifted[name]:
			constants = append(constants, Constant{name, t.Dims, "a constant of the graph"})
		case len(t.Dims) == 0:
			constants = append(constants, Constant{name, t.Dims, "a scalar"})
		default:
			uses, why := f.uses(name)
			if f.writtenNeutral(name, uses) {
				uses, why = nil, "a neutral scale or shift that the exporter wrote"
			}
			if len(uses) == 0 {
				constants = append(constants, Constant{name, t.Dims, why})
				continue
			}
			params = append(params, Parameter{Name: name, Shape: t.Dims, DType: t.DType, Uses: uses})
		}
	}
	findLayers(g, params)
	f.findAttention(params)
	return params, constants
}

// A finder traces where initializers go.
type finder struct {
	graph  *ir.Graph
	values *infer.Values
	proof  *separate.Proof
	ix     *ir.Index
	// activation marks values computed from a record's tokens or features
	// through a trained table or product.
	activation map[string]bool
	// views lists, by value that depends on initializers alone, which they are;
	// worked marks those that do more than rearrange them or change them by
	// constants.
	views  map[string]map[string]bool
	worked map[string]bool
	// scalesOnly marks values that are only ever multiplied with activations:
	// the cosines and sines of rotary positions. scaledWith lists the factors.
	scalesOnly map[string]bool
	scaledWith map[string][]string
	// towardsSoftmax marks values that elementwise and rearranging operators
	// take to a softmax: attention scores.
	towardsSoftmax map[string]bool
}

// structural operators only rearrange a parameter, or change it by constants.
var structural = map[string]bool{
	"Identity": true, "Cast": true, "Transpose": true, "Reshape": true, "Squeeze": true, "Unsqueeze": true, "Flatten": true,
	"Slice": true, "Split": true, "Concat": true, "Expand": true, "Tile": true, "Neg": true,
}

// trace walks the graph once, marking views and activations.
func (f *finder) trace() {
	for _, name := range f.graph.InitOrder {
		if t := f.graph.Inits[name]; t.DType.IsFloat() && len(t.Dims) > 0 && !f.graph.Lifted[name] {
			f.views[name] = map[string]bool{name: true}
		}
	}
	for _, in := range f.graph.Inputs {
		f.activation[in.Name] = in.DType.IsFloat() && len(in.Dims) > 1
	}
	for _, n := range f.graph.Nodes {
		if f.makesActivation(n) {
			for _, o := range n.Outputs {
				f.activation[o] = true
			}
			continue
		}
		if roots, worked := f.viewOf(n); roots != nil {
			for _, o := range n.Outputs {
				f.views[o], f.worked[o] = roots, worked
			}
		}
	}
}

func (f *finder) makesActivation(n *ir.Node) bool {
	if slices.ContainsFunc(n.Reads(), func(in string) bool { return f.activation[in] }) {
		info := f.values.Of(n.Output(0))
		return info.DType.IsFloat() || info.DType == ir.Undefined
	}
	if readsQuantised[n.Op] && f.values.Of(n.Output(0)).DType.IsFloat() && f.proof.Of(n.Output(0)).Kind != separate.Invariant {
		return true // rows of a quantised table
	}
	return n.Is("Gather") && f.views[n.Input(0)] != nil && f.isTable(n)
}

// isTable reports a look-up in a matrix of parameters by integers.
func (f *finder) isTable(n *ir.Node) bool {
	table := f.values.Of(n.Input(0))
	return n.Int("axis", 0) == 0 && table.Ranked && table.Rank() >= 2 && !f.scalesOnly[n.Output(0)]
}

// passesOn lists operators through which attention scores go on to their
// softmax.
var passesOn = map[string]bool{
	"Add": true, "Sub": true, "Mul": true, "Div": true, "Where": true, "Cast": true, "Reshape": true, "Transpose": true,
	"Unsqueeze": true, "Squeeze": true, "Min": true, "Max": true, "Clip": true, "Identity": true,
}

// lookAhead marks, from the last node to the first, where values end up.
func (f *finder) lookAhead() {
	for _, n := range slices.Backward(f.graph.Nodes) {
		for _, o := range n.Outputs {
			uses := f.ix.Uses[o]
			scales := len(uses) > 0
			for _, u := range uses {
				rearranged := structural[u.Node.Op] && u.Node.Domain == ""
				scaled := u.Node.Is("Mul") && u.Index >= 0 && f.values.Of(u.Node.Input(1-u.Index)).Rank() > 0
				scales = scales && (scaled || rearranged && f.scalesOnly[u.Node.Output(0)])
				if scaled {
					f.scaledWith[o] = append(f.scaledWith[o], u.Node.Input(1-u.Index))
				} else if rearranged {
					f.scaledWith[o] = append(f.scaledWith[o], f.scaledWith[u.Node.Output(0)]...)
				}
				softmax := u.Node.Is("Softmax") || u.Node.Is("LogSoftmax")
				if softmax || passesOn[u.Node.Op] && f.towardsSoftmax[u.Node.Output(0)] {
					f.towardsSoftmax[o] = true
				}
			}
			f.scalesOnly[o] = scales
		}
	}
}

// dropFalseScales takes the mark of scalesOnly from values that are multiplied
// with something else than an activation: an embedding times a mask, or times a
// trained scale, is no rotary position. It reports whether any lost it: then
// more may be activations.
func (f *finder) dropFalseScales() bool {
	dropped := false
	for value, scales := range f.scalesOnly {
		if scales && slices.ContainsFunc(f.scaledWith[value], func(with string) bool { return !f.activation[with] }) {
			f.scalesOnly[value], dropped = false, true
		}
	}
	return dropped
}

// uses lists where a parameter meets activations; with none, why says what it
// is instead.
func (f *finder) uses(name string) (uses []ParameterUse, why string) {
	why = "depends on no activation"
	for _, n := range f.graph.Nodes {
		for i, in := range n.Inputs {
			if in == "" || !f.views[in][name] {
				continue
			}
			kind, reason := f.kind(n, i, name)
			if kind != "" && f.worked[in] {
				kind = f.role(name)
			}
			if kind != "" {
				uses = append(uses, ParameterUse{n.Name, n.Op, kind})
			} else if reason != "" {
				why = reason
			}
		}
	}
	if len(uses) == 0 && len(f.ix.Uses[name]) == 0 {
		why = "is used by nothing"
	}
	return uses, why
}
