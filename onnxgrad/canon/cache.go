package canon

import (
	"regexp"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// cacheInput matches the inputs by which exporters feed a decoder the keys and
// values of earlier tokens; cacheSwitch the input that chooses the branch of a
// merged decoder.
var (
	cacheInput  = regexp.MustCompile(`^past|past_key|past_value`)
	cacheSwitch = regexp.MustCompile(`^use_cache(_branch)?$`)
)

// emptyCache prepares a decoder for training, which sees whole sequences: caches
// of earlier keys and values get the length 0, and a merged decoder's switch is
// off. Inference then shows what the cache's joins come to, and shape folding
// removes them.
func emptyCache(c *Graph) error {
	kept := c.Inputs[:0:0]
	for _, in := range c.Inputs {
		switch {
		case cacheSwitch.MatchString(in.Name) && in.DType == ir.Bool:
			c.AddInit(ir.NewBool(in.Name, slices.Repeat([]int64{1}, len(in.Dims)), []bool{false}))
			c.Lifted[in.Name] = true
			continue
		case cacheInput.MatchString(in.Name) && in.DType.IsFloat():
			if axis, ok := cacheAxis(in); ok {
				empty := *in
				empty.Dims = slices.Clone(in.Dims)
				empty.Dims[axis] = ir.DeclaredDim{Value: 0}
				in = &empty
			}
		}
		kept = append(kept, in)
	}
	c.Inputs = kept
	return nil
}

// cacheAxis finds the axis that counts earlier tokens: the one declared with a
// symbol that says so, else the last but one where that is dynamic, as in
// [batch, heads, past, width].
func cacheAxis(in *ir.ValueInfo) (int, bool) {
	for i, d := range in.Dims {
		if i > 0 && strings.Contains(d.Param, "past") {
			return i, true
		}
	}
	if k := len(in.Dims) - 2; k > 0 && (in.Dims[k].Param != "" || in.Dims[k].Value < 0) {
		return k, true
	}
	return 0, false
}
