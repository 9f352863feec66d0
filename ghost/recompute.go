package ghost

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// A Memory says what a program does with values that it needs again later.
type Memory string

const (
	// NormalMemory keeps them.
	NormalMemory Memory = "normal"
	// LowMemory keeps few of them and computes the others again (Chen et al. 2016,
	// 1604.06174).
	LowMemory Memory = "low"
)

// ParseMemory reads a mode's name; "" is NormalMemory.
func ParseMemory(s string) (Memory, error) {
	switch m := Memory(s); m {
	case "":
		return NormalMemory, nil
	case NormalMemory, LowMemory:
		return m, nil
	}
	return "", fmt.Errorf("unknown memory mode %q; there are %s and %s", s, NormalMemory, LowMemory)
}

// IsLow reports LowMemory.
func (m Memory) IsLow() bool { return m == LowMemory }

// A recomputation rewrites a finished step. The forward pass is cut into segments
// where little is alive (recompute_cuts.go). What is alive at a cut is kept, and so is
// its gradient; what lies between two cuts is computed
//
//   - again for the backward pass and the norms, once the gradient behind the segment
//     is there,
//   - and, values and gradients, again for the clipped sums, once the factors are
//     there: book-keeping would keep both sides of every product until then.
//
// What lies behind the last cut is what the backward pass begins with, and is kept.
type recomputation struct {
	*compiler
	producer map[string]*ir.Node
	forward  map[*ir.Node]bool // what the losses are made of
	early    map[*ir.Node]bool // what the factors are made of; nil where sums do not wait for them
	land     *terrain
	cuts     []cut
	kept     map[string]bool // alive at a cut
	small    int64           // values below it are kept wherever they are
}

// again is the section, and the prefix, of the copies.
const again = "again"

// recompute makes the finished program one of low memory.
func (c *compiler) recompute() error {
	r, err := c.survey()
	if err != nil {
		return err
	}
	if len(r.cuts) < 2 {
		return nil
	}
	c.Enter(again)
	c.Name(again)
	before := slices.Clone(c.Graph.Nodes)
	if r.early != nil {
		r.sums(before)
	}
	for s := len(r.cuts) - 1; s > 0; s-- {
		r.backward(before, s)
	}
	if err := c.Extend(); err != nil {
		return err
	}
	c.Graph.Prune()
	return nil
}

// survey finds the cuts of the forward pass whose gradients the backward pass has.
func (c *compiler) survey() (*recomputation, error) {
	r := &recomputation{compiler: c, producer: c.Graph.Index().Producer, kept: map[string]bool{}}
	r.forward = r.ancestors(c.out.Loss)
	if c.spec.Pass == Clipped {
		r.early = r.ancestors(append(slices.Collect(maps.Values(c.out.ByParameter)), c.out.Loss, c.out.Norm, c.out.Finite, c.out.Factor, c.out.GroupNorm)...)
	}
	order := slices.DeleteFunc(slices.Clone(c.Graph.Nodes), func(n *ir.Node) bool { return !r.forward[n] })
	shapes, err := c.out.planShapes(surveyed, max(c.spec.Length, 1))
	if err != nil {
		return nil, err
	}
	r.land = survey(executionOrder(order), shapes.bytes)
	r.cuts = slices.DeleteFunc(r.land.cuts(), func(x cut) bool { return r.adjoint(x.newest) == "" })
	sizes := make([]int64, len(r.cuts))
	for i, x := range r.cuts {
		sizes[i] = r.land.size(x.newest)
		for _, v := range x.live {
			r.kept[v] = true
		}
	}
	if slices.Sort(sizes); len(sizes) > 0 {
		const share = 16
		r.small = sizes[len(sizes)/2] / share
	}
	return r, nil
}

// surveyed is the number of records that sizes are compared at.
const surveyed = 8

// adjoint returns the gradient of a value where the graph still has it by a name.
func (r *recomputation) adjoint(value string) string {
	if a := r.adjoints[value]; r.producer[a] != nil {
		return a
	}
	return ""
}

// ancestors are the nodes that values are made by, and of.
func (r *recomputation) ancestors(values ...string) map[*ir.Node]bool {
	out := map[*ir.Node]bool{}
	for len(values) > 0 {
		n := r.producer[values[len(values)-1]]
		values = values[:len(values)-1]
		if n != nil && !out[n] {
			out[n] = true
			values = append(values, n.Reads()...)
		}
	}
	return out
}

// inside reports a value of the forward pass between two cuts, and its segment.
func (r *recomputation) inside(value string) (int, bool) {
	at, made := r.land.made[value]
	s := segment(r.cuts, at)
	return s, made && s > 0 && s < len(r.cuts)
}

// isKept reports a value that is alive at a cut, or not worth an operator.
func (r *recomputation) isKept(value string) bool { return r.kept[value] || r.isSmall(value) }

// isSmall reports a value that is small beside what a cut keeps, or holds indices,
// choices or extents.
func (r *recomputation) isSmall(value string) bool {
	return r.land.size(value) < r.small || !r.Values.Of(value).DType.IsFloat()
}

// backward lets what is not of the forward pass read copies of segment s, which wait
// for the gradient behind it.
func (r *recomputation) backward(nodes []*ir.Node, s int) {
	waited := append([]string{r.adjoint(r.cuts[s].newest)}, r.sumsBehind(s)...)
	c := newCopier(r.Builder, r.producer)
	c.gated = func(v string) bool { return r.kept[v] && !r.isSmall(v) }
	c.keeps = r.isKept
	c.after = func(n *ir.Node) []string {
		if at, in := r.inside(made(n)); in && at == s {
			return waited
		}
		return nil
	}
	before := r.ancestors(waited...) // would wait for themselves
	for _, n := range nodes {
		if r.forward[n] || before[n] {
			continue
		}
		reread(n, func(v string) string {
			if at, in := r.inside(v); in && at == s {
				return c.again(v)
			}
			return v
		})
	}
	r.learn()
}

// sumsBehind are the sums of parameters that are used between cut s and the next one
// and no longer, where sums wait for nothing. Left to itself the runtime may go on with
// the backward pass and keep what all sums are made of.
func (r *recomputation) sumsBehind(s int) (out []string) {
	if r.early != nil || r.spec.Pass != Weighted {
		return nil
	}
	names := slices.Collect(maps.Values(r.out.Sums))
	for _, rows := range r.out.Rows {
		names = append(names, rows.Values)
	}
	slices.Sort(names)
	for _, name := range names {
		sum := r.producer[name].Input(0)
		of := r.ancestors(sum)
		needs := func(k int) bool { return of[r.producer[r.adjoint(r.cuts[k].newest)]] }
		behind := s + 1
		if behind < len(r.cuts) && needs(behind) && !needs(s) || behind == len(r.cuts) && !needs(s) {
			out = append(out, sum)
		}
	}
	return out
}

// sums lets what waits for the factors read copies of what does not.
func (r *recomputation) sums(nodes []*ir.Node) {
	gradients := map[string]bool{}
	for v := range r.kept {
		gradients[r.adjoint(v)] = true
	}
	factor := []string{r.producer[r.out.Factor].Input(0)}
	c := newCopier(r.Builder, r.producer)
	c.gated = func(v string) bool { return (r.kept[v] || gradients[v]) && !r.isSmall(v) }
	c.keeps = func(v string) bool { return r.isKept(v) || gradients[v] }
	c.after = func(n *ir.Node) []string {
		_, in := r.inside(made(n))
		if !r.early[n] || r.forward[n] && !in {
			return nil
		}
		return factor
	}
	for _, n := range nodes {
		if !r.early[n] {
			reread(n, c.again)
		}
	}
	r.learn()
}

// learn adds copies to what the graph consists of.
func (r *recomputation) learn() {
	for _, n := range r.Pending(again) {
		for _, o := range n.Outputs {
			r.producer[o] = n
		}
	}
}

// made is a value that the node makes.
func made(n *ir.Node) string {
	return n.Outputs[slices.IndexFunc(n.Outputs, func(o string) bool { return o != "" })]
}

// reread lets a node read other values.
func reread(n *ir.Node, instead func(string) string) {
	to := map[string]string{}
	for _, v := range n.Reads() {
		if w := instead(v); w != v && v != "" {
			to[v] = w
		}
	}
	if len(to) == 0 {
		return
	}
	n.RenameValues(func(v string) string {
		if w, ok := to[v]; ok {
			return w
		}
		return v
	})
}
