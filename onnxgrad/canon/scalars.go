package canon

import (
	"math"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// A scalarRule computes with so many single floating numbers, in single precision
// as the runtime does.
type scalarRule struct {
	operands int
	compute  func(a []float32) float32
}

// scalarRules by operator.
var scalarRules = map[string]scalarRule{
	"Add":        {2, func(a []float32) float32 { return a[0] + a[1] }},
	"Sub":        {2, func(a []float32) float32 { return a[0] - a[1] }},
	"Mul":        {2, func(a []float32) float32 { return a[0] * a[1] }},
	"Div":        {2, func(a []float32) float32 { return a[0] / a[1] }},
	"Pow":        {2, func(a []float32) float32 { return float32(math.Pow(float64(a[0]), float64(a[1]))) }},
	"Sqrt":       {1, func(a []float32) float32 { return float32(math.Sqrt(float64(a[0]))) }},
	"Neg":        {1, func(a []float32) float32 { return -a[0] }},
	"Reciprocal": {1, func(a []float32) float32 { return 1 / a[0] }},
	"Floor":      {1, func(a []float32) float32 { return float32(math.Floor(float64(a[0]))) }},
	"Ceil":       {1, func(a []float32) float32 { return float32(math.Ceil(float64(a[0]))) }},
}

// foldScalars computes what is made of single constants of the graph, in floating
// point: TorchScript writes the side of DINOv2's grid of positions as 9.0 to the
// power 0.5, and takes a shape from it; it takes the scale of attention from the
// root of an extent.
func foldScalars(c *Graph) error {
	c.foldNumbers()
	return nil
}

func (c *Graph) foldNumbers() {
	c.Nodes = slices.DeleteFunc(c.Nodes, func(n *ir.Node) bool {
		if c.foldCast(n) {
			return true
		}
		rule, ok := scalarRules[n.Op]
		if !ok || n.Domain != "" || len(n.Inputs) != rule.operands || len(n.Outputs) != 1 || c.Output(n.Outputs[0]) != nil {
			return false
		}
		args, dims := make([]float32, len(n.Inputs)), []int64{}
		for i, in := range n.Inputs {
			t := c.Inits[in]
			if t == nil || !c.Lifted[in] || t.DType != ir.Float32 || t.Len() != 1 {
				return false
			}
			v, err := t.Float32s()
			if err != nil {
				return false
			}
			if args[i] = v[0]; len(t.Dims) > len(dims) {
				dims = t.Dims
			}
		}
		c.AddInit(ir.NewFloat32(n.Outputs[0], dims, []float32{rule.compute(args)}))
		c.Lifted[n.Outputs[0]] = true
		return true
	})
}

// foldCast computes the cast of a single integer constant to float32.
func (c *Graph) foldCast(n *ir.Node) bool {
	if !n.Is("Cast") || ir.DType(n.Int("to", 0)) != ir.Float32 || c.Output(n.Output(0)) != nil {
		return false
	}
	t := c.Inits[n.Input(0)]
	if t == nil || !c.Lifted[n.Input(0)] || !t.DType.IsInt() || t.Len() != 1 {
		return false
	}
	v, err := t.Ints()
	if err != nil {
		return false
	}
	c.AddInit(ir.NewFloat32(n.Outputs[0], t.Dims, []float32{float32(v[0])}))
	c.Lifted[n.Outputs[0]] = true
	return true
}
