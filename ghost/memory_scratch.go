package ghost

import (
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
)

// A scratchRule says what a node's kernel takes of the pool while it runs, beside
// its results. fresh reports that the first result takes new memory, and so is not
// there before the kernel asks for it.
type scratchRule func(s *planShapes, n *ir.Node, fresh bool) int64

// scratchRules are by domain and operator. A kernel that is not here takes nothing,
// or next to nothing.
var scratchRules = map[string]scratchRule{
	".Where": whereScratch,
	".Sum":   variadicScratch, ".Max": variadicScratch, ".Min": variadicScratch, ".Mean": variadicScratch,
	"com.microsoft.BiasGelu": biasedScratch, "com.microsoft.FastGelu": biasedScratch,
	".Softmax": softmaxScratch, ".LogSoftmax": softmaxScratch, ".Einsum": einsumScratch,
	".Conv": convScratch,
}

// scratch applies the rule for n.
func (m *memoryPlan) scratch(n *ir.Node, fresh bool) int64 {
	if rule := scratchRules[n.Domain+"."+n.Op]; rule != nil {
		return rule(m.shapes, n, fresh)
	}
	return 0
}

// whereScratch: what is selected of either side, each as large as the condition and
// that side are together.
func whereScratch(s *planShapes, n *ir.Node, _ bool) (bytes int64) {
	condition := s.of(n.Input(0))
	for _, side := range []int{1, 2} {
		value := s.of(n.Input(side))
		if !condition.Ranked || !value.Ranked {
			continue
		}
		if shape, err := infer.BroadcastShapes(condition.Shape, value.Shape); err == nil {
			bytes += poolBytes(s.bytesOf(infer.Info{DType: value.DType, Ranked: true, Shape: shape}))
		}
	}
	return bytes
}

// variadicScratch: operands are taken in one after the other, each partial result
// but the last beside the one before.
func variadicScratch(s *planShapes, n *ir.Node, fresh bool) int64 {
	one := poolBytes(s.bytes(n.Output(0)))
	switch {
	case len(n.Inputs) < 3:
		return 0
	case len(n.Inputs) == 3 || fresh:
		return one
	}
	return 2 * one
}

// biasedScratch: halves of the values, where there is a bias.
func biasedScratch(s *planShapes, n *ir.Node, _ bool) int64 {
	if n.Input(1) == "" {
		return 0
	}
	return poolBytes(s.bytes(n.Input(0)))
}

// softmaxScratch: along another axis than the last, the values and the result with
// that axis last.
func softmaxScratch(s *planShapes, n *ir.Node, _ bool) int64 {
	x := s.of(n.Input(0))
	if a := n.Int("axis", -1); !x.Ranked || a == -1 || int(a) == x.Rank()-1 {
		return 0
	}
	return 2 * poolBytes(s.bytesOf(x))
}

// einsumScratch: operands with their axes in order, and the product before its own
// are.
func einsumScratch(s *planShapes, n *ir.Node, _ bool) int64 {
	bytes := poolBytes(s.bytes(n.Output(0)))
	for _, in := range n.Inputs {
		bytes += poolBytes(s.bytes(in))
	}
	return bytes
}

// convScratch: the patches of one record as columns where there are more filters than
// patches; else a block of them, of one size, for each thread.
func convScratch(s *planShapes, n *ir.Node, _ bool) int64 {
	const block = 64 << 10
	kernel, out := s.of(n.Input(1)), s.of(n.Output(0))
	if !kernel.Ranked || !out.Ranked || kernel.Rank() < 3 {
		return 0
	}
	filters, patches := s.product(kernel.Shape[:1])/max(1, n.Int("group", 1)), s.product(out.Shape[2:])
	switch {
	case s.product(kernel.Shape[2:]) == 1:
		return 0
	case filters > patches:
		return poolBytes(elementSize(out.DType) * s.product(kernel.Shape[1:]) * patches)
	}
	return poolBytes(block)
}
