package runtime

import (
	"context"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// openProducts makes every product of a training step with a weight, and nothing
// else: for Y = X·W also ∂X = G·Wᵀ and ∂W = Xᵀ·G, each as one MatMul of matrices
// that already lie as it reads them, into memory that is there. Equal ones are
// made as often as the step makes them. What a step's time is a fraction of.
func (c *benchCell) openProducts() (benchRun, error) {
	list := c.prepared.Products(int64(c.Microbatch), int64(c.Length))
	if len(list) == 0 {
		return nil, usage("the model has no product with a weight matrix; leave products out of the variants")
	}
	data, err := matMulGraph().Marshal()
	if err != nil {
		return nil, err
	}
	s, err := c.model.env.NewSession(data, ort.Options{Name: "products", Threads: c.Threads})
	if err != nil {
		return nil, err
	}
	c.closers = append(c.closers, s.Close)
	var all []multiplication
	for _, p := range list {
		all = append(all, multiplication{p.Rows, p.In, p.Out, p.Times}, multiplication{p.Rows, p.Out, p.In, p.Times}, multiplication{p.In, p.Rows, p.Out, p.Times})
	}
	scratch := newScratch(all)
	return func(ctx context.Context) error {
		for _, m := range all {
			feeds, fetch, err := scratch.of(m)
			if err != nil {
				return err
			}
			for range m.times {
				if _, err := s.Run(ctx, feeds, fetch); err != nil {
					return err
				}
			}
		}
		return nil
	}, nil
}

// A multiplication is [m,k]·[k,n], so many times.
type multiplication struct{ m, k, n, times int64 }

// matMulGraph is one MatMul of any extents.
func matMulGraph() *ir.Graph {
	value := func(name, rows, columns string) *ir.ValueInfo {
		return &ir.ValueInfo{Name: name, DType: ir.Float32, Dims: []ir.DeclaredDim{{Param: rows, Value: -1}, {Param: columns, Value: -1}}}
	}
	return &ir.Graph{
		Name: "products", Opset: map[string]int64{"": 17},
		Inputs:  []*ir.ValueInfo{value("a", "m", "k"), value("b", "k", "n")},
		Outputs: []*ir.ValueInfo{value("c", "m", "n")},
		Nodes:   []*ir.Node{{Name: "c", Op: "MatMul", Inputs: []string{"a", "b"}, Outputs: []string{"c"}, Attrs: ir.Attrs{}}},
	}
}

// scratch is memory for the operands of one multiplication at a time.
type scratch struct{ a, b, c []float32 }

func newScratch(all []multiplication) *scratch {
	var a, b, c int64
	for _, m := range all {
		a, b, c = max(a, m.m*m.k), max(b, m.k*m.n), max(c, m.m*m.n)
	}
	s := &scratch{make([]float32, a), make([]float32, b), make([]float32, c)}
	for _, v := range [][]float32{s.a, s.b} {
		for i := range v {
			v[i] = float32(i%17)/16 - 0.5
		}
	}
	return s
}

func (s *scratch) of(m multiplication) (map[string]*ort.Tensor, ort.Fetch, error) {
	a, err := ort.NewTensor([]int64{m.m, m.k}, s.a[:m.m*m.k])
	if err != nil {
		return nil, ort.Fetch{}, err
	}
	b, err := ort.NewTensor([]int64{m.k, m.n}, s.b[:m.k*m.n])
	if err != nil {
		return nil, ort.Fetch{}, err
	}
	c, err := ort.NewTensor([]int64{m.m, m.n}, s.c[:m.m*m.n])
	return map[string]*ort.Tensor{"a": a, "b": b}, ort.Fetch{Name: "c", Into: c}, err
}
