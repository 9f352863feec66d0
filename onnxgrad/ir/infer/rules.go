package infer

import (
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// rules maps "domain.op" to its shape rule. Operators of the same shape
// behaviour share one rule.
var rules = table()

func table() map[string]func(*call) error {
	t := map[string]func(*call) error{
		".Where": where, ".MatMul": matMul, ".Gemm": gemm, ".Einsum": einsum, ".Conv": conv,
		".Cast": cast, ".CastLike": castLike, ".Shape": shapeOf, ".Size": sizeOf,
		".Gather": gather, ".GatherElements": gatherElements, ".GatherND": gatherND,
		".Reshape": reshape, ".Flatten": flatten, ".Transpose": transpose, ".Squeeze": squeeze, ".Unsqueeze": unsqueeze,
		".Expand": expand, ".Slice": slice, ".Split": split, ".Concat": concat, ".Tile": tile, ".Pad": pad,
		".ConstantOfShape": constantOfShape, ".Range": rangeRule, ".OneHot": oneHot, ".NonZero": nonZero, ".TopK": topK,
		".DequantizeLinear": dequantize, ".ArgMax": argReduce, ".ArgMin": argReduce, ".Dropout": dropout,
		".LayerNormalization": layerNorm, ".SimplifiedLayerNormalization": layerNorm, ".RMSNormalization": layerNorm,
		"com.microsoft.FusedMatMul": fusedMatMul, "com.microsoft.MatMulNBits": matMulNBits,
		"com.microsoft.GatherBlockQuantized": gatherQuantised, "com.microsoft.DequantizeLinear": dequantize,
		".QuantizeLinear": quantize, ".DynamicQuantizeLinear": dynamicQuantize, ".MatMulInteger": integerProduct, ".ConvInteger": integerConv,
		".ConvTranspose": convTranspose, ".AveragePool": pool, ".MaxPool": pool, ".LpPool": pool,
		".GlobalAveragePool": globalPool, ".GlobalMaxPool": globalPool, ".GlobalLpPool": globalPool,
		".DepthToSpace": depthToSpace, ".SpaceToDepth": spaceToDepth, ".Resize": resize,
		".BatchNormalization": batchNorm, ".Bernoulli": ofType("dtype"), ".RandomNormalLike": ofType("dtype"), ".RandomUniformLike": ofType("dtype"),
		".EyeLike": ofType("dtype"), ".NegativeLogLikelihoodLoss": modelLoss, ".SoftmaxCrossEntropyLoss": modelLoss,
	}
	for _, op := range []string{"Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Celu", "Clip", "Cos", "Cosh",
		"CumSum", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Hardmax", "Identity", "LeakyRelu", "Log",
		"LogSoftmax", "Mish", "Neg", "Not", "PRelu", "Reciprocal", "Relu", "Round", "ScatterElements", "ScatterND", "Selu",
		"Sigmoid", "Sign", "Sin", "Sinh", "Softmax", "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu",
		"Trilu", "InstanceNormalization", "GroupNormalization", "MeanVarianceNormalization", "LpNormalization", "LRN",
		"ReverseSequence", "BitwiseNot", "Shrink"} {
		t["."+op] = sameAsFirst
	}
	for op, rule := range fusedRules {
		t[op] = rule
	}
	for _, op := range []string{"Gelu", "FastGelu", "BiasGelu", "QuickGelu"} {
		t["com.microsoft."+op] = sameAsFirst
	}
	for _, op := range []string{"Add", "Sub", "Mul", "Div", "Mod", "Max", "Min", "Sum", "Mean", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitShift"} {
		t["."+op] = elementwise
	}
	t[".Pow"] = elementwise
	for _, op := range []string{"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor"} {
		t["."+op] = comparison
	}
	for _, op := range []string{"IsNaN", "IsInf"} {
		t["."+op] = isSomething
	}
	for _, op := range []string{"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
		"ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"} {
		t["."+op] = reduce
	}
	return t
}

func sameAsFirst(c *call) error {
	x := c.in(0)
	if x.Ranked {
		c.out(0, x.DType, x.Shape)
	} else {
		c.outType(0, x.DType)
	}
	return nil
}

func isSomething(c *call) error { return withType(c, ir.Bool, sameAsFirst) }

func comparison(c *call) error { return withType(c, ir.Bool, elementwise) }

// withType runs rule and replaces the element type of its first output.
func withType(c *call, d ir.DType, rule func(*call) error) error {
	err := rule(c)
	info := c.values.Of(c.node.Output(0))
	info.DType = d
	c.values.Set(c.node.Output(0), info)
	return err
}

// elementwise is ONNX's multidirectional broadcast over all inputs.
func elementwise(c *call) error {
	shapes := make([][]sym.Dim, 0, len(c.node.Inputs))
	for i := range c.node.Inputs {
		if !c.in(i).Ranked {
			c.outType(0, c.in(0).DType)
			return nil
		}
		shapes = append(shapes, c.in(i).Shape)
	}
	out, err := BroadcastShapes(shapes...)
	if err != nil {
		return err
	}
	c.values.learn(out, shapes...)
	c.out(0, c.in(0).DType, out)
	return nil
}

func where(c *call) error { return withType(c, c.in(1).DType, elementwise) }

// BroadcastShapes returns the shape of an elementwise result.
func BroadcastShapes(shapes ...[]sym.Dim) ([]sym.Dim, error) {
	var out []sym.Dim
	for _, s := range shapes {
		if len(s) > len(out) {
			out = append(ones(len(s)-len(out)), out...)
		}
		for i := range s {
			k := len(out) - len(s) + i
			d, ok := sym.Broadcast(out[k], s[i])
			if !ok {
				return nil, fmt.Errorf("shapes %v do not broadcast (%s against %s)", shapes, out[k], s[i])
			}
			out[k] = d
		}
	}
	if out == nil {
		out = []sym.Dim{}
	}
	return out, nil
}

func ones(n int) []sym.Dim {
	out := make([]sym.Dim, n)
	for i := range out {
		out[i] = sym.Const(1)
	}
	return out
}

func cast(c *call) error { return withType(c, ir.DType(c.node.Int("to", 1)), sameAsFirst) }

// ofType has the first operand's shape, and its type unless an attribute names
// another.
func ofType(attr string) func(*call) error {
	return func(c *call) error {
		return withType(c, ir.DType(c.node.Int(attr, int64(c.in(0).DType))), sameAsFirst)
	}
}

// batchNorm gives new statistics beside the result in training mode.
func batchNorm(c *call) error {
	for i := 1; i < 3; i++ {
		if s := c.in(i + 2); s.Ranked {
			c.out(i, s.DType, s.Shape)
		}
	}
	return sameAsFirst(c)
}

// modelLoss is a number, or one for each label. The second result of
// SoftmaxCrossEntropyLoss is shaped like the scores.
func modelLoss(c *call) error {
	x, labels := c.in(0), c.in(1)
	if x.Ranked {
		c.out(1, x.DType, x.Shape)
	}
	switch {
	case c.node.Str("reduction", "mean") != "none":
		c.out(0, x.DType, []sym.Dim{})
	case labels.Ranked:
		c.out(0, x.DType, labels.Shape)
	default:
		c.outType(0, x.DType)
	}
	return nil
}

func castLike(c *call) error { return withType(c, c.in(1).DType, sameAsFirst) }

func dropout(c *call) error {
	err := sameAsFirst(c)
	if x := c.in(0); x.Ranked {
		c.out(1, ir.Bool, x.Shape)
	}
	return err
}

// matMul follows numpy.matmul.
func matMul(c *call) error { return product(c, false, false) }

func fusedMatMul(c *call) error {
	if c.node.Int("transBatchA", 0) != 0 || c.node.Int("transBatchB", 0) != 0 {
		c.outType(0, c.in(0).DType)
		return nil
	}
	return product(c, c.node.Int("transA", 0) != 0, c.node.Int("transB", 0) != 0)
}

func product(c *call, transA, transB bool) error {
	a, b := c.in(0), c.in(1)
	if !a.Ranked || !b.Ranked {
		c.outType(0, a.DType)
		return nil
	}
	if a.Rank() == 0 || b.Rank() == 0 {
		return fmt.Errorf("operand of rank 0")
	}
	as, bs := matrixView(a.Shape, transA, true), matrixView(b.Shape, transB, false)
	m, k := as[len(as)-2], as[len(as)-1]
	k2, n := bs[len(bs)-2], bs[len(bs)-1]
	if _, bothConst := constPair(k, k2); bothConst && !sym.Equal(k, k2) {
		return fmt.Errorf("inner extents %s and %s of %v and %v differ", k, k2, a.Shape, b.Shape)
	}
	out, err := BroadcastShapes(as[:len(as)-2], bs[:len(bs)-2])
	if err != nil {
		return err
	}
	if a.Rank() > 1 {
		out = append(out, m)
	}
	if b.Rank() > 1 {
		out = append(out, n)
	}
	c.out(0, a.DType, out)
	return nil
}

// matrixView promotes a vector to a matrix and applies the transposition.
func matrixView(s []sym.Dim, trans, left bool) []sym.Dim {
	if len(s) == 1 {
		if left {
			return []sym.Dim{sym.Const(1), s[0]}
		}
		return []sym.Dim{s[0], sym.Const(1)}
	}
	v := append([]sym.Dim{}, s...)
	if r := len(v); trans {
		v[r-1], v[r-2] = v[r-2], v[r-1]
	}
	return v
}

func constPair(a, b sym.Dim) ([2]int64, bool) {
	x, okx := a.Const()
	y, oky := b.Const()
	return [2]int64{x, y}, okx && oky
}

func gemm(c *call) error {
	a, b := c.in(0), c.in(1)
	if !a.Ranked || !b.Ranked {
		c.outType(0, a.DType)
		return nil
	}
	if a.Rank() != 2 || b.Rank() != 2 {
		return fmt.Errorf("operands of rank %d and %d, want 2", a.Rank(), b.Rank())
	}
	as := matrixView(a.Shape, c.node.Int("transA", 0) != 0, true)
	bs := matrixView(b.Shape, c.node.Int("transB", 0) != 0, false)
	if _, bothConst := constPair(as[1], bs[0]); bothConst && !sym.Equal(as[1], bs[0]) {
		return fmt.Errorf("inner extents %s and %s differ", as[1], bs[0])
	}
	c.out(0, a.DType, []sym.Dim{as[0], bs[1]})
	return nil
}

// layerNorm also covers the two statistics outputs, whose normalised axes have
// extent 1.
func layerNorm(c *call) error {
	if err := sameAsFirst(c); err != nil {
		return err
	}
	x := c.in(0)
	if !x.Ranked {
		return nil
	}
	k, err := axis(c.node.Int("axis", -1), x.Rank())
	if err != nil {
		return err
	}
	stat := append(append([]sym.Dim{}, x.Shape[:k]...), ones(x.Rank()-k)...)
	c.out(1, ir.Float32, stat)
	c.out(2, ir.Float32, stat)
	return nil
}

func reduce(c *call) error {
	x := c.in(0)
	if !x.Ranked {
		c.outType(0, x.DType)
		return nil
	}
	set, present, known, err := c.axes(1, x.Rank())
	if err != nil {
		return err
	}
	keep := c.node.Int("keepdims", 1) != 0
	if !known {
		if keep {
			out := make([]sym.Dim, x.Rank())
			for i := range out {
				out[i] = c.values.unknownDim()
			}
			c.out(0, x.DType, out)
		} else {
			c.outType(0, x.DType)
		}
		return nil
	}
	if !present || len(set) == 0 {
		if c.node.Int("noop_with_empty_axes", 0) != 0 {
			c.out(0, x.DType, x.Shape)
			return nil
		}
		for i := range x.Shape {
			set[i] = true
		}
	}
	c.out(0, x.DType, dropAxes(x.Shape, set, keep))
	return nil
}

func dropAxes(shape []sym.Dim, set map[int]bool, keep bool) []sym.Dim {
	out := []sym.Dim{}
	for i, d := range shape {
		switch {
		case !set[i]:
			out = append(out, d)
		case keep:
			out = append(out, sym.Const(1))
		}
	}
	return out
}

func argReduce(c *call) error {
	x := c.in(0)
	if !x.Ranked {
		c.outType(0, ir.Int64)
		return nil
	}
	k, err := axis(c.node.Int("axis", 0), x.Rank())
	if err != nil {
		return err
	}
	c.out(0, ir.Int64, dropAxes(x.Shape, map[int]bool{k: true}, c.node.Int("keepdims", 1) != 0))
	return nil
}
