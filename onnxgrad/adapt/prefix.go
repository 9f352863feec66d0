package adapt

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/kvcache"
)

// Prefix gives every attention of a decoder keys and values of Length positions in front of
// the text's (Li & Liang 2021, 2101.00190). They are a past that every text has: tokens see
// them, and count their positions from Length on, as a decoder of transformers that is given
// past_key_values does.
//
// While they are trained, with Mid > 0, they are the output of a network over a table
// (§4.3 there):
//
//	prefix = tanh(E·W₁ + b₁)·W₂ + b₂,   E [Length, d],  W₁ [d, Mid],  W₂ [Mid, Σ heads·width]
//
// which is computed for every record apart, from rows of E that the record looks up: so the
// parameters meet activations of a record, and per-example norms are those of any table and
// any product. Columns of the last product are, attention by attention, those of keys and of
// values, and of these head by head: PEFT's order.
type Prefix struct {
	Length int
	Mid    int // 0: the keys and values themselves are trained
	// Source draws initial values, by the name of a parameter.
	Source func(name string) *rand.Rand
}

// A Slot is what a prefix gives to one attention: keys or values.
type Slot struct {
	Name         string // of the cache's input: past_key_values.N.key
	Heads, Width int64
	// From is the first of its columns in the prefix [Length, columns].
	From int64
}

// A Prefixed graph.
type Prefixed struct {
	Graph *ir.Graph
	Slots []Slot
	// Columns is the number of all slots' columns.
	Columns int64
	// Parameters are the initializers that were added, in the order E, W₁, b₁, W₂, b₂.
	Parameters []string
}

// Names of what Prefix adds.
const (
	prefixTable   = "prefix.embedding.weight"
	prefixIn      = "prefix.transform.0.weight"
	prefixInBias  = "prefix.transform.0.bias"
	prefixOut     = "prefix.transform.2.weight"
	prefixOutBias = "prefix.transform.2.bias"
)

// Train returns the graph with a prefix to be trained. g, which is changed, is a decoder
// without a cache, in canonical form; output names its logits. An error wraps
// kvcache.ErrNotUnderstood where attention can't be found.
func (p Prefix) Train(g *ir.Graph, output string) (*Prefixed, error) {
	w, err := p.begin(g, output)
	if err != nil {
		return nil, err
	}
	return w.Prefixed, w.finish(w.table(p))
}

// Bake returns the graph with the given prefix [Length, columns] as constants: initializers
// prefix.N.key [1, heads, Length, width], and .value.
func (p Prefix) Bake(g *ir.Graph, output string, prefix []float32) (*Prefixed, error) {
	w, err := p.begin(g, output)
	if err != nil {
		return nil, err
	}
	if int64(len(prefix)) != int64(p.Length)*w.Columns {
		return nil, fmt.Errorf("a prefix of %d numbers for %d positions of %d columns", len(prefix), p.Length, w.Columns)
	}
	return w.Prefixed, w.finish(w.constants(prefix))
}

// Values computes the prefix [Length, columns] from its parameters, in the order of
// Prefixed.Parameters.
func (p Prefix) Values(columns int64, parameters [][]float32) []float32 {
	e := parameters[0]
	if p.Mid == 0 {
		return slices.Clone(e)
	}
	h := affine(e, parameters[1], parameters[2], int64(p.Length))
	for i, v := range h {
		h[i] = tanh(v)
	}
	return affine(h, parameters[3], parameters[4], int64(p.Length))
}

// a prefixWriter builds the graph with a prefix in front of the cached one's nodes.
type prefixWriter struct {
	*Prefixed
	length int64
	batch  string // its extent, [1]
	added  []*ir.Node
}

// begin gives the graph a cache, whose past becomes the prefix.
func (p Prefix) begin(g *ir.Graph, output string) (*prefixWriter, error) {
	for _, n := range g.Nodes {
		if strings.HasPrefix(n.Output(0), "prefix/") {
			return nil, fmt.Errorf("%w: the model has a prefix already; choose it with --trainable 'prefix.*' instead", ir.ErrUnsupported)
		}
	}
	own := map[string]*ir.ValueInfo{}
	for _, in := range g.Inputs {
		own[in.Name] = in
	}
	cached, err := kvcache.Add(g, output)
	if err != nil {
		return nil, err
	}
	rename(cached)
	w := &prefixWriter{Prefixed: &Prefixed{Graph: cached}, length: int64(p.Length)}
	cached.Outputs = slices.DeleteFunc(cached.Outputs, func(o *ir.ValueInfo) bool { return strings.HasPrefix(o.Name, "present.") })
	var inputs []*ir.ValueInfo
	for _, in := range cached.Inputs {
		if !strings.HasPrefix(in.Name, "past_key_values.") {
			if v := own[in.Name]; v != nil {
				inputs = append(inputs, v)
			}
			continue
		}
		w.Slots = append(w.Slots, Slot{Name: in.Name, Heads: in.Dims[1].Value, Width: in.Dims[3].Value})
	}
	w.order()
	mask, positions := cached.Input("attention_mask"), cached.Input("position_ids")
	cached.Inputs = inputs
	w.common()
	if mask != nil {
		w.mask(mask, own["attention_mask"] != nil)
	}
	if positions != nil {
		w.positions(positions, own["position_ids"] != nil)
	}
	return w, nil
}

// rename gives values that the cache added names of their own: a reader of the result adds a
// cache again.
func rename(g *ir.Graph) {
	name := func(old string) string {
		if rest, ok := strings.CutPrefix(old, "kvcache/"); ok {
			return "prefix/cache/" + rest
		}
		return old
	}
	for _, n := range g.Nodes {
		n.Name = name(n.Name)
		n.RenameValues(name)
	}
	for _, old := range slices.Clone(g.InitOrder) {
		if t := g.Inits[old]; name(old) != old {
			lifted := g.Lifted[old]
			g.RemoveInit(old)
			g.AddInit(t.Renamed(name(old)))
			g.Lifted[name(old)] = lifted
		}
	}
}

// op adds a node.
func (w *prefixWriter) op(what, op string, attrs ir.Attrs, inputs ...string) string {
	name := "prefix/" + what
	if attrs == nil {
		attrs = ir.Attrs{}
	}
	w.added = append(w.added, &ir.Node{Name: name, Op: op, Inputs: inputs, Outputs: []string{name}, Attrs: attrs})
	return name
}

// order sorts slots by attention, keys before values, and gives them their columns.
func (w *prefixWriter) order() {
	number := func(s Slot) int {
		n, _ := strconv.Atoi(strings.Split(s.Name, ".")[1])
		return n
	}
	slices.SortStableFunc(w.Slots, func(a, b Slot) int {
		return cmp.Or(cmp.Compare(number(a), number(b)), strings.Compare(a.Name, b.Name)) // key, value
	})
	for i := range w.Slots {
		w.Slots[i].From = w.Columns
		w.Columns += w.Slots[i].Heads * w.Slots[i].Width
	}
}

// ints adds a constant vector.
func (w *prefixWriter) ints(what string, dims []int64, v ...int64) string {
	t := ir.NewInt64("prefix/"+what, dims, v)
	w.Graph.AddInit(t)
	w.Graph.Lifted[t.Name] = true
	return t.Name
}

// common adds what several parts need.
func (w *prefixWriter) common() {
	one := []int64{1}
	w.batch = w.op("batch", "Shape", ir.Attrs{"start": int64(0), "end": int64(1)}, "input_ids")
	w.ints("zero", one, 0)
	w.ints("one", one, 1)
	w.ints("length", one, w.length)
}

// mask joins ones for the prefix in front of the attention mask.
func (w *prefixWriter) mask(in *ir.ValueInfo, own bool) {
	const whole = "prefix/attention_mask"
	w.Graph.ReplaceUses(in.Name, whole)
	mask := in.Name
	if !own { // the file has none: every token is seen
		tokens := w.op("mask_shape", "Shape", nil, "input_ids")
		mask = w.op("mask_seen", "Cast", ir.Attrs{"to": int64(in.DType)}, w.op("mask_ones", "Expand", nil, "prefix/one", tokens))
	}
	shape := w.op("seen_shape", "Concat", ir.Attrs{"axis": int64(0)}, w.batch, "prefix/length")
	seen := w.op("seen", "Cast", ir.Attrs{"to": int64(in.DType)}, w.op("seen_ones", "Expand", nil, "prefix/one", shape))
	w.op("attention_mask", "Concat", ir.Attrs{"axis": int64(1)}, seen, mask)
}

// positions counts tokens from the prefix's length on.
func (w *prefixWriter) positions(in *ir.ValueInfo, own bool) {
	const shifted = "prefix/position_ids"
	w.Graph.ReplaceUses(in.Name, shifted)
	offset := w.op("offset", "Cast", ir.Attrs{"to": int64(in.DType)}, "prefix/length")
	if own {
		w.op("position_ids", "Add", nil, in.Name, offset)
		return
	}
	scalar := func(what, v string) string { return w.op(what, "Squeeze", nil, v, "prefix/zero") }
	tokens := w.op("tokens", "Shape", ir.Attrs{"start": int64(1), "end": int64(2)}, "input_ids")
	last := w.op("last", "Add", nil, tokens, "prefix/length")
	count := w.op("range", "Range", nil, scalar("first", "prefix/length"), scalar("end", last), scalar("step", "prefix/one"))
	row := w.op("positions_row", "Unsqueeze", nil, count, "prefix/zero")
	w.op("position_ids", "Expand", nil, row, w.op("positions_shape", "Shape", nil, "input_ids"))
}

// finish puts the added nodes in front of the others.
func (w *prefixWriter) finish(err error) error {
	if err != nil {
		return err
	}
	w.Graph.Nodes = append(w.added, w.Graph.Nodes...)
	w.Graph.Prune()
	return w.Graph.Sort()
}

// constants expands every slot's constant over the records.
func (w *prefixWriter) constants(prefix []float32) error {
	for _, s := range w.Slots {
		v := make([]float32, s.Heads*w.length*s.Width)
		for h := range s.Heads {
			for t := range w.length {
				copy(v[(h*w.length+t)*s.Width:], prefix[t*w.Columns+s.From+h*s.Width:][:s.Width])
			}
		}
		name := "prefix." + strings.TrimPrefix(s.Name, "past_key_values.")
		w.Graph.AddInit(ir.NewFloat32(name, []int64{1, s.Heads, w.length, s.Width}, v))
		shape := w.op(s.Name+"/shape", "Concat", ir.Attrs{"axis": int64(0)}, w.batch, w.ints(s.Name+"/dims", []int64{3}, s.Heads, w.length, s.Width))
		w.added = append(w.added, &ir.Node{Name: "prefix/" + s.Name, Op: "Expand", Inputs: []string{name, shape}, Outputs: []string{s.Name}, Attrs: ir.Attrs{}})
	}
	return nil
}

// table adds the parameters, and computes the prefix of every record by itself.
func (w *prefixWriter) table(p Prefix) error {
	width, positions := w.Slots[0].Heads*w.Slots[0].Width, make([]int64, w.length)
	for i := range positions {
		positions[i] = int64(i)
	}
	if p.Mid == 0 {
		width = w.Columns
	}
	first := w.op("first_token", "Slice", nil, "input_ids", "prefix/zero", "prefix/one", "prefix/one")
	none := w.op("none", "Mul", nil, w.op("first_id", "Cast", ir.Attrs{"to": int64(ir.Int64)}, first), "prefix/zero")
	rows := w.op("rows", "Add", nil, none, w.ints("numbers", []int64{1, w.length}, positions...))
	w.parameter(p, prefixTable, 1, w.length, width)
	y := w.op("embedding", "Gather", nil, prefixTable, rows)
	if p.Mid > 0 {
		mid := int64(p.Mid)
		w.parameter(p, prefixIn, 1/root(width), width, mid)
		w.parameter(p, prefixInBias, 1/root(width), mid)
		w.parameter(p, prefixOut, 1/root(mid), mid, w.Columns)
		w.parameter(p, prefixOutBias, 1/root(mid), w.Columns)
		y = w.op("hidden", "Tanh", nil, w.op("hidden_sum", "Add", nil, w.op("hidden_product", "MatMul", nil, y, prefixIn), prefixInBias))
		y = w.op("output", "Add", nil, w.op("output_product", "MatMul", nil, y, prefixOut), prefixOutBias)
	}
	return w.split(y)
}

// split cuts the prefix [B, Length, columns] into slots [B, heads, Length, width].
func (w *prefixWriter) split(y string) error {
	sizes, parts := make([]int64, len(w.Slots)), make([]string, len(w.Slots))
	for i, s := range w.Slots {
		sizes[i], parts[i] = s.Heads*s.Width, "prefix/"+s.Name+"/columns"
	}
	n := &ir.Node{Name: "prefix/split", Op: "Split", Outputs: parts, Attrs: ir.Attrs{"axis": int64(2)}}
	n.Inputs = []string{y, w.ints("sizes", []int64{int64(len(sizes))}, sizes...)}
	w.added = append(w.added, n)
	for i, s := range w.Slots {
		shape := w.op(s.Name+"/shape", "Concat", ir.Attrs{"axis": int64(0)}, w.batch, w.ints(s.Name+"/dims", []int64{3}, w.length, s.Heads, s.Width))
		heads := w.op(s.Name+"/heads", "Reshape", nil, parts[i], shape)
		w.added = append(w.added, &ir.Node{Name: "prefix/" + s.Name, Op: "Transpose", Inputs: []string{heads}, Outputs: []string{s.Name}, Attrs: ir.Attrs{"perm": []int64{0, 2, 1, 3}}})
	}
	return nil
}

// parameter adds an initializer: a table normal with that standard deviation, as torch.nn.Embedding
// is drawn, else uniform within ±bound, as torch.nn.Linear is.
func (w *prefixWriter) parameter(p Prefix, name string, bound float64, dims ...int64) {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	source, v := p.Source(name), make([]float32, n)
	for i := range v {
		if name == prefixTable {
			v[i] = float32(bound * source.NormFloat64())
		} else {
			v[i] = float32(bound * (2*source.Float64() - 1))
		}
	}
	w.Graph.AddInit(ir.NewFloat32(name, dims, v))
	w.Parameters = append(w.Parameters, name)
}
