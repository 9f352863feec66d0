package onnxgrad

// zeroGradient lists operators whose result is constant almost everywhere, or
// that look at shapes only.
const zeroGradient = `Not And Or Xor Equal Less LessOrEqual Greater GreaterOrEqual IsInf IsNaN NonZero Shape Size
	ConstantOfShape RandomNormal RandomNormalLike RandomUniform RandomUniformLike Bernoulli Multinomial EyeLike
	ArgMax ArgMin Floor Ceil Round Sign BitShift BitwiseAnd BitwiseOr BitwiseXor BitwiseNot Hardmax
	BlackmanWindow HammingWindow HannWindow MelWeightMatrix NonMaxSuppression
	StringConcat StringNormalizer StringSplit RegexFullMatch TfIdfVectorizer ImageDecoder
	SequenceLength OptionalHasElement`

// blocked lists operators that a gradient must not silently skip, with the
// reason.
var blocked = map[string]string{
	"If":   "branches chosen at run time are not differentiated",
	"Loop": loops, "Scan": loops, "SequenceMap": loops,
	"RNN": recurrent, "LSTM": recurrent, "GRU": recurrent,

	"Compress": "a selection by condition is not differentiated",
	"Unique":   "a selection by value is not differentiated",

	"QuantizeLinear": quantised, "DynamicQuantizeLinear": quantised,
	"MatMulInteger": integers, "ConvInteger": integers, "QLinearMatMul": integers, "QLinearConv": integers,

	"SoftmaxCrossEntropyLoss":   lossInside,
	"NegativeLogLikelihoodLoss": lossInside,

	"Resize": resampling, "Upsample": resampling, "GridSample": resampling, "AffineGrid": resampling,
	"RoiAlign": resampling, "MaxRoiPool": resampling, "DeformConv": resampling, "CenterCropPad": resampling, "Col2Im": resampling,
	"MaxUnpool": resampling, "LRN": "local response normalisation is not differentiated", "LpPool": "pooling by a norm is not differentiated",
	"GlobalLpPool": "pooling by a norm is not differentiated",

	"DFT": spectral, "STFT": spectral, "Det": "determinants are not differentiated",

	"SequenceAt": sequences, "SequenceConstruct": sequences, "SequenceEmpty": sequences, "SequenceErase": sequences,
	"SequenceInsert": sequences, "SplitToSequence": sequences, "ConcatFromSequence": sequences,
	"Optional": sequences, "OptionalGetElement": sequences,

	"Attention":               "this form of Attention is not expanded into products",
	"RotaryEmbedding":         "this form of RotaryEmbedding is not expanded into products",
	"TensorScatter":           "a cache that is written in place is not differentiated; export the model without a cache",
	"com.microsoft.Attention": "fused attention is not differentiated; export without the transformer optimizer",
}

// Reasons that several operators share.
const (
	loops      = "loops are not differentiated"
	recurrent  = "recurrent layers are not differentiated; transformers have none"
	quantised  = "quantised activations have no gradient; export the model in floating point"
	integers   = "integer products have no gradient; export the model in floating point"
	lossInside = "a loss inside the model averages over the batch; export the model without its loss"
	resampling = "resampling of images is not differentiated"
	spectral   = "Fourier transforms are not differentiated"
	sequences  = "sequences of tensors are not differentiated; export the model with Split and Concat"
)
