package onnxgrad

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/separate"
)

// ErrNoGradient is wrapped by errors about operators that a gradient has to
// pass through and can't.
var ErrNoGradient = errors.New("no gradient")

// A Request says what to differentiate.
type Request struct {
	// Seeds gives the gradient of each output that the loss reads: a value of
	// the output's shape.
	Seeds map[string]string
	// Trainable names the initializers whose gradients are wanted.
	Trainable []string
	// Hook, when set, takes the gradients of parameters record by record;
	// Proof must then hold the graph's labels. Without it the gradient of each
	// parameter is summed over all records.
	Hook  Hook
	Proof *separate.Proof
	// Adjoints, when set, receives the gradient of every value that has one: of a
	// value that depends on no record, the gradients by record.
	Adjoints map[string]string
}

// A Hook receives the per-example gradients of parameters.
type Hook interface {
	// Capture is offered every use of a parameter-dependent value: operand
	// Operand of Node, where GY is the gradient of the node's first output.
	// It returns true when it has taken the use; otherwise the gradient is
	// instantiated record by record and carried on to the parameter.
	Capture(u *Use) (bool, error)
	// Instantiated receives the per-example gradient [batch, shape of the
	// parameter] of the uses that no Capture took.
	Instantiated(parameter, gradient string) error
}

// A Use is one place where records meet a value that depends on parameters and
// on no record.
type Use struct {
	*Builder
	Node    *ir.Node
	Operand int
	// GY is the gradient of the node's first output. When Lifted it has a
	// leading batch axis that the output has not: the node itself depends on
	// parameters only.
	GY     string
	Lifted bool
}

// Gradients appends the backward pass of b's graph and returns the gradient of
// each trainable initializer, "" for one that the loss does not depend on. With
// a Hook the map is empty and the hook has everything.
//
// Errors wrap ErrNoGradient, name the node and say what to do.
func Gradients(b *Builder, r Request) (map[string]string, error) {
	w := &walk{Builder: b, Request: r, adjoint: map[string][]part{}, lifted: map[string][]part{}, weighing: map[string]weighing{}}
	w.markActive()
	w.countReaders()
	for _, out := range sortedKeys(r.Seeds) {
		w.adjoint[out] = append(w.adjoint[out], part{value: r.Seeds[out], full: true})
	}
	for _, n := range slices.Backward(w.forward) {
		if err := w.node(n); err != nil {
			return nil, err
		}
		if b.err != nil {
			return nil, fmt.Errorf("gradient of %v: %w", n, b.err)
		}
	}
	return w.parameters()
}

// A walk is the state of one backward pass.
type walk struct {
	*Builder
	Request
	forward []*ir.Node      // the nodes as they were before anything was appended
	active  map[string]bool // values that depend on a trainable initializer
	adjoint map[string][]part
	lifted  map[string][]part // of values that depend on no record: with a leading batch axis

	readers  map[string]int      // how many operands, outputs and seeds a value is
	weighing map[string]weighing // by the value that weighs
}

// A part is one summand of a gradient. A part that is not full has extents of 1
// where the value has more, and stands for the same number along those axes.
type part struct {
	value string
	full  bool
}

// markActive finds what depends on a trainable initializer in a way that a
// gradient has to follow: not through roundings, comparisons and indices. An
// integer is active only where an operator without a gradient made it of an
// active value (quantisation), so that what reads it is refused, not skipped.
func (w *walk) markActive() {
	w.forward = slices.Clone(w.Graph.Nodes)
	w.active = map[string]bool{}
	for _, p := range w.Trainable {
		w.active[p] = true
	}
	for _, n := range w.forward {
		rule, _ := ruleFor(n)
		active := slices.ContainsFunc(n.Reads(), func(in string) bool { return w.active[in] })
		if !active || rule.Zero {
			continue
		}
		carries := rule.Blocked != "" || slices.ContainsFunc(n.Reads(), w.activeInteger)
		for _, o := range n.Outputs {
			w.active[o] = carries || !w.integer(o)
		}
	}
}

// countReaders counts what a value's gradient may come from.
func (w *walk) countReaders() {
	w.readers = map[string]int{}
	for _, n := range w.forward {
		for _, in := range n.Reads() {
			w.readers[in]++
		}
	}
	for seeded := range w.Seeds {
		w.readers[seeded]++
	}
}

// integer reports a value of a type that is known and not floating.
func (w *walk) integer(value string) bool {
	d := w.Values.Of(value).DType
	return d != ir.Undefined && !d.IsFloat()
}

func (w *walk) activeInteger(value string) bool { return w.active[value] && w.integer(value) }

// parametric reports a value that depends on parameters and on no record: its
// gradient is kept apart by record.
func (w *walk) parametric(value string) bool {
	return w.Hook != nil && w.active[value] && w.Proof.Of(value).Kind == separate.Invariant
}

// node carries the gradient of one node's outputs to its inputs.
func (w *walk) node(n *ir.Node) error {
	lift := 0
	gy := make([]string, len(n.Outputs))
	any := false
	for i, o := range n.Outputs {
		if w.parametric(o) {
			lift = 1
		}
		gy[i] = w.collect(o)
		any = any || gy[i] != ""
	}
	if !any || !slices.ContainsFunc(n.Reads(), func(in string) bool { return w.active[in] }) {
		return nil
	}
	rule, known := ruleFor(n)
	if known && rule.Zero {
		return nil
	}
	w.Name("grad/" + n.Name)
	v := &VJP{Builder: w.Builder, Node: n, walk: w, gy: gy, Lead: lift, read: map[int]bool{}, skip: map[int]bool{}}
	if err := w.capture(v); err != nil {
		return err
	}
	if i := slices.IndexFunc(n.Inputs, w.activeInteger); i >= 0 {
		return fmt.Errorf("%w: %v: operand %d (%q) holds quantised or otherwise undifferentiated integers that depend on a trained parameter; export the model in floating point", ErrNoGradient, n, i, n.Inputs[i])
	}
	if !v.wantsAny() {
		return nil
	}
	if err := w.checkRule(n, rule, known, lift); err != nil {
		return err
	}
	if err := rule.VJP(v); err != nil {
		return fmt.Errorf("%w: %v: %v", ErrNoGradient, n, err)
	}
	if i, ok := v.ignored(); ok {
		return fmt.Errorf("%w: %v: the loss reads its result %d (%q), through which no gradient passes", ErrNoGradient, n, i, n.Outputs[i])
	}
	return v.err
}

func (w *walk) checkRule(n *ir.Node, rule Rule, known bool, lift int) error {
	opset := w.Graph.Opset[n.Domain]
	const remedy = "export the model with basic operators, or keep the parameters before it out of training with --freeze"
	switch {
	case !known:
		return fmt.Errorf("%w: %v (opset %d): no gradient rule; %s", ErrNoGradient, n, opset, remedy)
	case rule.Blocked != "":
		return fmt.Errorf("%w: %v (opset %d): %s; %s", ErrNoGradient, n, opset, rule.Blocked, remedy)
	case lift > 0 && !rule.Lifts:
		return fmt.Errorf("%w: %v (opset %d): no per-example rule for an operator between a parameter and its use; %s", ErrNoGradient, n, opset, remedy)
	}
	return nil
}

// collect sums the parts of a value's gradient; "" where there are none.
func (w *walk) collect(value string) string {
	store := w.adjoint
	lead := 0
	if w.parametric(value) {
		store, lead = w.lifted, 1
	}
	parts := store[value]
	if len(parts) == 0 || value == "" {
		return ""
	}
	delete(store, value)
	slices.SortStableFunc(parts, func(a, b part) int {
		switch {
		case a.full == b.full:
			return 0
		case a.full:
			return -1
		}
		return 1
	})
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.value
	}
	sum := w.Builder.Sum(names)
	if !parts[0].full {
		shape := w.Shape(value)
		if lead > 0 {
			shape = slices.Concat(w.Shape(sum)[:1], shape)
		}
		sum = w.Expand(sum, shape)
	}
	if w.Adjoints != nil {
		w.Adjoints[value] = sum
	}
	return sum
}

// capture offers the uses of parameter-dependent operands to the hook.
func (w *walk) capture(v *VJP) error {
	if w.Hook == nil || v.gy[0] == "" {
		return nil
	}
	for i, in := range v.Node.Inputs {
		if !w.parametric(in) {
			continue
		}
		taken, err := w.Hook.Capture(&Use{Builder: w.Builder, Node: v.Node, Operand: i, GY: v.gy[0], Lifted: v.Lead > 0})
		if err != nil {
			return fmt.Errorf("%v: %w", v.Node, err)
		}
		v.skip[i] = taken
	}
	return nil
}

// parameters returns what has arrived at the trainable initializers.
func (w *walk) parameters() (map[string]string, error) {
	out := map[string]string{}
	for _, p := range w.Trainable {
		w.Name("grad/" + p)
		g := w.collect(p)
		if w.Hook == nil {
			out[p] = g
			continue
		}
		if g == "" {
			continue
		}
		if err := w.Hook.Instantiated(p, g); err != nil {
			return nil, err
		}
	}
	return out, w.err
}
