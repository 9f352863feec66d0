package ghost

import (
	"math"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// A piece is something that the first pass makes of the logits, one row [·,width] for
// each record. The pieces of a chunk are joined into one value: so the runtime, which
// computes a value when something needs it, is done with a chunk's logits before it
// begins with the next.
type piece struct {
	name  string
	width sym.Dim
	emit  func(*headChunk) string // [b, …] of width elements
}

// A headChunk is a part of the logits in work.
type headChunk struct {
	*head
	batch  sym.Dim
	x      string // [b,T,d]
	index  string // [b,T,1]
	rows   string // [b,T,1]
	ids    map[string]string
	words  onnxgrad.WordRange
	weight string

	logits, probabilities string              // [b,T,V]
	at                    string              // gradient at α·X·W [b,T,n], without rows
	vectors               map[string][]placed // by vector
	side, gram            string              // memos
}

// A placed gradient is the one where a vector is added, or subtracted.
type placed struct {
	g     string // [b,T,n]
	minus bool
}

// firstPass emits the loss and, unless only that is wanted, everything that the
// backward pass and the norms need of the logits. weight is that of each record [B],
// "" without.
func (h *head) firstPass(weight string) map[string]string {
	h.Enter("head")
	h.Name("head")
	h.x = h.RowsByRecord(h.linear.Input, h.model.Proof.Of(h.linear.Input))
	h.index, h.rows = h.labels.Index, h.labels.Weight
	if weight != "" {
		h.rows = h.Mul(h.rows, h.Op("Unsqueeze", nil, weight, h.Ints(1, 2)))
	}
	h.rows = h.Scale(h.rows, h.spec.scale())
	var values map[string]string
	if h.chunks.Records > 0 {
		values = h.overRecords()
	} else {
		values = h.overWords()
	}
	h.lse = values["lse"]
	h.labels.Score(h.Builder, values["logp"])
	return values
}

// pieces lists what is made of a chunk's gradient.
func (h *head) pieces() []piece {
	if h.spec.Pass == Losses {
		return nil
	}
	var out []piece
	if h.inputs {
		out = append(out, piece{"input", sym.Mul(h.length, sym.Const(h.linear.Width)), (*headChunk).inputGradient})
	}
	if h.weight != "" && h.spec.Pass != Weighted {
		out = append(out, piece{"square", sym.Const(1), (*headChunk).square})
		for _, name := range h.lookUpNames() {
			t := h.Shape(h.idsOf(name))[1]
			out = append(out, piece{"at " + name, sym.Mul(h.length, t), func(c *headChunk) string { return c.atWords(name) }})
		}
	}
	for _, v := range h.linear.Vectors() {
		if h.biases[v] != "" {
			out = append(out, piece{"vector " + v, sym.Const(h.linear.Words), func(c *headChunk) string { return c.vectorGradient(v) }})
		}
	}
	return out
}

// direct chooses the form of the weight's norm, as normer.outers does.
func (h *head) direct() bool {
	n := &normer{Builder: h.Builder, length: max(h.spec.Length, 1)}
	t, r, c := float64(n.planned(h.x)), float64(h.linear.Words), float64(h.linear.Width)
	return r*c*(t+traffic) < t*t*(r+c+2*traffic)
}

func (h *head) lookUpNames() []string {
	var out []string
	for name := range h.lookUps {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// idsOf are the words that a look-up reads, [B,T] or [1,T].
func (h *head) idsOf(lookUp string) string {
	ids, ok := h.ids[lookUp]
	if !ok {
		ids = h.collected.lookUpIDs(h.Builder, h.lookUps[lookUp])
		h.ids[lookUp] = ids
	}
	return ids
}

// overRecords makes the pass chunk by chunk of records.
func (h *head) overRecords() map[string]string {
	n := h.chunks.Records
	sizes, below := make([]sym.Dim, n), sym.Const(0)
	for r := range sizes { // ⌊(r+1)·B/n⌋ − ⌊r·B/n⌋, which add up to B
		next := sym.FloorDiv(sym.Mul(h.batch, sym.Const(int64(r+1))), sym.Const(n))
		sizes[r], below = sym.Sub(next, below), next
	}
	x, index, rows := h.SplitAt(h.x, 0, sizes), h.SplitAt(h.index, 0, sizes), h.SplitAt(h.rows, 0, sizes)
	ids := map[string][]string{}
	for _, name := range h.lookUpNames() {
		all := h.idsOf(name)
		if ids[name] = slices.Repeat([]string{all}, int(n)); !h.Shape(all)[0].Is(1) || h.batch.Is(1) {
			ids[name] = h.SplitAt(all, 0, sizes)
		}
	}
	pieces := append(h.pieces(), piece{"scores", sym.Mul(h.length, sym.Const(2)), (*headChunk).scores})
	packs := make([]string, n)
	for r := range packs {
		c := &headChunk{head: h, batch: sizes[r], x: x[r], index: index[r], rows: rows[r], words: h.linear.AllWords(), weight: h.linear.Weight, ids: map[string]string{}}
		for name := range ids {
			c.ids[name] = ids[name][r]
		}
		c.softmax()
		packs[r] = c.pack(pieces)
	}
	pack := packs[0]
	if n > 1 {
		pack = h.Op("Concat", ir.Attrs{"axis": int64(0)}, packs...)
		h.state(pack, []sym.Dim{h.batch, h.Shape(packs[0])[1]})
	}
	values := h.unpack(pack, pieces)
	scores := h.Reshape(values["scores"], []sym.Dim{h.batch, h.length, sym.Const(2)})
	both := h.SplitAt(scores, 2, []sym.Dim{sym.Const(1), sym.Const(1)})
	values["logp"], values["lse"] = both[0], both[1]
	return values
}

// state gives a value a shape that inference can't see.
func (h *head) state(value string, shape []sym.Dim) {
	info := h.Values.Of(value)
	info.Ranked, info.Shape = true, shape
	h.Values.Set(value, info)
}

// pack emits a chunk's pieces as one value [b, Σ widths]. What is last is computed
// first.
func (c *headChunk) pack(pieces []piece) string {
	parts := make([]string, len(pieces))
	for i, p := range pieces {
		parts[i] = c.ReshapeAll(p.emit(c), []sym.Dim{c.batch, p.width})
	}
	if len(parts) == 1 {
		return parts[0]
	}
	pack := c.Op("Concat", ir.Attrs{"axis": int64(1)}, parts...)
	c.state(pack, []sym.Dim{c.batch, sumOf(pieces)})
	return pack
}

func sumOf(pieces []piece) sym.Dim {
	total := sym.Const(0)
	for _, p := range pieces {
		total = sym.Add(total, p.width)
	}
	return total
}

// unpack takes the pieces of all records apart.
func (h *head) unpack(pack string, pieces []piece) map[string]string {
	widths := make([]sym.Dim, len(pieces))
	for i, p := range pieces {
		widths[i] = p.width
	}
	out := map[string]string{}
	for i, part := range h.SplitAt(pack, 1, widths) {
		out[pieces[i].name] = part
	}
	return out
}

// softmax emits logits, their softmax and the gradient of the scores by them,
//
//	∂(−ln p[label])/∂z = p − onehot(label),
//
// which the rows' weights make that of the loss.
func (c *headChunk) softmax() {
	z := c.linear.Logits(c.Builder, c.x, c.weight, c.words)
	c.logits, c.probabilities = z.Value, c.Op("Softmax", ir.Attrs{"axis": int64(-1)}, z.Value)
	if c.spec.Pass != Losses {
		c.gradient(z, c.probabilities)
	}
}

// gradient takes p to the gradient at α·X·W.
func (c *headChunk) gradient(z *onnxgrad.Logits, p string) {
	c.vectors = map[string][]placed{}
	g := c.words.MinusOne(c.Builder, c.linear, p, c.index)
	c.at = z.Back(c.Builder, g, func(vector, g string, minus bool) {
		c.vectors[vector] = append(c.vectors[vector], placed{g, minus})
	})
}

// scores are ln p[label] and the log-sum-exp of each row, [b,T,2]. The softmax gives
// the first as it is,
//
//	lse = z[label] − ln p[label],
//
// unless p[label] underflows: then both come from the logits, for that row alone, so
// that no row's numbers depend on another's.
func (c *headChunk) scores() string {
	p := c.words.At(c.Builder, c.linear, c.probabilities, c.index)
	z := c.words.At(c.Builder, c.linear, c.logits, c.index)
	usual := c.Op("GreaterOrEqual", nil, p, c.Scalar(smallest))
	direct := func() (logp, lse string) {
		logp = c.Op("Log", nil, p)
		return logp, c.Sub(z, logp)
	}
	join := func(logp, lse string) string { return c.Op("Concat", ir.Attrs{"axis": int64(2)}, logp, lse) }
	all := c.Op("Equal", nil, c.ReduceSum(c.Cast(c.Op("Not", nil, usual), ir.Float32), false, 0, 1, 2), c.Scalar(0))
	return c.If(all, func() string { return join(direct()) }, func() string {
		m, s := c.maximumAndSum(c.logits)
		lse := c.Add(m, c.Op("Log", nil, s))
		logp, near := direct()
		return join(c.Where(usual, logp, c.Sub(z, lse)), c.Where(usual, near, lse))
	})
}

// smallest is the probability from which its logarithm is taken for what it is: far
// enough from the numbers that a processor takes for zero.
const smallest = 1e-30

// maximumAndSum are m = max z and Σ exp(z − m) of each row, [b,T,1]. A row of nothing
// but −∞ has the sum 0.
func (c *headChunk) maximumAndSum(z string) (m, s string) {
	m = c.Op("Max", nil, c.Op("ReduceMax", ir.Attrs{"keepdims": int64(1)}, z, c.Ints(-1)), c.Scalar(-math.MaxFloat32))
	return m, c.Op("ReduceSum", ir.Attrs{"keepdims": int64(1)}, c.Op("Exp", nil, c.Sub(z, m)), c.Ints(-1))
}

// inputGradient is the gradient of the head's input, [b,T,d].
func (c *headChunk) inputGradient() string {
	return c.Mul(c.linear.InputGradient(c.Builder, c.at, c.weight), c.rows)
}

// weighted is X with each row's weight, [b,T,d]: the other side of the gradient.
func (c *headChunk) weighted() string {
	if c.side == "" {
		c.side = c.Mul(c.x, c.Scale(c.rows, c.linear.Scale))
	}
	return c.side
}

// square is the squared norm of the matrix's gradient, [b], by one of
//
//	Gram     Σ (X Xᵀ ∘ G Gᵀ)
//	direct   ‖XᵀG‖²
//
// Both are sums over words, so that those of chunks of words add up.
func (c *headChunk) square() string {
	x := c.weighted()
	if c.direct() {
		return c.ReduceSumSquare(c.MatMul(c.SwapLast(x), c.at), false, 1, 2)
	}
	if c.gram == "" {
		c.gram = c.MatMul(x, c.SwapLast(x))
	}
	return c.ReduceSum(c.Mul(c.gram, c.MatMul(c.at, c.SwapLast(c.at))), false, 1, 2)
}

// atWords reads the gradient of the logits at the words of a look-up, [b,T,S] of
// words [b,S] or [1,S].
func (c *headChunk) atWords(name string) string {
	ids := c.ids[name]
	shape := []sym.Dim{c.batch, c.length, c.Shape(ids)[1]}
	wide := c.Op("Expand", nil, c.Unsqueeze(ids, 1), c.Extents(shape))
	c.state(wide, shape)
	return c.Mul(c.words.At(c.Builder, c.linear, c.at, wide), c.Scale(c.rows, c.linear.Scale))
}

// vectorGradient is the gradient of a vector over the vocabulary, [b,V], 0 outside of
// the chunk's words.
func (c *headChunk) vectorGradient(vector string) string {
	var parts []string
	for _, a := range c.vectors[vector] {
		g := c.MatMul(c.SwapLast(c.rows), a.g)
		if a.minus {
			g = c.Op("Neg", nil, g)
		}
		parts = append(parts, g)
	}
	g := c.Sum(parts)
	if c.words == c.linear.AllWords() {
		return g
	}
	return c.Op("Pad", nil, g, c.Ints(0, 0, c.words.From, 0, 0, c.linear.Words-c.words.To), c.Scalar(0))
}

// overWords makes the pass over all records and chunks of words, once for the
// log-sum-exp
//
//	m = max_k m_k,   lse = m + ln Σ_k s_k·exp(m_k − m)
//
// of the chunks' maxima m_k and sums s_k, and once for the gradient.
func (h *head) overWords() map[string]string {
	ranges := h.ranges()
	places := h.Op("Gather", nil, h.Op("Range", nil, h.Int(0), h.Int(h.linear.Words), h.Int(1)), h.index)
	h.index = h.Cast(places, ir.Int64) // a word outside of the vocabulary is an error here
	triples := make([]string, len(ranges))
	for k, r := range ranges {
		c := h.wordChunk(r, false)
		z := c.linear.Logits(c.Builder, c.x, c.weight, r).Value
		m, s := c.maximumAndSum(z)
		triples[k] = c.Op("Concat", ir.Attrs{"axis": int64(2)}, m, s, r.At(c.Builder, c.linear, z, c.index))
	}
	n := sym.Const(int64(len(ranges)))
	joined := triples[0]
	if len(triples) > 1 {
		joined = h.Op("Concat", ir.Attrs{"axis": int64(2)}, triples...)
	}
	joined = h.Reshape(joined, []sym.Dim{h.batch, h.length, n, sym.Const(3)})
	parts := h.SplitAt(joined, 3, []sym.Dim{sym.Const(1), sym.Const(1), sym.Const(1)})
	m := h.Op("ReduceMax", ir.Attrs{"keepdims": int64(1)}, parts[0], h.Ints(2))
	s := h.ReduceSum(h.Mul(parts[1], h.Op("Exp", nil, h.Sub(parts[0], m))), true, 2)
	rows := []sym.Dim{h.batch, h.length, sym.Const(1)}
	lse := h.Reshape(h.Add(m, h.Op("Log", nil, s)), rows)
	logp := h.Sub(h.Reshape(h.ReduceSum(parts[2], true, 2), rows), lse)
	values := h.gradientOverWords(ranges, lse)
	values["lse"], values["logp"] = lse, logp
	return values
}

// gradientOverWords makes the pieces of each chunk of words and adds them up.
func (h *head) gradientOverWords(ranges []onnxgrad.WordRange, lse string) map[string]string {
	pieces := h.pieces()
	if len(pieces) == 0 {
		return map[string]string{}
	}
	packs := make([]string, len(ranges))
	gram := ""
	for k, r := range ranges {
		c := h.wordChunk(r, true)
		c.gram = gram
		z := c.linear.Logits(c.Builder, c.x, c.weight, r)
		c.gradient(z, c.Op("Exp", nil, c.Sub(z.Value, lse)))
		packs[k], gram = c.pack(pieces), c.gram
	}
	// The sums stand behind all chunks in the file: so the runtime, which takes what
	// stands last first, adds one chunk before it makes the next.
	h.Enter("head/sum")
	total := packs[0]
	for _, p := range packs[1:] {
		total = h.Add(total, p)
	}
	return h.unpack(total, pieces)
}

// wordChunk is the chunk of all records and these words.
func (h *head) wordChunk(r onnxgrad.WordRange, again bool) *headChunk {
	c := &headChunk{head: h, batch: h.batch, x: h.x, index: h.index, rows: h.rows, words: r, weight: h.linear.WeightOf(h.Builder, r, again), ids: map[string]string{}}
	for _, name := range h.lookUpNames() {
		c.ids[name] = h.idsOf(name)
	}
	return c
}

// ranges divides the vocabulary into equal chunks.
func (h *head) ranges() []onnxgrad.WordRange {
	n := h.chunks.Words
	out := make([]onnxgrad.WordRange, n)
	for k := range out {
		out[k] = onnxgrad.WordRange{From: int64(k) * h.linear.Words / n, To: int64(k+1) * h.linear.Words / n}
	}
	return out
}
