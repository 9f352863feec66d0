package separate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// BatchSymbol is the dimension that counts records.
const BatchSymbol = "batch"

// ErrMixed is wrapped by the error that says records mix.
var ErrMixed = errors.New("records of a batch mix")

// A Proof holds the labels of a graph's values.
type Proof struct {
	// Size is the number of records: BatchSymbol, or the constant that the
	// export fixed.
	Size   sym.Dim
	labels map[string]Label
	maker  map[string]*ir.Node // by value
	values *infer.Values
}

// Of returns the label of a value.
func (p *Proof) Of(value string) Label { return p.labels[value] }

// read is Of for an operand: "" is an absent one, and a value that was never
// labelled counts as mixed.
func (p *Proof) read(name string) Label {
	l, ok := p.labels[name]
	if !ok && name != "" {
		return Label{Kind: Mixed, Why: fmt.Sprintf("value %q was never analysed", name)}
	}
	return l
}

// Set records the label of a value that the rewriter added.
func (p *Proof) Set(value string, l Label) { p.labels[value] = l }

// InputShape returns the symbolic shapes of a graph's inputs for the proof: the
// first dimension of every input that declares it dynamic is BatchSymbol, so is
// every other dimension that declares the same symbol, and the inputs of one
// token sequence share their second. (Exporters give each input symbols of its
// own. Whoever runs the graph must feed extents that agree; the runtime checks
// it before every run.)
func InputShape(g *ir.Graph) infer.InputShape {
	names := map[string]string{} // declared symbol → symbol in the proof
	for _, in := range g.Inputs {
		if len(in.Dims) > 0 && in.Dims[0].Param != "" {
			names[in.Dims[0].Param] = BatchSymbol
		}
	}
	sequence := sequenceInputs(g)
	return func(in *ir.ValueInfo) []sym.Dim {
		shape := infer.Declared(in)
		for i, d := range in.Dims {
			switch name, known := names[d.Param]; {
			case d.Value >= 0 && d.Param == "":
			case i == 0:
				shape[i] = sym.Var(BatchSymbol)
			case i == 1 && sequence[in.Name] && name != BatchSymbol:
				shape[i] = sym.Var(SequenceSymbol)
			case known:
				shape[i] = sym.Var(name)
			case d.Param == BatchSymbol || d.Param == SequenceSymbol:
				shape[i] = sym.Var(d.Param + "'") // another axis that happens to have our name
			}
		}
		return shape
	}
}

// SequenceSymbol is the common length of the inputs of one token sequence.
const SequenceSymbol = "sequence"

// sequenceInputs names the inputs that transformers feed with one length.
func sequenceInputs(g *ir.Graph) map[string]bool {
	out := map[string]bool{}
	past := func(v *ir.ValueInfo) bool {
		empty := slices.ContainsFunc(v.Dims, func(d ir.DeclaredDim) bool { return d.Value == 0 && d.Param == "" })
		return strings.Contains(v.Name, "past") && !empty
	}
	if slices.ContainsFunc(g.Inputs, past) {
		return out // with a cache the mask is longer than the ids
	}
	for _, m := range []string{"input_ids", "attention_mask", "token_type_ids", "position_ids", "input_mask", "segment_ids"} {
		if in := g.Input(m); in != nil && len(in.Dims) == 2 {
			out[m] = true
		}
	}
	return out
}

// Prove labels every value of g, whose shapes are values (inferred with
// InputShape). It fails only when no input carries a batch; whether a value
// mixes is asked with Check.
func Prove(g *ir.Graph, values *infer.Values) (*Proof, error) {
	size, err := batchSize(g, values)
	if err != nil {
		return nil, err
	}
	p := &Proof{Size: size, labels: map[string]Label{}, maker: map[string]*ir.Node{}, values: values}
	for _, in := range g.Inputs {
		p.labels[in.Name] = p.inputLabel(in, values.Of(in.Name))
	}
	for _, name := range g.InitOrder {
		p.labels[name] = invariant()
	}
	for _, n := range g.Nodes {
		p.node(n)
	}
	return p, nil
}

func batchSize(g *ir.Graph, values *infer.Values) (sym.Dim, error) {
	fixed := sym.Dim{}
	for _, in := range g.Inputs {
		info := values.Of(in.Name)
		if !info.Ranked {
			return sym.Dim{}, fmt.Errorf("%w: input %q declares no shape; export it with dynamic axes", ir.ErrUnsupported, in.Name)
		}
		if info.Rank() == 0 {
			continue
		}
		if info.Shape[0].Contains(BatchSymbol) {
			return sym.Var(BatchSymbol), nil
		}
		if n, ok := info.Shape[0].Const(); ok && fixed.Is(0) {
			fixed = sym.Const(n)
		}
	}
	if fixed.Is(0) {
		return sym.Dim{}, fmt.Errorf("%w: no input has a batch axis", ir.ErrUnsupported)
	}
	return fixed, nil
}

// inputLabel: an input carries records along the axis whose extent is the
// batch; one without such an axis is shared by all (position ids of shape
// [1,T]).
func (p *Proof) inputLabel(in *ir.ValueInfo, info infer.Info) Label {
	found := invariant()
	for k, d := range info.Shape {
		if fixed := !p.Size.Contains(BatchSymbol); fixed && k > 0 || !sym.Equal(d, p.Size) {
			continue
		}
		if found.Kind == Batch {
			return Label{Kind: Mixed, Why: fmt.Sprintf("input %q has the batch's extent along two axes (%v)", in.Name, info.Shape)}
		}
		found = records(k, sym.Const(1))
	}
	return found
}

// Check returns nil when row i of every given output depends on record i alone,
// and an error wrapping ErrMixed that names the node where records met.
func (p *Proof) Check(outputs ...string) error {
	for _, o := range outputs {
		l := p.labels[o]
		switch {
		case l.Leading():
		case l.Kind == Mixed:
			return fmt.Errorf("%w: output %q: %s", ErrMixed, o, l.Why)
		default:
			return fmt.Errorf("%w: output %q is not one row per record along its first axis (%s)", ErrMixed, o, l)
		}
	}
	return nil
}

// node labels the outputs of one node.
func (p *Proof) node(n *ir.Node) {
	c := &step{proof: p, node: n}
	labels := c.labels()
	for i, o := range n.Outputs {
		if o == "" {
			continue
		}
		l := c.checked(o, labels[min(i, len(labels)-1)])
		if l.Kind == Mixed {
			l.Why += c.hidden()
		}
		p.labels[o], p.maker[o] = l, n
	}
}

// hidden blames the operator behind an operand of unknown shape, when it is here
// that the proof ends: it is that operator that can't be trained, not this one.
func (c *step) hidden() string {
	for _, name := range c.node.Reads() {
		if c.proof.read(name).Kind == Mixed {
			return ""
		}
	}
	for _, name := range c.node.Reads() {
		if by := c.proof.maker[name]; by != nil && !c.proof.values.Of(name).Ranked {
			return fmt.Sprintf("; it reads the result of %v, whose shape is unknown", by)
		}
	}
	return ""
}

// A step is the labelling of one node.
type step struct {
	proof *Proof
	node  *ir.Node
}

// in returns the label of operand i; an absent operand is invariant.
func (c *step) in(i int) Label { return c.proof.read(c.node.Input(i)) }

func (c *step) info(i int) infer.Info    { return c.proof.values.Of(c.node.Input(i)) }
func (c *step) outInfo(i int) infer.Info { return c.proof.values.Of(c.node.Output(i)) }

// labels applies the node's rule after what holds for every operator: a Mixed
// operand mixes the result, and what depends on no record keeps doing so.
func (c *step) labels() []Label {
	if shapeReaders[c.node.Op] && c.node.Domain == "" {
		return []Label{c.sizes()}
	}
	onAxis, size := false, false
	for i, name := range c.node.Reads() {
		l := c.proof.read(name)
		if l.Kind == Mixed {
			return []Label{l}
		}
		onAxis = onAxis || l.onAxis()
		size = size || l.Kind == Size && !c.onlyShapes(i)
	}
	if c.constantContent() {
		return []Label{invariant()}
	}
	if !onAxis && size {
		return []Label{c.sizeResult()}
	}
	rule, ok := rules[c.node.Domain+"."+c.node.Op]
	if !ok {
		if !onAxis {
			return []Label{invariant()}
		}
		return []Label{mixed(c.node, "has no rule that keeps records apart")}
	}
	return rule(c)
}

// checked is the last line of defence: it turns into Mixed an Invariant claim
// about a value whose shape counts records, and a Batch claim about one that is
// also wide as the batch along another axis (a sum over that would know how many
// records there are).
func (c *step) checked(name string, l Label) Label {
	info := c.proof.values.Of(name)
	if l.Kind != Invariant && l.Kind != Batch || !info.Ranked || c.proof.Size.Is(1) {
		return l
	}
	for k, d := range info.Shape {
		switch {
		case !d.Contains(BatchSymbol) || l.Kind == Batch && k == l.Axis:
		case l.Kind == Batch:
			return mixed(c.node, "makes a tensor of shape %v, as wide as the batch along axis %d too", info.Shape, k)
		default:
			return mixed(c.node, "makes a tensor of shape %v whose rows can't be told apart by record", info.Shape)
		}
	}
	if l.Kind == Batch && (l.Axis < 0 || l.Axis >= len(info.Shape)) {
		return mixed(c.node, "loses the axis of the records")
	}
	if !c.keepsBound() {
		l.Bound = sym.Dim{}
	}
	return l
}

// keepsBound: operators that only move or copy elements, or count, say something
// about the size of their elements.
func (c *step) keepsBound() bool {
	if c.node.Domain != "" {
		return false
	}
	switch c.node.Op {
	case "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Expand", "Slice", "Range":
		return true
	case "Cast":
		to := ir.DType(c.node.Int("to", 1))
		return to == ir.Int64 || to == ir.Int32
	}
	return false
}

// shapeReaders look only at shapes, never at numbers.
var shapeReaders = map[string]bool{"Shape": true, "Size": true}

// sizes labels the result of Shape or Size: it depends on the batch when its
// content does, or when its content is unknown.
func (c *step) sizes() Label {
	content := c.outInfo(0).Content
	if content == nil {
		return Label{Kind: Size}
	}
	return c.contentLabel(content)
}

func (c *step) contentLabel(content []sym.Dim) Label {
	if slices.ContainsFunc(content, func(d sym.Dim) bool { return d.Contains(BatchSymbol) || infer.Unknown(d) }) {
		return Label{Kind: Size}
	}
	return invariant()
}

// constantContent: shape arithmetic that dropped the batch again (the head size
// taken from a shape) is as good as a constant.
func (c *step) constantContent() bool {
	if len(c.node.Outputs) != 1 {
		return false
	}
	_, ok := c.outInfo(0).Ints()
	return ok
}

// sizeResult labels an operator on sizes: a range over the batch counts
// records, shape arithmetic stays a size.
func (c *step) sizeResult() Label {
	if c.node.Is("Range") && c.outInfo(0).Ranked && sym.Equal(c.outInfo(0).Shape[0], c.proof.Size) &&
		len(c.info(0).Content) == 1 && c.info(0).Content[0].Is(0) {
		return Label{Kind: Row, Axis: 0, Block: sym.Const(1), Scale: sym.Const(1)}
	}
	if c.node.Is("Range") {
		return mixed(c.node, "counts something other than the records of the batch")
	}
	if content := c.outInfo(0).Content; content != nil {
		return c.contentLabel(content)
	}
	return Label{Kind: Size}
}

// shapedBy reports that operand i, which gives sizes or bounds, says nothing about
// the records: it is the same for all, or its elements are known, so that what
// they have to do with the batch shows in the shape of the result.
func (c *step) shapedBy(i int) bool {
	l := c.in(i)
	return l.Kind == Invariant || l.Kind == Size && c.info(i).Content != nil
}

// onlyShapes reports that input i of the node gives a shape, sizes or axes, not
// numbers.
func (c *step) onlyShapes(i int) bool {
	if c.node.Domain != "" {
		return false
	}
	switch c.node.Op {
	case "Pad":
		return i == 1 || i == 3
	case "Reshape", "Expand", "Tile", "Squeeze", "Unsqueeze", "Split", "TopK",
		"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare",
		"ReduceLogSum", "ReduceLogSumExp", "CumSum", "Trilu":
		return i >= 1
	case "Slice":
		return i >= 1
	case "ConstantOfShape":
		return true
	}
	return false
}
