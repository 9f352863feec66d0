package onnxgrad

import (
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// standardOperators are all of ONNX's default domain up to opset 23, from the
// operator list of the specification (docs/Operators.md of onnx 1.18).
const standardOperators = `Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool
	BatchNormalization Bernoulli BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow
	Cast CastLike Ceil Celu CenterCropPad Clip Col2Im Compress Concat ConcatFromSequence Constant ConstantOfShape
	Conv ConvInteger ConvTranspose Cos Cosh CumSum DFT DeformConv DepthToSpace DequantizeLinear Det Div Dropout
	DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm
	GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization
	HammingWindow HannWindow HardSigmoid HardSwish Hardmax Identity If ImageDecoder InstanceNormalization IsInf IsNaN
	LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax Loop LpNormalization LpPool
	MatMul MatMulInteger Max MaxPool MaxRoiPool MaxUnpool Mean MeanVarianceNormalization MelWeightMatrix Min Mish Mod Mul
	Multinomial Neg NegativeLogLikelihoodLoss NonMaxSuppression NonZero Not OneHot Optional OptionalGetElement
	OptionalHasElement Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN RandomNormal
	RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
	ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare RegexFullMatch Relu Reshape Resize
	ReverseSequence RoiAlign RotaryEmbedding Round STFT Scan Scatter ScatterElements ScatterND Selu SequenceAt
	SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength SequenceMap Shape Shrink Sigmoid Sign
	Sin Sinh Size Slice Softmax SoftmaxCrossEntropyLoss Softplus Softsign SpaceToDepth Split SplitToSequence Sqrt
	Squeeze StringConcat StringNormalizer StringSplit Sub Sum Tan Tanh TfIdfVectorizer ThresholdedRelu Tile TopK
	Transpose Trilu Unique Unsqueeze Upsample Where Xor`

// answeredElsewhere never reach the table.
var answeredElsewhere = map[string]string{
	"Constant": "read as an initializer by onnxgrad/ir",
	"Scatter":  "of opset 10 and older; the upgrade of onnxgrad/canon refuses it",
}

func TestEveryStandardOperatorHasAnAnswer(t *testing.T) {
	known := map[string]bool{}
	for _, op := range strings.Fields(standardOperators) {
		known[op] = true
		if Supported(&ir.Node{Op: op}) == "" && answeredElsewhere[op] == "" {
			t.Errorf("%s has neither a rule nor a reason for having none", op)
		}
	}
	newer := map[string]bool{"Swish": true, "TensorScatter": true, "SimplifiedLayerNormalization": true}
	for key := range rules {
		domain, op, _ := strings.Cut(key, ".")
		if domain == "" && !known[op] && !newer[op] {
			t.Errorf("the table has a rule for %q, which is no operator", op)
		}
	}
}

// One operator has one kind of answer: lists that overlap hide a rule.
func TestAnswersDoNotOverlap(t *testing.T) {
	seen := map[string]string{}
	note := func(kind, op string) {
		if k := key(op); seen[k] != "" {
			t.Errorf("%s is listed under %s and %s", op, seen[k], kind)
		} else {
			seen[k] = kind
		}
	}
	for _, table := range []map[string]func(*VJP, string) string{unaryRules, activationRules, trigonometricRules} {
		for op := range table {
			note("elementwise rules", op)
		}
	}
	for name, table := range map[string]map[string]func(*VJP) error{
		"arithmetic": arithmeticRules, "structure": structureRules, "reductions": reductionRules, "normalisations": normalizationRules,
		"images": imageRules, "channels": channelRules, "quantised": quantisedRules,
	} {
		for op := range table {
			note(name, op)
		}
	}
	for op := range indexRules {
		note("indices", op)
	}
	for _, op := range strings.Fields(zeroGradient) {
		note("zero", op)
	}
	for op := range blocked {
		note("blocked", op)
	}
}
