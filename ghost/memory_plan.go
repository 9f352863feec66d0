package ghost

import (
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
)

// A memoryPlan imitates how onnxruntime gives values memory (its allocation
// planner, for one stream): a value takes, in this order,
//
//   - the memory of an input that its operator only looks at differently,
//   - that of an input of the same size whose last reader this is, where the
//     operator may write over it,
//   - that of a value of the same symbolic shape that nobody reads any more: what is
//     taken this way stays allocated in between,
//   - new memory.
type memoryPlan struct {
	graph  *ir.Graph
	given  map[string]bool // values that lie in the caller's memory
	kept   map[string]bool // outputs that stay in the runtime's
	loaded bool            // the graph is as the runtime runs it
	shapes *planShapes

	readers map[string][]*ir.Node
	skipped map[*ir.Node]bool // nodes that the runtime takes into their neighbours

	buffers map[string]*buffer // by value
	all     []*buffer
	free    []*buffer // read by nobody, the latest first
	inner   map[int]int64

	peak     int64
	peakNode string
	peakLive []LiveValue
}

// A buffer is a stretch of memory that one value has after the other.
type buffer struct {
	first, op string
	bytes     int64
	shape     string // element size and symbolic shape
	reads     int    // that are still to come of the present values
	from, to  int    // positions of its allocation and of its last use
	kept      bool   // for the caller: the last use is after the run
}

// looks are operators whose result is their input seen differently.
var looks = map[string]bool{"Reshape": true, "Squeeze": true, "Unsqueeze": true, "Flatten": true, "Identity": true, "Dropout": true}

// overwrites are operators that may write their result over an operand.
var overwrites = map[string][]int{
	"Relu": {0}, "Sigmoid": {0}, "Tanh": {0}, "Elu": {0}, "LeakyRelu": {0}, "HardSigmoid": {0}, "Selu": {0}, "Softplus": {0}, "Softsign": {0}, "ThresholdedRelu": {0},
	"Clip": {0}, "Softmax": {0}, "LogSoftmax": {0}, "Trilu": {0}, "ScatterElements": {0},
}

func (m *memoryPlan) run(order []*ir.Node) {
	m.buffers, m.inner = map[string]*buffer{}, map[int]int64{}
	m.index(order)
	for at, n := range order {
		if m.skipped[n] {
			m.pass(n)
			continue
		}
		before := len(m.all)
		for i, o := range n.Outputs {
			if o != "" {
				m.place(n, i, at)
			}
		}
		m.inner[at] = m.branch(n) + m.scratch(n, len(m.all) > before)
		m.release(n, at)
	}
	m.measure(order)
}

// index lists readers, and the nodes that are taken into others.
func (m *memoryPlan) index(order []*ir.Node) {
	m.readers, m.skipped = map[string][]*ir.Node{}, map[*ir.Node]bool{}
	for _, n := range order {
		for _, in := range n.Reads() {
			m.readers[in] = append(m.readers[in], n)
		}
	}
	for _, n := range order {
		m.skipped[n] = !m.loaded && m.folded(n)
	}
}

// folded reports a node without memory of its own: a transposition that the
// products that read it do themselves, or the name of an output, which is written
// by what computes it.
func (m *memoryPlan) folded(n *ir.Node) bool {
	switch {
	case n.Is("Transpose"):
		product := func(r *ir.Node) bool { return r.Is("MatMul") || r.Op == "FusedMatMul" }
		return swapsLast(n) && len(m.readers[n.Output(0)]) > 0 && !slices.ContainsFunc(m.readers[n.Output(0)], func(r *ir.Node) bool { return !product(r) })
	case n.Is("Identity"):
		return true
	}
	return false
}

// swapsLast reports a transposition of nothing but the last two axes.
func swapsLast(n *ir.Node) bool {
	perm, ok := n.Ints("perm")
	last := len(perm) - 1
	if !ok || last < 1 {
		return false
	}
	for i, a := range perm[:last-1] {
		if int(a) != i {
			return false
		}
	}
	return perm[last] == int64(last-1) && perm[last-1] == int64(last)
}

// pass lets a skipped node's result be its input.
func (m *memoryPlan) pass(n *ir.Node) {
	in, out := n.Input(0), n.Output(0)
	b := m.buffers[in]
	if b == nil {
		m.given[out] = m.given[out] || m.given[in]
		return
	}
	b.reads += len(m.readers[out]) - 1
	m.buffers[out] = b
	b.kept = b.kept || m.kept[out]
}

// keeps reports a value that stays in memory after the run, by an output's name.
func (m *memoryPlan) keeps(value string) bool {
	return m.kept[value] || !m.loaded && slices.ContainsFunc(m.readers[value], func(r *ir.Node) bool { return r.Is("Identity") && m.kept[r.Output(0)] })
}

// outputName reports a value that an Identity makes the caller's.
func (m *memoryPlan) outputName(value string) bool {
	return !m.loaded && slices.ContainsFunc(m.readers[value], func(r *ir.Node) bool { return r.Is("Identity") && m.given[r.Output(0)] })
}

// place finds memory for output i of n.
func (m *memoryPlan) place(n *ir.Node, i, at int) {
	o := n.Outputs[i]
	if m.given[o] || m.outputName(o) && !looks[n.Op] {
		m.given[o] = true
		if m.keeps(o) {
			m.all = append(m.all, &buffer{first: o, op: n.Op, bytes: poolBytes(m.shapes.bytes(o)), from: at, kept: true})
		}
		return
	}
	bytes := m.shapes.bytes(o)
	reads := len(m.readers[o])
	if i == 0 && n.Domain == "" && looks[n.Op] {
		b := m.buffers[n.Input(0)]
		if b == nil { // the caller's, or from outside of a branch
			m.given[o] = true
			return
		}
		b.reads += reads
		m.buffers[o] = b
		return
	}
	shape := m.shapeOf(o)
	if i == 0 && n.Domain == "" {
		for _, k := range overwrites[n.Op] {
			b := m.buffers[n.Input(k)]
			if b != nil && b.reads == 1 && shape != "" && m.shapeOf(n.Input(k)) == shape {
				b.reads += reads
				m.buffers[o] = b
				return
			}
		}
	}
	for k, b := range m.free {
		if shape != "" && b.shape == shape {
			m.free = slices.Delete(m.free, k, k+1)
			b.reads = reads
			m.buffers[o] = b
			return
		}
	}
	b := &buffer{first: o, op: n.Op, bytes: poolBytes(bytes), shape: shape, reads: reads, from: at, to: at}
	m.buffers[o] = b
	m.all = append(m.all, b)
}

// shapeOf names element size and shape, "" where the runtime does not know them or
// the value has one element.
func (m *memoryPlan) shapeOf(value string) string {
	info := m.shapes.symbolic.Of(value)
	if !info.Ranked || len(info.Shape) == 0 {
		return ""
	}
	for _, d := range info.Shape {
		if infer.Unknown(d) {
			return ""
		}
	}
	return fmt.Sprint(elementSize(info.DType), info.Shape)
}

// release counts n's reads and frees what nobody reads any more.
func (m *memoryPlan) release(n *ir.Node, at int) {
	for _, in := range n.Reads() {
		if b := m.buffers[in]; b != nil {
			b.reads--
			b.to = at
			if b.reads == 0 {
				m.free = slices.Insert(m.free, 0, b)
			}
		}
	}
	for _, o := range n.Outputs {
		if b := m.buffers[o]; b != nil && len(m.readers[o]) == 0 {
			b.to = max(b.to, at)
			if b.reads == 0 && !slices.Contains(m.free, b) {
				m.free = slices.Insert(m.free, 0, b)
			}
		}
	}
}

// branch is what an If takes for the values inside of it. Of the branches of a sum
// the first is the usual one; of another's it can't be known, and the larger counts.
func (m *memoryPlan) branch(n *ir.Node) (most int64) {
	for _, attr := range []string{"then_branch", "else_branch"} {
		body, err := m.graph.Branch(n, attr)
		if err != nil {
			continue
		}
		if m.shapes.learn(body.Inits, body.Nodes) != nil {
			return most
		}
		inside := &memoryPlan{loaded: m.loaded, graph: m.graph, shapes: m.shapes, given: map[string]bool{}}
		for _, o := range body.Outputs {
			inside.given[o] = true
		}
		order := body.Nodes
		if !m.loaded {
			order = executionOrder(order)
		}
		inside.run(order)
		most = max(most, inside.peak)
		if n.Is("If") && attr == "then_branch" {
			return most
		}
	}
	return most
}

// measure adds up what is allocated at each position.
func (m *memoryPlan) measure(order []*ir.Node) {
	change := make([]int64, len(order)+1)
	for _, b := range m.all {
		if b.kept {
			b.to = len(order) - 1
		}
		change[b.from] += b.bytes
		change[b.to+1] -= b.bytes
	}
	live, top := int64(0), 0
	for at := range order {
		live += change[at]
		if now := live + m.inner[at]; now > m.peak {
			m.peak, top = now, at
		}
	}
	if len(order) == 0 {
		return
	}
	m.peakNode = order[top].Name
	for _, b := range m.all {
		if b.from <= top && top <= b.to && b.bytes > 0 {
			m.peakLive = append(m.peakLive, LiveValue{b.first, b.op, b.bytes})
		}
	}
	if in := m.inner[top]; in > 0 {
		m.peakLive = append(m.peakLive, LiveValue{order[top].Name, order[top].Op, in})
	}
}

// poolBytes is what a value takes of the runtime's pool (runtime/ort/pool.c): a
// header, then whole pages; a small one lies elsewhere and counts as it is.
func poolBytes(n int64) int64 {
	const small, header, page = 16 << 10, 64, 4 << 10
	if n < small {
		return n
	}
	return (n + header + page - 1) / page * page
}
