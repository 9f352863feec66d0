package ghost

import (
	"regexp"
	"slices"
)

// exporterName is how PyTorch's dynamo exporter names a value that belongs to no
// parameter, to no buffer and to no operation of the module.
var exporterName = regexp.MustCompile(`^val_\d+$`)

// writtenNeutral reports a vector of ones that only scales, or of zeros that only
// shifts, under a name of the exporter's own: an operator asks for one where the
// module has none. GroupNorm is written as InstanceNormalization with ones and
// zeros, and OLMo's LayerNorm has no scale. A parameter of a fresh model holds the
// same numbers, but keeps its name, or, where the exporter computed with it, the
// operation's (Gemma's 1 + w is add_4).
func (f *finder) writtenNeutral(name string, uses []ParameterUse) bool {
	t := f.graph.Inits[name]
	if len(uses) == 0 || len(t.Dims) != 1 || !exporterName.MatchString(name) {
		return false
	}
	neutral := map[Kind]float32{Scale: 1, Shift: 0, Bias: 0}
	want, ok := neutral[uses[0].Kind]
	if !ok || slices.ContainsFunc(uses, func(u ParameterUse) bool { v, known := neutral[u.Kind]; return !known || v != want }) {
		return false
	}
	values, err := t.Float32s()
	return err == nil && !slices.ContainsFunc(values, func(x float32) bool { return x != want })
}
