package kvcache

import (
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// pointwise are the operators whose results at a position read the operands at that position only.
var pointwise = set("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Neg", "Abs", "Sqrt", "Exp", "Log", "Reciprocal", "Erf", "Tanh", "Sigmoid", "Relu", "Gelu",
	"LeakyRelu", "Elu", "Selu", "Celu", "Softplus", "Softsign", "HardSigmoid", "HardSwish", "Mish", "Clip", "Min", "Max", "Sum", "Mean", "Where", "Equal",
	"Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Xor", "Not", "IsNaN", "IsInf", "Sign", "Floor", "Ceil", "Round", "Sin", "Cos", "Cast",
	"CastLike", "Identity", "PRelu", "ThresholdedRelu", "Swish", "BitwiseAnd", "BitwiseOr")

// contrib are those of onnxruntime's own.
var contrib = set("MatMulNBits", "BiasGelu", "FastGelu", "QuickGelu", "Gelu")

// reductions join positions along their axes.
var reductions = set("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceProd", "ReduceLogSum",
	"ReduceLogSumExp")

// alongAxis join positions along their axis attribute.
var alongAxis = map[string]int64{"Softmax": -1, "LogSoftmax": -1, "Hardmax": -1, "Concat": 0, "Split": 0, "ArgMax": 0, "ArgMin": 0}

// fromAxis join positions along their axis attribute and all behind it.
var fromAxis = map[string]int64{"LayerNormalization": -1, "RMSNormalization": -1, "SimplifiedLayerNormalization": -1}

func set(names ...string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}

// counts reports whether an axis counts new tokens, so that joining along it would mix them. The axis of past and new
// tokens together is that of keys, over which attention may join, with those in front of it that every text has.
func counts(d sym.Dim) bool {
	front, fixed := sym.Sub(d, whole).Const()
	return d.Contains(newDim) && !isWhole(d) && !(fixed && front >= 0)
}

// separate refuses a node that mixes positions other than as attention over keys. It is called when the node's results are
// inferred.
func (r *rewriter) separate(n, c *ir.Node) error {
	x, y := r.values.Of(c.Input(0)), r.values.Of(c.Output(0))
	switch {
	case n.Domain == "com.microsoft" && contrib[n.Op], n.Domain == "" && pointwise[n.Op], n.Domain == "" && n.Op == "DequantizeLinear":
		return nil
	case n.Domain != "" && n.Op != "SimplifiedLayerNormalization":
	case n.Op == "MatMul" || n.Op == "Gemm":
		return r.product(n, c)
	case reductions[n.Op]:
		return r.reduction(n, c, x)
	case hasKey(alongAxis, n.Op):
		return notAlong(x, n.Int("axis", alongAxis[n.Op]))
	case hasKey(fromAxis, n.Op):
		axis := clampAxis(n.Int("axis", -1), x.Rank())
		if slices.ContainsFunc(x.Shape[axis:], func(d sym.Dim) bool { return d.Contains(newDim) }) {
			return fmt.Errorf("it joins tokens of shape %v", x.Shape)
		}
		return nil
	case n.Op == "Transpose" || n.Op == "Squeeze" || n.Op == "Unsqueeze":
		return nil
	case n.Op == "Reshape" || n.Op == "Flatten":
		if !regroups(x.Shape, y.Shape) {
			return fmt.Errorf("reshaping %v to %v moves numbers between positions", x.Shape, y.Shape)
		}
		return nil
	case n.Op == "Gather":
		return r.gathering(n, c, x)
	case n.Op == "Slice" || n.Op == "Expand" || n.Op == "Tile" || n.Op == "Pad":
		return r.keepsTokens(n, c, x, y)
	}
	return fmt.Errorf("whether it keeps tokens apart is not known")
}

func hasKey[V any](m map[string]V, key string) bool {
	_, ok := m[key]
	return ok
}

func notAlong(x infer.Info, axis int64) error {
	if d := x.Shape[clampAxis(axis, x.Rank())]; counts(d) {
		return fmt.Errorf("it joins tokens along an axis of %v", d)
	}
	return nil
}

// product: the inner extent is not that of tokens, unless it is that of keys.
func (r *rewriter) product(n, c *ir.Node) error {
	a, b := r.values.Of(c.Input(0)), r.values.Of(c.Input(1))
	if !a.Ranked || !b.Ranked || a.Rank() == 0 || b.Rank() == 0 {
		return fmt.Errorf("its operands' shapes are not known")
	}
	inner := a.Shape[a.Rank()-1]
	if n.Is("Gemm") && n.Int("transA", 0) != 0 {
		inner = a.Shape[0]
	}
	if counts(inner) {
		return fmt.Errorf("it sums over tokens")
	}
	if r.content[n.Input(1)] && !r.content[n.Input(0)] && b.Rank() >= 2 && counts(b.Shape[b.Rank()-2]) {
		return fmt.Errorf("it sums over tokens")
	}
	return nil
}

func (r *rewriter) reduction(n, c *ir.Node, x infer.Info) error {
	axes, ok := n.Ints("axes")
	if in := c.Input(1); in != "" {
		axes, ok = r.values.Of(in).Ints()
	}
	if !ok || len(axes) == 0 {
		return fmt.Errorf("over which axes it sums is not known")
	}
	for _, a := range axes {
		if err := notAlong(x, a); err != nil {
			return err
		}
	}
	return nil
}

// gathering: a table is read at indices, or one place of an axis that does not count tokens, or the last token.
func (r *rewriter) gathering(n, c *ir.Node, x infer.Info) error {
	if !r.content[n.Input(0)] {
		return nil
	}
	if r.content[n.Input(1)] {
		return fmt.Errorf("it reads tokens at computed places")
	}
	d := x.Shape[clampAxis(n.Int("axis", 0), x.Rank())]
	if at, ok := r.values.Of(c.Input(1)).Ints(); d.Contains(newDim) && !(ok && len(at) == 1 && at[0] == -1) {
		return fmt.Errorf("it picks tokens along an axis of %v", d)
	}
	return nil
}

// keepsTokens: every axis that counts tokens is left as it is.
func (r *rewriter) keepsTokens(_, _ *ir.Node, x, y infer.Info) error {
	lead := y.Rank() - x.Rank()
	for k, d := range y.Shape {
		var was sym.Dim
		if k >= lead {
			was = x.Shape[k-lead]
		}
		if (d.Contains(newDim) || was.Contains(newDim)) && !sym.Equal(d, was) {
			return fmt.Errorf("it changes an axis of %v to %v", was, d)
		}
	}
	return nil
}

// regroups reports whether a reshape keeps positions together: extents fall into runs of equal product on both sides, and
// a run that counts tokens is one extent on one of the sides, the batch in front of the tokens on the other.
func regroups(from, to []sym.Dim) bool {
	for len(from) > 0 || len(to) > 0 {
		i, j, ok := run(from, to)
		if !ok {
			return false
		}
		if sym.Product(from[:i]...).Contains(newDim) && !keepsRun(from[:i], to[:j]) {
			return false
		}
		from, to = from[i:], to[j:]
	}
	return true
}

// run is the shortest beginning of both shapes with the same product.
func run(from, to []sym.Dim) (i, j int, ok bool) {
	a, b := sym.Const(1), sym.Const(1)
	for i == 0 && j == 0 || !sym.Equal(a, b) {
		_, smaller := sym.DivExact(b, a)
		switch {
		case i < len(from) && (smaller || j == len(to)):
			a = sym.Mul(a, from[i])
			i++
		case j < len(to):
			b = sym.Mul(b, to[j])
			j++
		default:
			return 0, 0, false
		}
	}
	return i, j, true
}

// keepsRun judges one run that counts tokens.
func keepsRun(from, to []sym.Dim) bool {
	from, to = withoutOnes(from), withoutOnes(to)
	if sym.EqualShape(from, to) {
		return true
	}
	several := from
	if len(from) == 1 {
		several = to
	} else if len(to) != 1 {
		return false
	}
	// Only batch · tokens, in this order, is told apart again by every later split.
	return len(several) == 2 && !several[0].Contains(newDim) && several[0].Contains(batchDim) && several[1].Contains(newDim)
}

func withoutOnes(dims []sym.Dim) []sym.Dim {
	return slices.DeleteFunc(slices.Clone(dims), func(d sym.Dim) bool { return d.Is(1) })
}
