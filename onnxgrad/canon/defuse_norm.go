package canon

import (
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// skipLayerNorm expands com.microsoft.SkipLayerNormalization:
//
//	s = x + skip (+ bias),   y = LayerNormalization(s; γ, β),   result 3 is s
func (x *expander) skipLayerNorm() error {
	if err := x.onlyOutputs(0, 3); err != nil {
		return err
	}
	s := x.skipSum(4)
	inputs := []string{s, x.n.Input(2)}
	if x.n.Input(3) != "" {
		inputs = append(inputs, x.n.Input(3))
	}
	x.into(x.n.Output(0), "LayerNormalization", ir.Attrs{"axis": int64(-1), "epsilon": x.n.Float("epsilon", 1e-12)}, inputs...)
	return nil
}

// skipSimplifiedLayerNorm is the same without mean and β.
func (x *expander) skipSimplifiedLayerNorm() error {
	if err := x.onlyOutputs(0, 3); err != nil {
		return err
	}
	s := x.skipSum(3)
	x.into(x.n.Output(0), "SimplifiedLayerNormalization", ir.Attrs{"axis": int64(-1), "epsilon": x.n.Float("epsilon", 1e-12)}, s, x.n.Input(2))
	return nil
}

// skipSum emits x + skip (+ bias), under the name of result 3 where it has one.
func (x *expander) skipSum(bias int) string {
	skip := x.n.Input(1)
	if a, b := x.info(0), x.info(1); a.Ranked && b.Ranked && b.Rank() == a.Rank()-1 {
		skip = x.op("Unsqueeze", "skip", nil, skip, x.ints("skip_axis", 0))
	}
	first := x.n.Input(0)
	if b := x.n.Input(bias); b != "" {
		first = x.op("Add", "biased", nil, first, b)
	}
	sum := x.n.Output(3)
	if sum == "" {
		sum = x.fresh("sum")
	}
	x.into(sum, "Add", nil, first, skip)
	return sum
}

// simplifiedLayerNorm: the operator is also registered in the contrib domain.
func (x *expander) simplifiedLayerNorm() error {
	if err := x.onlyOutputs(0); err != nil {
		return err
	}
	x.into(x.n.Output(0), "SimplifiedLayerNormalization", x.n.Attrs, x.n.Inputs...)
	return nil
}

// embedLayerNorm expands com.microsoft.EmbedLayerNormalization:
//
//	s = word[ids] + position[t] (+ segment[types]),   y = LayerNormalization(s; γ, β)
//
// Result 1 counts the tokens that the mask keeps, result 2 is s.
func (x *expander) embedLayerNorm() error {
	ids := x.n.Input(0)
	if info := x.info(0); !info.Ranked || info.Rank() != 2 {
		return fmt.Errorf("ids %v", info)
	}
	gather := func(table, at, name string) string {
		return x.op("Gather", name, ir.Attrs{"axis": int64(0)}, table, at)
	}
	at := x.n.Input(8)
	if at == "" {
		at = x.positions(ids, "token", 1)
	}
	sum := x.n.Output(2)
	if sum == "" {
		sum = x.fresh("sum")
	}
	parts := []string{gather(x.n.Input(2), ids, "words"), gather(x.n.Input(3), at, "at_positions")}
	if x.n.Input(1) != "" {
		parts = append(parts, gather(x.n.Input(4), x.n.Input(1), "segments"))
	}
	s := parts[0]
	for i, p := range parts[1:] {
		if i == len(parts)-2 {
			x.into(sum, "Add", nil, s, p)
			s = sum
			break
		}
		s = x.op("Add", "partial", nil, s, p)
	}
	x.into(x.n.Output(0), "LayerNormalization", ir.Attrs{"axis": int64(-1), "epsilon": x.n.Float("epsilon", 1e-12)}, s, x.n.Input(5), x.n.Input(6))
	if o := x.n.Output(1); o != "" {
		x.keptTokens(o, ids)
	}
	return nil
}

// keptTokens emits the number of tokens per record that the mask keeps, 0
// without a mask.
func (x *expander) keptTokens(output, ids string) {
	mask := x.n.Input(7)
	if mask == "" {
		mask = x.op("Mul", "no_mask", nil, x.cast(ids, "ids", ir.Int64), x.int("zero", 0))
	}
	kept := x.op("ReduceSum", "kept", ir.Attrs{"keepdims": int64(0)}, x.cast(mask, "mask", ir.Int64), x.ints("tokens", 1))
	x.into(output, "Cast", ir.Attrs{"to": int64(ir.Int32)}, kept)
}
