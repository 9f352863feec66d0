package ghost

import (
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/separate"
)

// planShapes is what is known of the values of a run: their shapes in the symbols
// that the runtime compares, and their extents.
type planShapes struct {
	symbolic *infer.Values
	// concrete is inferred from the extents themselves: where shape arithmetic can't
	// be followed in symbols, a slice that begins at −length for instance, numbers
	// still can. nil where they contradict the graph.
	concrete *infer.Values
	env      map[string]int64 // symbols of the inputs
}

// planShapes infers the values of the program's graph for so many records of that
// length.
func (p *Program) planShapes(records, length int64) (*planShapes, error) {
	symbolic, err := infer.Graph(p.Graph, infer.Declared)
	if err != nil {
		return nil, err
	}
	s := &planShapes{symbolic: symbolic, env: p.extents(records, length)}
	if s.concrete, err = infer.Graph(p.Graph, s.given); err != nil {
		s.concrete = nil
	}
	return s, nil
}

// extents gives every symbol of the inputs a value.
func (p *Program) extents(records, length int64) map[string]int64 {
	env := map[string]int64{separate.BatchSymbol: records, separate.SequenceSymbol: length, "label_words": 2}
	for _, in := range p.Graph.Inputs {
		for _, d := range in.Dims { // a decoder's length, for instance
			if _, known := env[d.Param]; !known && d.Param != "" {
				env[d.Param] = length
			}
		}
	}
	return env
}

// given is an input's shape in numbers.
func (s *planShapes) given(in *ir.ValueInfo) []sym.Dim {
	shape := infer.Declared(in)
	for i, d := range shape {
		if n, ok := d.Eval(s.env); ok {
			shape[i] = sym.Const(n)
		}
	}
	return shape
}

// learn adds the values of nodes, and of constants, that the program's graph has not:
// of a branch, or of what the runtime made of the graph.
func (s *planShapes) learn(constants []*ir.Tensor, nodes []*ir.Node) error {
	for _, t := range constants {
		s.set(t.Name, infer.OfTensor(t))
	}
	for _, n := range nodes {
		if s.symbolic.Of(n.Output(0)).Ranked {
			continue
		}
		if err := s.symbolic.Node(n); err != nil {
			return err
		}
		if s.concrete != nil && s.concrete.Node(n) != nil {
			s.concrete = nil
		}
	}
	return nil
}

func (s *planShapes) set(name string, info infer.Info) {
	s.symbolic.Set(name, info)
	if s.concrete != nil {
		s.concrete.Set(name, info)
	}
}

// of is a value's type and its extents as numbers where these are known.
func (s *planShapes) of(value string) infer.Info {
	for _, values := range []*infer.Values{s.concrete, s.symbolic} {
		if values == nil {
			continue
		}
		if info := values.Of(value); info.Ranked && evaluated(info.Shape, s.env) {
			return info
		}
	}
	return infer.Info{}
}

func evaluated(shape []sym.Dim, env map[string]int64) bool {
	for _, d := range shape {
		if _, ok := d.Eval(env); !ok {
			return false
		}
	}
	return true
}

// bytes is the size of a value, 0 where it is not known.
func (s *planShapes) bytes(value string) int64 { return s.bytesOf(s.of(value)) }

// bytesOf is the size of a value of that type and shape.
func (s *planShapes) bytesOf(info infer.Info) int64 {
	if !info.Ranked {
		return 0
	}
	return elementSize(info.DType) * s.product(info.Shape)
}

// product multiplies extents that are known.
func (s *planShapes) product(shape []sym.Dim) int64 {
	n := int64(1)
	for _, d := range shape {
		e, _ := d.Eval(s.env)
		n *= e
	}
	return n
}

func elementSize(d ir.DType) int64 {
	switch d {
	case ir.Int64, ir.Float64, ir.Uint64:
		return 8
	case ir.Float16, ir.BFloat16:
		return 2
	case ir.Bool, ir.Int8, ir.Uint8:
		return 1
	}
	return 4
}
