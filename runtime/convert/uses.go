package convert

import (
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// A role is what a graph does with a parameter.
type role string

const (
	roleLinear role = "linear" // W of x·W
	roleTable  role = "table"  // rows looked up by ids
	roleBias   role = "bias"   // added along the last axis
	roleScale  role = "scale"  // multiplied along the last axis
)

// leaf is what PyTorch calls a parameter of that role in its module.
func (r role) leaf() string {
	if r == roleBias {
		return "bias"
	}
	return "weight"
}

// A paramUse is one place where a graph reads a parameter.
type paramUse struct {
	tensor *ir.Tensor
	role   role
	// names are those of the initializer and of the Identities, casts and
	// transposes between it and the node.
	names []string
	// module is the path that the exporter gave the node, dotted; "" for none.
	module string
	// flipped linear weights are stored as [out,in], flipped tables as their
	// transpose.
	flipped bool
	// offset is a constant that the graph adds to the parameter before it uses it.
	offset float32
	// from and to cut a packed weight's columns, a packed bias's elements; to is 0
	// for the whole.
	from, to int64
	// part is the module that the file holds, "encoder" or "decoder", where an
	// export has several; "" for the whole model.
	part string
	// of is the linear layer whose bias this is.
	of *paramUse
}

// shape is the parameter's, a linear weight's as [in,out].
func (u *paramUse) shape() []int64 {
	d := slices.Clone(u.tensor.Dims)
	if u.flipped {
		slices.Reverse(d)
	}
	if u.to > 0 {
		d[len(d)-1] = u.to - u.from
	}
	if u.role == roleBias || u.role == roleScale { // [1,1,d] is [d]
		for len(d) > 1 && d[0] == 1 {
			d = d[1:]
		}
	}
	return d
}

// partOf is a name within the whole model.
func (u *paramUse) partOf(name string) string {
	if u.part == "" {
		return name
	}
	return u.part + "." + name
}

// A useFinder walks a graph in the order of its nodes.
type useFinder struct {
	g        *ir.Graph
	producer map[string]*ir.Node
	linear   map[string]*paramUse // by the value that the product makes
	uses     []*paramUse
}

// parameterUses lists where g reads floating initializers as parameters.
func parameterUses(g *ir.Graph) []*paramUse {
	f := &useFinder{g: g, producer: g.Index().Producer, linear: map[string]*paramUse{}}
	for _, n := range g.Nodes {
		if visit, ok := readers[n.Domain+":"+n.Op]; ok {
			visit(f, n)
		}
	}
	return f.uses
}

// readers are the operators that read parameters.
var readers = map[string]func(f *useFinder, n *ir.Node){
	":MatMul": func(f *useFinder, n *ir.Node) { f.product(n, false) },
	"com.microsoft:FusedMatMul": func(f *useFinder, n *ir.Node) {
		f.product(n, n.Int("transB", 0) != 0)
	},
	":Gemm":                   (*useFinder).gemm,
	"com.microsoft:FusedGemm": (*useFinder).gemm,
	":Gather":                 func(f *useFinder, n *ir.Node) { f.table(n, 0) },
	":Add":                    (*useFinder).add,
	":Mul":                    (*useFinder).mul,
	":LayerNormalization":     func(f *useFinder, n *ir.Node) { f.norm(n, 1, 2) },
	":RMSNormalization":       func(f *useFinder, n *ir.Node) { f.norm(n, 1, -1) },
	":SimplifiedLayerNormalization": func(f *useFinder, n *ir.Node) {
		f.norm(n, 1, -1)
	},
	"com.microsoft:SimplifiedLayerNormalization": func(f *useFinder, n *ir.Node) {
		f.norm(n, 1, -1)
	},
	"com.microsoft:SkipLayerNormalization": func(f *useFinder, n *ir.Node) {
		f.bias(n, 4, 0, 1)
		f.norm(n, 2, 3)
	},
	"com.microsoft:SkipSimplifiedLayerNormalization": func(f *useFinder, n *ir.Node) {
		f.bias(n, 3, 0, 1)
		f.norm(n, 2, -1)
	},
	"com.microsoft:EmbedLayerNormalization": func(f *useFinder, n *ir.Node) {
		for i := 2; i <= 4; i++ {
			f.table(n, i)
		}
		f.norm(n, 5, 6)
	},
	"com.microsoft:BiasGelu":             func(f *useFinder, n *ir.Node) { f.bias(n, 1, 0) },
	"com.microsoft:FastGelu":             func(f *useFinder, n *ir.Node) { f.bias(n, 1, 0) },
	"com.microsoft:Attention":            (*useFinder).packed,
	"com.microsoft:MultiHeadAttention":   (*useFinder).packedBias,
	"com.microsoft:RelativePositionBias": (*useFinder).relativeTable,
}

// read resolves a value to the floating initializer behind it.
func (f *useFinder) read(value string, r role, n *ir.Node) (*paramUse, bool) {
	u := &paramUse{role: r, module: modulePath(n)}
	for range 16 {
		u.names = append(u.names, value)
		if t, ok := f.g.Inits[value]; ok {
			u.tensor = t
			return u, t.DType.IsFloat() && len(t.Dims) > 0
		}
		p := f.producer[value]
		switch {
		case p == nil:
			return nil, false
		case p.Is("Transpose"):
			if perm, given := p.Ints("perm"); given && !slices.Equal(perm, []int64{1, 0}) {
				return nil, false
			}
			u.flipped = !u.flipped
		case p.Is("Add"):
			c, ok := f.constant(p.Input(1))
			if !ok {
				return nil, false
			}
			u.offset += c
		case !p.Is("Identity") && !p.Is("Cast"):
			return nil, false
		}
		value = p.Input(0)
	}
	return nil, false
}

// constant is the value of an initializer of one element.
func (f *useFinder) constant(value string) (float32, bool) {
	t, ok := f.g.Inits[value]
	if !ok || !t.DType.IsFloat() || t.Len() != 1 {
		return 0, false
	}
	v, err := t.Float32s()
	if err != nil {
		return 0, false
	}
	return v[0], true
}

func (f *useFinder) keep(u *paramUse) *paramUse {
	f.uses = append(f.uses, u)
	return u
}

func (f *useFinder) product(n *ir.Node, flipped bool) *paramUse {
	u, ok := f.read(n.Input(1), roleLinear, n)
	if !ok || len(u.tensor.Dims) != 2 {
		return nil
	}
	u.flipped = u.flipped != flipped
	f.linear[n.Output(0)] = u
	return f.keep(u)
}

func (f *useFinder) gemm(n *ir.Node) {
	u := f.product(n, n.Int("transB", 0) != 0)
	if b, ok := f.read(n.Input(2), roleBias, n); ok && u != nil {
		b.of = u
		f.keep(b)
	}
}

func (f *useFinder) table(n *ir.Node, i int) {
	if u, ok := f.read(n.Input(i), roleTable, n); ok && len(u.tensor.Dims) == 2 && !u.flipped && n.Int("axis", 0) == 0 {
		f.keep(u)
	}
}

// isVector reports that a tensor has one axis that counts.
func isVector(t *ir.Tensor) bool {
	return t.Len() > 0 && t.Len() == t.Dims[len(t.Dims)-1]
}

// add is a bias where the other operand is a product or a scaled value.
func (f *useFinder) add(n *ir.Node) {
	for i := range 2 {
		if _, lone := f.constant(n.Input(1 - i)); lone {
			continue // the value of another operator's parameter
		}
		if u, ok := f.read(n.Input(i), roleBias, n); ok && isVector(u.tensor) {
			u.of = f.linearBehind(n.Input(1 - i))
			f.keep(u)
			return
		}
	}
}

func (f *useFinder) mul(n *ir.Node) {
	for i := range 2 {
		if u, ok := f.read(n.Input(i), roleScale, n); ok && isVector(u.tensor) && u.tensor.Len() > 1 {
			f.keep(u)
			return
		}
	}
}

func (f *useFinder) norm(n *ir.Node, scale, shift int) {
	for _, o := range []struct {
		i int
		r role
	}{{scale, roleScale}, {shift, roleBias}} {
		if o.i < 0 {
			continue
		}
		if u, ok := f.read(n.Input(o.i), o.r, n); ok {
			f.keep(u)
		}
	}
}

// bias is operand i, added to a product that is one of the operands behind.
func (f *useFinder) bias(n *ir.Node, i int, behind ...int) {
	u, ok := f.read(n.Input(i), roleBias, n)
	if !ok {
		return
	}
	u.module = "" // the fused node's, not the linear layer's
	for _, b := range behind {
		if l := f.linearBehind(n.Input(b)); l != nil {
			u.of, u.module = l, l.module
			break
		}
	}
	f.keep(u)
}

// linearBehind is the product that makes a value, through changes of its shape.
func (f *useFinder) linearBehind(value string) *paramUse {
	for range 8 {
		if u := f.linear[value]; u != nil {
			return u
		}
		p := f.producer[value]
		if p == nil || !p.Is("Reshape") && !p.Is("Identity") && !p.Is("Cast") {
			return nil
		}
		value = p.Input(0)
	}
	return nil
}
