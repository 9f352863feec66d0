package canon

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
)

// upgrade brings a graph of opset 9 to 17 to opset 18, so that every later
// part meets each operator in one form. Operators whose meaning changed and
// that have no step here are refused rather than reinterpreted.
func upgrade(c *Graph) error {
	from := c.Opset[""]
	if from >= MinOpset {
		return nil
	}
	u := &upgrader{Graph: c, from: from}
	if from < 13 {
		// Softmax's meaning depends on the rank.
		v, err := c.values()
		if err != nil {
			return err
		}
		u.values = v
	}
	var out []*ir.Node
	for _, n := range c.Nodes {
		if n.Domain != "" {
			out = append(out, n)
			continue
		}
		if limit, ok := changed[n.Op]; ok && from < limit {
			return fmt.Errorf("%w: %v of opset %d has no upgrade to opset %d; export again with opset %d", ir.ErrUnsupported, n, from, MinOpset, MinOpset)
		}
		for _, s := range steps[n.Op] {
			if from < s.before {
				if err := s.apply(u, n); err != nil {
					return fmt.Errorf("%v: %w", n, err)
				}
			}
		}
		out = append(append(out, u.pre...), n)
		out = append(out, u.post...)
		u.pre, u.post = nil, nil
	}
	c.Nodes = out
	c.Opset[""] = MinOpset
	return nil
}

// changed lists operators that mean or look different at opset 18 than before
// the given opset and are not upgraded.
var changed = map[string]int64{
	"If": 13, "Loop": 13, "Scan": 13, // their bodies would need upgrading too
	"Resize": 11, "Upsample": 18, "Scatter": 18, "GroupNormalization": 18,
	"TopK": 10, "RNN": 14, "LSTM": 14, "GRU": 14, "DynamicSlice": 18,
}

// An upgradeStep changes a node of an opset before the given one.
type upgradeStep struct {
	before int64
	apply  func(*upgrader, *ir.Node) error
}

// steps, in the order of the ONNX changelog.
var steps = func() map[string][]upgradeStep {
	m := map[string][]upgradeStep{
		"Slice":     {{10, attrsToInputs("starts", "ends", "axes")}},
		"Clip":      {{11, clipBounds}},
		"Pad":       {{11, padInputs}},
		"Dropout":   {{12, dropRatio}},
		"Squeeze":   {{13, attrsToInputs("axes")}},
		"Unsqueeze": {{13, attrsToInputs("axes")}},
		"Split":     {{13, attrsToInputs("split")}, {18, splitCount}},
		"Softmax":   {{13, flattenedSoftmax}}, "LogSoftmax": {{13, flattenedSoftmax}}, "Hardmax": {{13, flattenedSoftmax}},
		"ReduceSum":          {{13, attrsToInputs("axes")}},
		"BatchNormalization": {{14, inferenceOnly}},
	}
	for _, op := range strings.Fields("ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSumSquare") {
		m[op] = []upgradeStep{{18, attrsToInputs("axes")}}
	}
	return m
}()

type upgrader struct {
	*Graph
	from      int64
	values    *infer.Values
	pre, post []*ir.Node
}

// beside returns an emitter for constants named after n.
func (u *upgrader) beside(n *ir.Node) *emitter { return &emitter{graph: u.Graph, from: n} }

// attrsToInputs moves integer list attributes to the inputs behind the first.
func attrsToInputs(names ...string) func(*upgrader, *ir.Node) error {
	return func(u *upgrader, n *ir.Node) error {
		for i, name := range names {
			v, ok := n.Ints(name)
			if !ok {
				continue
			}
			delete(n.Attrs, name)
			for len(n.Inputs) < i+2 {
				n.Inputs = append(n.Inputs, "")
			}
			n.Inputs[i+1] = u.beside(n).ints(name, v...)
		}
		return nil
	}
}

func clipBounds(u *upgrader, n *ir.Node) error {
	n.Inputs = n.Inputs[:1]
	for _, name := range []string{"min", "max"} {
		in := ""
		if v, ok := n.Attrs[name].(float32); ok {
			in = u.beside(n).scalar(name, v)
		}
		delete(n.Attrs, name)
		n.Inputs = append(n.Inputs, in)
	}
	return nil
}

func padInputs(u *upgrader, n *ir.Node) error {
	value := n.Float("value", 0)
	delete(n.Attrs, "value")
	if err := attrsToInputs("pads")(u, n); err != nil {
		return err
	}
	n.Inputs = append(n.Inputs, u.beside(n).scalar("value", value))
	return nil
}

func dropRatio(_ *upgrader, n *ir.Node) error {
	delete(n.Attrs, "ratio")
	return nil
}

// inferenceOnly: before opset 14 extra outputs meant training.
func inferenceOnly(_ *upgrader, n *ir.Node) error {
	if len(n.Outputs) > 1 {
		return fmt.Errorf("%w: it is in training mode; export the model in evaluation mode", ir.ErrUnsupported)
	}
	return nil
}

// splitCount: from opset 18 equal parts must say how many.
func splitCount(_ *upgrader, n *ir.Node) error {
	if n.Input(1) == "" {
		n.Inputs = n.Inputs[:1]
		n.Attrs["num_outputs"] = int64(len(n.Outputs))
	}
	return nil
}

// flattenedSoftmax: before opset 13 the operator flattened its input to a
// matrix at axis (default 1) and normalised the rows. For the last axis that is
// today's meaning; otherwise flatten, normalise, restore the shape.
func flattenedSoftmax(u *upgrader, n *ir.Node) error {
	x := u.values.Of(n.Input(0))
	if !x.Ranked {
		return fmt.Errorf("%w: its input's rank can't be inferred", ir.ErrUnsupported)
	}
	axis := n.Int("axis", 1)
	if axis < 0 {
		axis += int64(x.Rank())
	}
	n.Attrs["axis"] = int64(-1)
	if axis == int64(x.Rank())-1 {
		return nil
	}
	in, out := n.Inputs[0], n.Outputs[0]
	flat, soft, shape := u.FreshName(n.Name+"/flat"), u.FreshName(n.Name+"/rows"), u.FreshName(n.Name+"/shape")
	u.pre = append(u.pre,
		&ir.Node{Name: n.Name + "/Flatten", Op: "Flatten", Inputs: []string{in}, Outputs: []string{flat}, Attrs: ir.Attrs{"axis": axis}},
		&ir.Node{Name: n.Name + "/Shape", Op: "Shape", Inputs: []string{in}, Outputs: []string{shape}, Attrs: ir.Attrs{}})
	n.Inputs, n.Outputs = []string{flat}, []string{soft}
	u.post = append(u.post, &ir.Node{Name: n.Name + "/Reshape", Op: "Reshape", Inputs: []string{soft, shape}, Outputs: []string{out}, Attrs: ir.Attrs{}})
	return nil
}

// isParameterLike reports a floating initializer that was not a Constant node.
func (c *Graph) isParameterLike(name string, rank int) (*ir.Tensor, bool) {
	t, ok := c.Inits[name]
	return t, ok && t.DType.IsFloat() && len(t.Dims) == rank && !c.Lifted[name] && !slices.Contains(t.Dims, 0)
}
