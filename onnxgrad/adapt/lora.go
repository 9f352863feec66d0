package adapt

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// LoRA adds a low-rank update to weights (Hu et al. 2021, 2106.09685, §4.1): where the graph
// computes y = x·W it becomes
//
//	y = x·W + (α/r)·(x·A)·B,   A [in, r],  B [r, out].
//
// A begins uniform in ±1/√in, as the paper's code and PEFT draw it, and B at 0, so that the
// graph computes what it did.
type LoRA struct {
	Rank  int     // r
	Alpha float64 // α
	// Source draws A, by the name of its weight.
	Source func(name string) *rand.Rand

	prefix string // of the names of what is added; "" for lora
}

// A LowRank is the update of one weight, at every product that reads it.
type LowRank struct {
	Weight string
	A, B   string // initializers
	// In and Out are the extents of the products' inputs and outputs.
	In, Out int64
	// Transposed weights are stored as [Out, In].
	Transposed bool
	// Scale is what A·B is multiplied with before it is added to the weight.
	Scale float64
}

// Apply adds the updates to g, in canonical form. An error wraps ir.ErrUnsupported and names
// the weight and the node that reads it in another way than as the weight of a product:
// the update would not reach that use, and a merged one would.
func (l LoRA) Apply(g *ir.Graph, weights []string) ([]LowRank, error) {
	var out []LowRank
	for _, name := range weights {
		u, err := l.add(g, name)
		if err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	return out, g.Sort()
}

// add adds the update of one weight.
func (l LoRA) add(g *ir.Graph, name string) (LowRank, error) {
	w := g.Inits[name]
	if w == nil || len(w.Dims) != 2 {
		return LowRank{}, fmt.Errorf("%w: %q is no matrix, which a low-rank update needs", ir.ErrUnsupported, name)
	}
	products, err := productsOf(g, name)
	if err != nil {
		return LowRank{}, err
	}
	u := LowRank{Weight: name, In: w.Dims[0], Out: w.Dims[1], Transposed: products[0].transposed, Scale: l.Alpha / float64(l.Rank) / float64(products[0].alpha)}
	if u.Transposed {
		u.In, u.Out = u.Out, u.In
	}
	r := int64(l.Rank)
	if r > min(u.In, u.Out) {
		return LowRank{}, fmt.Errorf("%w: rank %d is more than %q of shape %v can have", ir.ErrInvalid, r, name, w.Dims)
	}
	u.A, u.B = g.FreshName(adapterName(name, l.named("A"))), g.FreshName(adapterName(name, l.named("B")))
	bound, source := 1/math.Sqrt(float64(u.In)), l.Source(name)
	a := make([]float32, u.In*r)
	for i := range a {
		a[i] = float32((2*source.Float64() - 1) * bound)
	}
	g.AddInit(ir.NewFloat32(u.A, []int64{u.In, r}, a))
	g.AddInit(ir.NewFloat32(u.B, []int64{r, u.Out}, make([]float32, r*u.Out)))
	scale := scalar(g, name+"/"+l.named("scale"), float32(l.Alpha/float64(l.Rank)))
	for _, p := range products {
		u.attach(g, p.node, scale, l.named)
	}
	return u, nil
}

// named is the name of a part of the update.
func (l LoRA) named(part string) string { return cmp.Or(l.prefix, "lora") + "_" + part }

// adapterName puts a parameter's name beside its weight's, as PEFT does:
// attn.c_attn.weight → attn.c_attn.lora_A.weight.
func adapterName(weight, what string) string {
	if module, ok := strings.CutSuffix(weight, ".weight"); ok {
		return module + "." + what + ".weight"
	}
	return weight + "." + what
}

// attach adds the update to the result of a product.
func (u LowRank) attach(g *ir.Graph, n *ir.Node, scale string, named func(string) string) {
	y := n.Outputs[0]
	base := g.FreshName(y + "/base")
	n.Outputs[0] = base
	at := slices.Index(g.Nodes, n) + 1
	var added []*ir.Node
	op := func(op, suffix, output string, inputs ...string) string {
		if output == "" {
			output = g.FreshName(n.Name + "/" + suffix)
		}
		added = append(added, &ir.Node{Name: n.Name + "/" + suffix, Op: op, Inputs: inputs, Outputs: []string{output}, Attrs: ir.Attrs{}, Scope: n.Scope})
		return output
	}
	low := op("Mul", named("scaled"), "", op("MatMul", named("A"), "", n.Inputs[0], u.A), scale)
	op("Add", named("sum"), y, base, op("MatMul", named("B"), "", low, u.B))
	g.Nodes = slices.Insert(g.Nodes, at, added...)
}

func scalar(g *ir.Graph, name string, v float32) string {
	name = g.FreshName(name)
	g.AddInit(ir.NewFloat32(name, nil, []float32{v}))
	g.Lifted[name] = true
	return name
}

// A product is a node that multiplies by a weight.
type product struct {
	node       *ir.Node
	transposed bool    // by the weight's transpose
	alpha      float32 // times this
}

// productsOf lists the products that read a weight, directly or through what only
// transposes it.
func productsOf(g *ir.Graph, weight string) ([]product, error) {
	ix := g.Index()
	var out []product
	var follow func(value string, transposed bool) error
	follow = func(value string, transposed bool) error {
		for _, u := range ix.Uses[value] {
			switch n := u.Node; {
			case n.Is("Identity"), n.Is("Cast"):
				if err := follow(n.Output(0), transposed); err != nil {
					return err
				}
			case n.Is("Transpose"):
				if err := follow(n.Output(0), !transposed); err != nil {
					return err
				}
			case n.Is("MatMul") && u.Index == 1:
				out = append(out, product{n, transposed, 1})
			case n.Is("Gemm") && u.Index == 1 && n.Int("transA", 0) == 0 && n.Float("alpha", 1) != 0:
				out = append(out, product{n, transposed != (n.Int("transB", 0) != 0), n.Float("alpha", 1)})
			case n.Is("Gather"):
				return fmt.Errorf("%w: %q is also the table that %v reads: a low-rank update of the product alone can't be merged; leave it out of the targets", ir.ErrUnsupported, weight, n)
			default:
				return fmt.Errorf("%w: %v reads %q otherwise than as the weight of a product; leave it out of the targets", ir.ErrUnsupported, n, weight)
			}
		}
		return nil
	}
	if err := follow(weight, false); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: no product reads %q", ir.ErrUnsupported, weight)
	}
	for _, p := range out[1:] {
		if p.transposed != out[0].transposed || p.alpha != out[0].alpha {
			return nil, fmt.Errorf("%w: %v and %v read %q in different ways, which one low-rank update can't follow; leave it out of the targets", ir.ErrUnsupported, out[0].node, p.node, weight)
		}
	}
	return out, nil
}

// Merge adds the update to w, the weight's numbers as they are stored. Sums are made in
// float64 and rounded once.
func (u LowRank) Merge(w, a, b []float32) {
	rank := int64(len(a)) / u.In
	row := make([]float64, u.Out)
	for i := range u.In {
		clear(row)
		for k := range rank {
			x := float64(a[i*rank+k])
			for j, y := range b[k*u.Out : (k+1)*u.Out] {
				row[j] += x * float64(y)
			}
		}
		for j, d := range row {
			at := i*u.Out + int64(j)
			if u.Transposed {
				at = int64(j)*u.In + i
			}
			w[at] = float32(float64(w[at]) + u.Scale*d)
		}
	}
}
