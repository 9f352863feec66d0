package separate

import (
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// A rule labels the outputs of a node of which at least one operand may carry
// records and none is Mixed. The last label stands for all further outputs.
type rule func(*step) []Label

// rules by "domain.op". What is absent mixes.
var rules = func() map[string]rule {
	m := map[string]rule{
		".MatMul": matMul, "com.microsoft.FusedMatMul": matMul, ".Gemm": gemm, ".Einsum": einsum,
		".Gather": gather, ".GatherElements": gatherElements, ".ScatterElements": gatherElements, ".GatherND": gatherND,
		".Reshape": reshape, ".Flatten": reshape, ".Transpose": transpose, ".Squeeze": reshape, ".Unsqueeze": reshape,
		".Expand": expand, ".Slice": slice, ".Split": split, ".Concat": concat, ".Tile": tile, ".Pad": pad,
		".ConstantOfShape": constantOfShape, ".Identity": keep, ".Cast": keep,
		".LayerNormalization": normalization, ".SimplifiedLayerNormalization": normalization, ".RMSNormalization": normalization,
		".Range": rangeRule, ".Trilu": trilu, ".BatchNormalization": batchNorm, ".OneHot": oneHot,
		".ScatterND": scatterND, ".ReverseSequence": reverseSequence, ".CastLike": keep, ".MaxPool": maxPool,
		".LpNormalization": alongAxis(-1), ".MeanVarianceNormalization": meanVariance,
		".DynamicQuantizeLinear": quantizeByBatch,
		".DequantizeLinear":      dequantize, "com.microsoft.DequantizeLinear": dequantize,
		"com.microsoft.MatMulNBits": packedProduct, "com.microsoft.GatherBlockQuantized": gatherPacked,
	}
	add := func(r rule, ops string) {
		for _, op := range strings.Fields(ops) {
			m["."+op] = r
		}
	}
	add(elementwise, `Abs Acos Acosh Asin Asinh Atan Atanh Ceil Celu Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid HardSwish
		IsInf IsNaN LeakyRelu Log Mish Neg Not PRelu Reciprocal Relu Round Selu Sigmoid Sign Sin Sinh Softplus Softsign Sqrt
		Swish Tan Tanh ThresholdedRelu Clip
		Add Sub Mul Div Mod Max Min Sum Mean Pow Equal Greater GreaterOrEqual Less LessOrEqual And Or Xor Where
		BitwiseAnd BitwiseOr BitwiseXor BitwiseNot BitShift Shrink Dropout`)
	add(reduction, `ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare`)
	add(alongAxis(-1), "Softmax LogSoftmax Hardmax TopK")
	add(argReduction, "ArgMax ArgMin")
	add(imagewise, `Conv ConvTranspose AveragePool LpPool GlobalAveragePool GlobalMaxPool GlobalLpPool LRN
		InstanceNormalization GroupNormalization DepthToSpace SpaceToDepth`)
	m[".CumSum"] = cumSum
	for _, op := range strings.Fields("Gelu FastGelu BiasGelu QuickGelu") {
		m["com.microsoft."+op] = elementwise
	}
	return m
}()

func one(l Label) []Label { return []Label{l} }

// keep passes a label through.
func keep(c *step) []Label { return one(c.in(0)) }

// elementwise: operands that carry records must carry them along the same axis
// of the result, in equal blocks; operands that don't must have extent 1 there,
// or they would treat records by their place in the batch.
func elementwise(c *step) []Label {
	out := c.outInfo(0)
	if !out.Ranked {
		return one(mixed(c.node, "has a result of unknown rank"))
	}
	if l, ok := c.rowArithmetic(out.Rank()); ok {
		return one(l)
	}
	return one(c.align(out.Rank(), len(c.node.Inputs)))
}

// align labels a broadcast of the first n operands to the given rank.
func (c *step) align(rank, n int) Label {
	found := Label{Kind: Invariant}
	for i := range n {
		l := c.in(i)
		if c.node.Input(i) == "" || l.Kind == Invariant {
			continue
		}
		if l.Kind != Batch {
			return mixed(c.node, "computes with a value that %s", l)
		}
		axis := rank - c.info(i).Rank() + l.Axis
		if !c.info(i).Ranked {
			return mixed(c.node, "reads a value of unknown rank")
		}
		if found.Kind == Batch && (found.Axis != axis || !sym.Equal(found.Block, l.Block)) {
			return mixed(c.node, "aligns records along different axes (%v and %v)", c.info(0).Shape, c.info(i).Shape)
		}
		found = records(axis, l.Block)
	}
	if found.Kind == Invariant {
		return found
	}
	for i := range n {
		if l := c.in(i); c.node.Input(i) == "" || l.Kind != Invariant {
			continue
		}
		k := found.Axis - (rank - c.info(i).Rank())
		if !c.info(i).Ranked || k >= 0 && !c.info(i).Shape[k].Is(1) {
			return mixed(c.node, "combines records with a constant of shape %v that differs along the batch", c.info(i).Shape)
		}
	}
	return found
}

// matMul: leading axes broadcast; the axis of the records is never contracted
// and never the rows of one operand while the other carries records too.
func matMul(c *step) []Label {
	return one(c.product(c.node.Int("transA", 0) != 0, c.node.Int("transB", 0) != 0))
}

func gemm(c *step) []Label {
	l := c.product(c.node.Int("transA", 0) != 0, c.node.Int("transB", 0) != 0)
	if c.node.Input(2) == "" || l.Kind == Mixed {
		return one(l)
	}
	return one(c.addTo(l, 2))
}

// addTo labels the sum of a product labelled l and operand i.
func (c *step) addTo(l Label, i int) Label {
	bias, rank := c.info(i), c.outInfo(0).Rank()
	switch b := c.in(i); {
	case b.Kind == Invariant && l.Kind == Batch:
		if k := l.Axis - (rank - bias.Rank()); !bias.Ranked || k >= 0 && !bias.Shape[k].Is(1) {
			return mixed(c.node, "adds a constant of shape %v that differs along the batch", bias.Shape)
		}
		return l
	case b.Kind == Invariant:
		return l
	case b.Kind == Batch && l.Kind == Batch && rank-bias.Rank()+b.Axis == l.Axis && sym.Equal(b.Block, l.Block):
		return l
	}
	return mixed(c.node, "adds records to a product that carries them differently")
}

func (c *step) product(transA, transB bool) Label {
	a, b := c.info(0), c.info(1)
	out := c.outInfo(0)
	if !a.Ranked || !b.Ranked || !out.Ranked || a.Rank() < 1 || b.Rank() < 1 || c.node.Int("transBatchA", 0)+c.node.Int("transBatchB", 0) != 0 {
		return mixed(c.node, "multiplies values of unknown rank")
	}
	la, ka := c.place(0, a.Rank(), out.Rank(), transA, true)
	lb, kb := c.place(1, b.Rank(), out.Rank(), transB, false)
	switch {
	case la.Kind == Mixed:
		return la
	case lb.Kind == Mixed:
		return lb
	case la.Kind == Invariant && lb.Kind == Invariant:
		return invariant()
	case lb.Kind == Invariant:
		return c.againstConstant(la, ka, 1, out.Rank())
	case la.Kind == Invariant:
		return c.againstConstant(lb, kb, 0, out.Rank())
	case ka != kb || ka >= out.Rank()-2 || !sym.Equal(la.Block, lb.Block):
		return mixed(c.node, "multiplies records with records of other rows (%v by %v)", a.Shape, b.Shape)
	}
	return records(ka, la.Block)
}

// place finds on which axis of the product operand i carries its records.
func (c *step) place(i, rank, outRank int, trans, left bool) (Label, int) {
	l := c.in(i)
	if l.Kind == Invariant {
		return l, 0
	}
	if l.Kind != Batch {
		return mixed(c.node, "multiplies with a value that %s", l), 0
	}
	if rank == 1 {
		return mixed(c.node, "contracts the axis of the records"), 0
	}
	fromEnd := rank - l.Axis // 1 = last, 2 = second to last
	if trans && fromEnd <= 2 {
		fromEnd = 3 - fromEnd
	}
	if left && fromEnd == 1 || !left && fromEnd == 2 {
		return mixed(c.node, "contracts the axis of the records"), 0
	}
	// A rank-1 other operand drops one of the two matrix axes.
	other := c.info(1 - i).Rank()
	if other == 1 && fromEnd > 1 {
		fromEnd--
	}
	return l, outRank - fromEnd
}

// againstConstant: the other operand is the same for all records and must not
// be wider than 1 along their axis, where that axis is a leading one.
func (c *step) againstConstant(l Label, axis, other, outRank int) Label {
	s := c.info(other)
	k := axis - (outRank - s.Rank())
	if k >= 0 && k < s.Rank()-2 && !s.Shape[k].Is(1) {
		return mixed(c.node, "multiplies records with a constant of shape %v that differs along the batch", s.Shape)
	}
	return records(axis, l.Block)
}

// einsum: every operand that carries records names their axis by one letter,
// the result keeps that letter, and constants have it nowhere but with extent 1.
func einsum(c *step) []Label {
	ranks := make([]int, len(c.node.Inputs))
	for i := range ranks {
		if !c.info(i).Ranked {
			return one(mixed(c.node, "computes with a value of unknown rank"))
		}
		ranks[i] = c.info(i).Rank()
	}
	text := c.node.Str("equation", "")
	eq, err := infer.ParseEquation(text, ranks)
	if err != nil {
		return one(mixed(c.node, "%v", err))
	}
	letter, block := "", sym.Dim{}
	for i, term := range eq.Terms {
		l := c.in(i)
		if l.Kind == Invariant {
			continue
		}
		if l.Kind != Batch {
			return one(mixed(c.node, "computes with a value that %s", l))
		}
		this := string(term[l.Axis])
		if letter != "" && (letter != this || !sym.Equal(block, l.Block)) || strings.Count(term, this) > 1 {
			return one(mixed(c.node, "pairs records of different rows (%q)", text))
		}
		letter, block = this, l.Block
	}
	if letter == "" {
		return one(invariant())
	}
	for i, term := range eq.Terms {
		if k := strings.Index(term, letter); c.in(i).Kind == Invariant && k >= 0 && (strings.Count(term, letter) > 1 || !c.info(i).Shape[k].Is(1)) {
			return one(mixed(c.node, "combines records with a constant that differs along the batch (%q)", text))
		}
	}
	k := strings.Index(eq.Out, letter)
	if k < 0 {
		return one(mixed(c.node, "sums over the records (%q)", text))
	}
	return one(records(k, block))
}
