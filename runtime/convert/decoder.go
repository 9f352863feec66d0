package convert

import (
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// A decoder is what the layers of a causal model share: inputs, positions, masks
// and the cache. Without a cache the graph reads input_ids and attention_mask,
// both [B,T], and T is the length. With one it reads T new tokens behind P
// earlier ones: attention_mask is [B,P+T], position_ids [B,T], and
// past_key_values.N.key and .value are [B,kvHeads,P,width]; P may be 0.
type decoder struct {
	b       *Builder
	ids     string
	mask    string
	heads   int64
	kvHeads int64
	width   int64 // of a head
	past    []keyValue
	present []keyValue
	biases  map[int64]string // by window, 0 for none
	// positions are [T] without a cache, position_ids with one.
	positions string
}

type keyValue struct{ key, value string }

func newDecoder(b *Builder, layers, heads, kvHeads, width int64) *decoder {
	d := &decoder{b: b, heads: heads, kvHeads: kvHeads, width: width, biases: map[int64]string{}}
	d.ids = b.Input("input_ids", ir.Int64, Batch, Sequence)
	if !b.Options.Cache {
		d.mask = b.Input("attention_mask", ir.Int64, Batch, Sequence)
		d.positions = b.In("positions").Doc("positions count from 0 in every row, padded or not, as transformers' forward counts without position_ids").
			Op("Range", nil, b.Int(0), b.In("positions").Extent(d.ids, 1), b.Int(1))
		return d
	}
	d.mask = b.Input("attention_mask", ir.Int64, Batch, Past+" + "+Sequence)
	d.positions = b.Input("position_ids", ir.Int64, Batch, Sequence)
	for i := range layers {
		name := fmt.Sprintf("past_key_values.%d.", i)
		d.past = append(d.past, keyValue{
			b.Input(name+"key", ir.Float32, Batch, dim(kvHeads), Past, dim(width)),
			b.Input(name+"value", ir.Float32, Batch, dim(kvHeads), Past, dim(width)),
		})
	}
	return d
}

// bias is what is added to the scores: 0 where token t may look at token s, the
// most negative number elsewhere. It is [B,1,T,S], with one more axis for grouped
// heads; a window > 0 hides what lies that far back.
func (d *decoder) bias(window int64) string {
	if v, ok := d.biases[window]; ok {
		return v
	}
	b := d.b.In("attention_bias")
	first, length := b.Int(0), b.Extent(d.ids, 1)
	end := length
	if len(d.past) > 0 {
		first = b.Extent(d.past[0].key, 2)
		end = b.Add(first, length)
	}
	row := b.Unsqueeze(b.Op("Range", nil, first, end, b.Int(1)), 1)
	column := b.Unsqueeze(b.Op("Range", nil, b.Int(0), end, b.Int(1)), 0)
	allowed := b.Doc("token t sees tokens up to itself").Op("LessOrEqual", nil, column, row)
	if window > 0 {
		near := b.Doc(fmt.Sprintf("and, in a window of %d, no further back", window)).Op("Greater", nil, column, b.Sub(row, b.Int(window)))
		allowed = b.Op("And", nil, allowed, near)
	}
	attended := b.Unsqueeze(b.Cast(d.mask, ir.Bool), 1, 2)
	allowed = b.Doc("and no padding").Op("And", nil, allowed, attended)
	v := b.Op("Where", nil, allowed, b.Float(0), b.Float(smallest))
	if d.kvHeads != d.heads {
		v = b.Unsqueeze(v, 1)
	}
	d.biases[window] = v
	return v
}

// split makes heads of a projection: [B,T,n·width] → [B,n,T,width].
func (d *decoder) split(b *Builder, x string, n int64) string {
	return b.Transpose(b.Reshape(x, 0, 0, n, d.width), 0, 2, 1, 3)
}

// attend is attention of queries [B,heads,T,width] to keys and values
// [B,kvHeads,T,width] of a layer, behind the cache where there is one:
// [B,T,heads·width].
func (d *decoder) attend(b *Builder, q, k, v string, scale float64, window int64) string {
	if len(d.past) > 0 {
		p := d.past[len(d.present)]
		k, v = b.Concat(2, p.key, k), b.Concat(2, p.value, v)
		d.present = append(d.present, keyValue{k, v})
	}
	q = b.Mul(q, b.Float(scale))
	grouped := d.kvHeads != d.heads
	last := []int64{0, 1, 3, 2}
	if grouped { // the heads of a group read one key: broadcast, not copied
		q = b.Reshape(q, 0, d.kvHeads, d.heads/d.kvHeads, -1, d.width)
		k, v = b.Unsqueeze(k, 2), b.Unsqueeze(v, 2)
		last = []int64{0, 1, 2, 4, 3}
	}
	scores := b.Add(b.MatMul(q, b.Transpose(k, last...)), d.bias(window))
	y := b.MatMul(b.Softmax(scores), v)
	if grouped {
		y = b.Reshape(y, 0, d.heads, -1, d.width)
	}
	return b.Reshape(b.Transpose(y, 0, 2, 1, 3), 0, 0, d.heads*d.width)
}

// outputs declares the cache behind the new tokens.
func (d *decoder) outputs() {
	for i, p := range d.present {
		dims := []string{Batch, dim(d.kvHeads), Past + " + " + Sequence, dim(d.width)}
		d.b.Output(fmt.Sprintf("present.%d.key", i), p.key, ir.Float32, dims...)
		d.b.Output(fmt.Sprintf("present.%d.value", i), p.value, ir.Float32, dims...)
	}
}

// finish writes the head on hidden states [B,T,width]. table is the parameter of
// the token embedding, to which a language model's head may be tied.
func (d *decoder) finish(h string, width int64, table string, tied bool, std float64) error {
	b, vocabulary := d.b, d.b.Config.Size(0, "vocab_size")
	switch b.Options.Head {
	case HeadNone:
		b.Output("last_hidden_state", h, ir.Float32, Batch, Sequence, dim(width))
	case HeadLM:
		logits := b.languageHead(h, width, vocabulary, table, tied, std)
		b.Output("logits", logits, ir.Float32, Batch, Sequence, dim(vocabulary))
	case HeadClassify:
		logits := d.classes(h, width, std)
		b.Output("logits", logits, ir.Float32, Batch, dim(b.Options.Labels))
	}
	d.outputs()
	return nil
}

// languageHead is h·Wᵀ with W the token embedding or lm_head's own. A bias is
// added where the checkpoint holds one (transformers' classes here have none).
func (b *Builder) languageHead(h string, width, vocabulary int64, table string, tied bool, std float64) string {
	head := b.In("lm_head")
	head.head = true
	defer func() { head.head = false }()
	w := ""
	if tied {
		if err := b.tie("lm_head.weight", table); err != nil {
			b.err = err
		}
		w = head.Transpose(b.float32(table), 1, 0)
	} else {
		w = head.Parameter(Parameter{Name: "weight", Shape: []int64{vocabulary, width}, Transposed: true, Init: normal(std)})
	}
	bias := b.source.has("lm_head.bias")
	if bias {
		b.Note("the checkpoint's lm_head.bias is added to the logits; transformers' class has none and would leave it out")
	}
	return head.biased(head.MatMul(h, w), vocabulary, bias)
}

// tiedHead reports whether the language head is the token embedding. Where the
// config does not say, def is what transformers' class has, unless the checkpoint
// lacks a head of its own.
func (b *Builder) tiedHead(def bool) bool {
	c := b.Config
	if b.Options.Head == HeadLM && !def && !c.Has("tie_word_embeddings") && b.source.weights != nil && !b.source.has("lm_head.weight") {
		b.Note("the checkpoint holds no lm_head.weight and config.json does not say whether it is tied: the token embedding is taken")
		return true
	}
	return c.Bool(def, "tie_word_embeddings")
}

// tie notes that the class has a second name for a parameter.
func (b *Builder) tie(alias, parameter string) error {
	b.record.Tied[alias] = parameter
	return b.source.tied(alias, parameter)
}

// classes are the logits at each row's last token: the last id that is not
// pad_token_id, as transformers' …ForSequenceClassification takes it; without a
// pad_token_id, where transformers takes single rows only, the last token that
// attention_mask holds.
func (d *decoder) classes(h string, width int64, std float64) string {
	b := d.b.In("pooler")
	real := d.mask
	if pad := b.Config.ID("pad_token_id"); b.Config.Has("pad_token_id") {
		real = b.Cast(b.Op("Not", nil, b.Op("Equal", nil, d.ids, b.Int(pad))), ir.Int64)
	}
	if !b.Config.Has("pad_token_id") {
		b.Note("config.json has no pad_token_id: a row's class is read at the last token of attention_mask")
	}
	steps := b.Op("Range", nil, b.Int(0), b.Extent(d.ids, 1), b.Int(1))
	last := b.Doc("the row's last token that is no padding, 0 where there is none").
		Op("ReduceMax", ir.Attrs{"axes": []int64{1}, "keepdims": int64(1)}, b.Mul(real, steps))
	pooled := b.Op("GatherND", ir.Attrs{"batch_dims": int64(1)}, h, last)
	score := d.b.In("score")
	score.head = true
	defer func() { score.head = false }()
	return score.Linear(pooled, width, b.Options.Labels, false, std)
}
