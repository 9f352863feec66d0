package kvcache

import (
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// A builder emits the new graph and infers it as it grows.
type builder struct {
	graph  *ir.Graph
	values *infer.Values
	count  int
	ints   map[string]string // constants by their elements
	dims   map[string]string // computed dimensions by their text
}

// prefix begins the names of all that is new.
const prefix = "kvcache/"

// begin starts the new graph: the old one's constants, inputs of the cached form.
func (r *rewriter) begin() {
	g := r.old.Clone()
	g.Nodes, g.Outputs, g.ValueInfos = nil, nil, map[string]*ir.ValueInfo{}
	g.Inputs = nil
	values, _ := infer.Graph(&ir.Graph{Inits: g.Inits, InitOrder: g.InitOrder}, nil) // no nodes: no contradiction
	r.builder = builder{graph: g, values: values, ints: map[string]string{}, dims: map[string]string{}}
	for _, name := range []string{idsInput, maskInput, positionsInput, typesInput} {
		in := r.old.Input(name)
		if in == nil && name == typesInput {
			continue
		}
		dtype, rows := ir.Int64, sym.Var(batchDim)
		if in != nil {
			dtype = in.DType
			rows = textShape(in)[0]
		}
		tokens := sym.Var(newDim)
		if name == maskInput {
			tokens = whole
		}
		r.input(name, dtype, []sym.Dim{rows, tokens})
	}
}

// whole is the extent of past and new tokens together.
var whole = sym.Add(sym.Var(pastDim), sym.Var(newDim))

func (b *builder) input(name string, dtype ir.DType, shape []sym.Dim) {
	b.graph.Inputs = append(b.graph.Inputs, &ir.ValueInfo{Name: name, DType: dtype, Dims: declared(shape)})
	b.values.Set(name, infer.Info{DType: dtype, Ranked: true, Shape: shape})
}

// fresh names a new value.
func (b *builder) fresh(what string) string {
	b.count++
	return fmt.Sprintf("%s%s_%d", prefix, what, b.count)
}

// add appends a node and infers its outputs.
func (b *builder) add(n *ir.Node) error {
	b.graph.Nodes = append(b.graph.Nodes, n)
	return b.values.Node(n)
}

// op emits a node with one new output.
func (b *builder) op(what, op string, attrs ir.Attrs, inputs ...string) (string, error) {
	if attrs == nil {
		attrs = ir.Attrs{}
	}
	out := b.fresh(what)
	return out, b.add(&ir.Node{Name: out, Op: op, Inputs: inputs, Outputs: []string{out}, Attrs: attrs})
}

// vector adds a constant of rank 1.
func (b *builder) vector(v ...int64) string {
	key := fmt.Sprint(v)
	if name, ok := b.ints[key]; ok {
		return name
	}
	t := ir.NewInt64(b.fresh("ints"), []int64{int64(len(v))}, v)
	b.graph.AddInit(t)
	b.values.Set(t.Name, infer.OfTensor(t))
	b.ints[key] = t.Name
	return t.Name
}

// dim computes a dimension as a vector of one element.
func (b *builder) dim(d sym.Dim) (string, error) {
	if n, ok := d.Const(); ok {
		return b.vector(n), nil
	}
	if name, ok := b.dims[d.String()]; ok {
		return name, nil
	}
	sum := ""
	for _, term := range d.Terms() {
		product := ""
		if term.Coef != 1 || len(term.Symbols) == 0 {
			product = b.vector(term.Coef)
		}
		for _, s := range term.Symbols {
			factor, err := b.symbol(s)
			if err != nil {
				return "", err
			}
			if product, err = b.fold(product, "Mul", factor); err != nil {
				return "", err
			}
		}
		var err error
		if sum, err = b.fold(sum, "Add", product); err != nil {
			return "", err
		}
	}
	b.dims[d.String()] = sum
	return sum, nil
}

// fold is left op right, or right where there is no left.
func (b *builder) fold(left, op, right string) (string, error) {
	if left == "" {
		return right, nil
	}
	return b.op("dim", op, nil, left, right)
}

// symbol reads one of the three extents from the inputs.
func (b *builder) symbol(s *sym.Symbol) (string, error) {
	key := "symbol " + s.Name
	if name, ok := b.dims[key]; ok {
		return name, nil
	}
	axes := map[string]int64{batchDim: 0, newDim: 1}
	axis, ok := axes[s.Name]
	var name string
	var err error
	switch {
	case ok:
		name, err = b.op("extent", "Shape", ir.Attrs{"start": axis, "end": axis + 1}, idsInput)
	case s.Name == pastDim: // the first slot may not exist yet; the mask is as long as past and new together
		var total, tokens string
		if total, err = b.op("total", "Shape", ir.Attrs{"start": int64(1), "end": int64(2)}, maskInput); err != nil {
			return "", err
		}
		if tokens, err = b.symbol(&sym.Symbol{Name: newDim}); err != nil {
			return "", err
		}
		name, err = b.op("past", "Sub", nil, total, tokens)
	default:
		return "", fmt.Errorf("an extent depends on %s", s.Name)
	}
	b.dims[key] = name
	return name, err
}

// shape computes a vector of dimensions.
func (b *builder) shape(dims []sym.Dim) (string, error) {
	constants := make([]int64, len(dims))
	all := true
	for i, d := range dims {
		n, ok := d.Const()
		constants[i], all = n, all && ok
	}
	if all {
		return b.vector(constants...), nil
	}
	parts := make([]string, len(dims))
	for i, d := range dims {
		var err error
		if parts[i], err = b.dim(d); err != nil {
			return "", err
		}
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	return b.op("shape", "Concat", ir.Attrs{"axis": int64(0)}, parts...)
}
