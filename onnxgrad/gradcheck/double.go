package gradcheck

import (
	"encoding/binary"
	"math"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

// Doubled returns g with every float32 turned into float64, so that a numeric
// derivative has ten good digits instead of three. It changes g.
func Doubled(g *ir.Graph) *ir.Graph {
	for name, t := range g.Inits {
		g.Inits[name] = doubled(t)
	}
	for _, list := range [][]*ir.ValueInfo{g.Inputs, g.Outputs} {
		for i, v := range list {
			if v.DType == ir.Float32 {
				d := *v // clones of a graph share their declarations
				d.DType = ir.Float64
				list[i] = &d
			}
		}
	}
	for _, n := range g.Nodes {
		for _, attr := range []string{"to", "dtype"} {
			if to, ok := n.Attrs[attr].(int64); ok && ir.DType(to) == ir.Float32 {
				n.Attrs[attr] = int64(ir.Float64)
			}
		}
		for key, value := range n.Attrs {
			switch v := value.(type) {
			case *ir.Tensor:
				if key == "value" {
					n.Attrs[key] = doubled(v)
				}
			case *onnxpb.AttributeProto:
				n.Attrs[key] = doubledBranches(v)
			}
		}
	}
	g.ValueInfos = map[string]*ir.ValueInfo{}
	return g
}

func doubled(t *ir.Tensor) *ir.Tensor {
	values, err := t.Float32s()
	if err != nil || t.DType != ir.Float32 {
		return t
	}
	return ir.NewRaw(t.Name, ir.Float64, t.Dims, wide(values))
}

// wide is how values are stored in float64.
func wide(values []float32) []byte {
	raw := make([]byte, 0, 8*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(float64(v)))
	}
	return raw
}
