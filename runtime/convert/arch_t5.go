package convert

import (
	"fmt"
	"math"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// t5 is T5, v1.1 and Flan-T5: an encoder and a decoder that reads it. The graph
// reads input_ids and attention_mask [B,S] and decoder_input_ids [B,T].
var t5 = &Architecture{
	ModelType: "t5",
	Classes:   map[Head]string{HeadLM: "T5ForConditionalGeneration"},
	Buffers:   []string{"decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"},
	Decoder:   true,
	Parts:     []string{t5Encoder, t5Decoder, t5WithPast},
	Build:     buildT5,
}

// The files of a T5 with a cache, as optimum names them.
const (
	t5Encoder  = "encoder_model"
	t5Decoder  = "decoder_model"           // the first tokens: gives the cache
	t5WithPast = "decoder_with_past_model" // the tokens behind: takes it and gives it
)

// The symbols of the two lengths where each has its own.
const (
	encoderSequence = "encoder_sequence_length"
	decoderSequence = "decoder_sequence_length"
)

// A t5Body is what encoder and decoder share.
type t5Body struct {
	*encoder
	hidden, inner, vocabulary int64
	buckets, distance         int64 // of relative positions
	eps, factor               float64
	gated                     bool
	act                       func(b *Builder, x string) string
}

func newT5(b *Builder) (*t5Body, error) {
	c := b.Config
	m := &t5Body{
		hidden: c.Size(512, "d_model", "hidden_size"), inner: c.Size(2048, "d_ff"), vocabulary: c.Size(32128, "vocab_size"),
		buckets: c.Size(32, "relative_attention_num_buckets"), distance: c.Size(128, "relative_attention_max_distance"),
		eps: c.Positive(1e-6, "layer_norm_epsilon"), factor: c.Positive(1, "initializer_factor"),
	}
	heads, width := c.Size(8, "num_heads", "num_attention_heads"), c.Size(64, "d_kv")
	m.act, m.gated = c.t5Activation()
	c.Only("is_encoder_decoder", true, "a model of one half")
	switch {
	case m.buckets < 4:
		c.Fail("relative_attention_num_buckets", "it must be at least 4")
	case m.distance <= m.buckets/2 || m.distance > 1<<16:
		c.Fail("relative_attention_max_distance", "it must lie above half the buckets, %d, and be at most %d", m.buckets/2, 1<<16)
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	m.encoder = &encoder{b: b, heads: heads, width: width}
	return m, nil
}

// t5Activation reads feed_forward_proj: ACT or gated-ACT, where gated-gelu means
// the tanh form.
func (c *Config) t5Activation() (act func(b *Builder, x string) string, gated bool) {
	const field = "feed_forward_proj"
	name, gated := strings.CutPrefix(c.Str("relu", field), "gated-")
	if gated && name == "gelu" {
		name = "gelu_new"
	}
	act, ok := activations[name]
	if !ok {
		c.Fail(field, "not a known activation, or gated- and one; converted are %v", sortedKeys(activations))
		return activations["relu"], gated
	}
	return act, gated
}

// A t5Cache holds keys and values by layer, of the decoder's tokens and of the
// encoder's.
type t5Cache struct {
	own, cross       []keyValue // what earlier tokens left; nil for the first
	newOwn, newCross []keyValue // what these leave
}

func buildT5(b *Builder) error {
	m, err := newT5(b)
	if err != nil {
		return err
	}
	switch b.Options.part {
	case t5Encoder:
		m.ids, m.mask = b.Input("input_ids", ir.Int64, Batch, encoderSequence), b.Input("attention_mask", ir.Int64, Batch, encoderSequence)
		b.Output("last_hidden_state", m.encode(), ir.Float32, Batch, encoderSequence, dim(m.hidden))
		return b.err
	case t5Decoder, t5WithPast:
		return m.cached()
	}
	m.ids, m.mask = b.Input("input_ids", ir.Int64, Batch, Sequence), b.Input("attention_mask", ir.Int64, Batch, Sequence)
	targets := b.Input("decoder_input_ids", ir.Int64, Batch, decoderSequence)
	states := m.encode()
	logits := m.head(m.decode(targets, states, b.In("encoder").maskBias(m.mask), &t5Cache{}))
	b.Output("logits", logits, ir.Float32, Batch, decoderSequence, dim(m.vocabulary))
	return b.err
}

// cached writes a decoder in a file of its own, with the inputs and outputs of
// optimum's.
func (m *t5Body) cached() error {
	b, past := m.b, m.b.Options.part == t5WithPast
	mask := b.Input("encoder_attention_mask", ir.Int64, Batch, encoderSequence)
	ids := b.Input("input_ids", ir.Int64, Batch, decoderSequence)
	c, states, total := &t5Cache{}, "", decoderSequence
	if past {
		total = Past + " + " + decoderSequence
		for i := range m.layers() {
			pair := func(of, length string) keyValue {
				name := fmt.Sprintf("past_key_values.%d.%s.", i, of)
				dims := []string{Batch, dim(m.heads), length, dim(m.width)}
				return keyValue{b.Input(name+"key", ir.Float32, dims...), b.Input(name+"value", ir.Float32, dims...)}
			}
			c.own, c.cross = append(c.own, pair("decoder", Past)), append(c.cross, pair("encoder", encoderSequence))
		}
	} else {
		states = b.Input("encoder_hidden_states", ir.Float32, Batch, encoderSequence, dim(m.hidden))
	}
	logits := m.head(m.decode(ids, states, b.In("encoder").maskBias(mask), c))
	b.Output("logits", logits, ir.Float32, Batch, decoderSequence, dim(m.vocabulary))
	for i, p := range c.newOwn {
		m.present(i, "decoder", p, total)
		if !past { // the encoder's do not change
			m.present(i, "encoder", c.newCross[i], encoderSequence)
		}
	}
	return b.err
}

// present declares a layer's keys and values as outputs.
func (m *t5Body) present(layer int, of string, p keyValue, length string) {
	name, dims := fmt.Sprintf("present.%d.%s.", layer, of), []string{Batch, dim(m.heads), length, dim(m.width)}
	m.b.Output(name+"key", p.key, ir.Float32, dims...)
	m.b.Output(name+"value", p.value, ir.Float32, dims...)
}

// layers of the decoder.
func (m *t5Body) layers() int64 {
	return m.b.Config.Layers(6, "num_decoder_layers", "num_layers", "num_hidden_layers")
}

// embed looks ids up in the table that both halves share.
func (m *t5Body) embed(ids string, half string) string {
	y := m.b.In("shared").Embedding(ids, m.vocabulary, m.hidden, normal(m.factor))
	if err := m.b.tie(half+".embed_tokens.weight", "shared.weight"); err != nil {
		m.b.err = err
	}
	return y
}

func (m *t5Body) std(fanIn int64) float64 { return m.factor / math.Sqrt(float64(fanIn)) }

// encode runs the encoder: [B,S,d].
func (m *t5Body) encode() string {
	e := m.b.In("encoder")
	h := m.embed(m.ids, "encoder")
	first := e.In("block.0", "layer.0", "SelfAttention")
	steps := e.counted(m.ids)
	bias := first.Add(m.relative(first, steps, steps, true), e.maskBias(m.mask))
	for i := range m.b.Config.Layers(6, "num_layers", "num_hidden_layers") {
		l := e.In(fmt.Sprintf("block.%d", i))
		x := l.In("layer.0", "layer_norm").RMSNorm(h, m.hidden, m.eps, 0)
		a := l.In("layer.0", "SelfAttention")
		y := m.attention(a, m.project(a, "q", x), m.project(a, "k", x), m.project(a, "v", x), 1, bias)
		h = l.In("layer.0").Add(h, m.out(a, y))
		h = m.feedForward(l.In("layer.1"), h)
	}
	return e.In("final_layer_norm").RMSNorm(h, m.hidden, m.eps, 0)
}

// decode runs the decoder on ids [B,T] and the encoder's states [B,S,d], with
// crossBias on the scores between the two: [B,T,d].
func (m *t5Body) decode(ids, states, crossBias string, c *t5Cache) string {
	d := m.b.In("decoder")
	h := m.embed(ids, "decoder")
	bias := m.causal(d, ids, c)
	for i := range m.layers() {
		l := d.In(fmt.Sprintf("block.%d", i))
		a := l.In("layer.0", "SelfAttention")
		x := l.In("layer.0", "layer_norm").RMSNorm(h, m.hidden, m.eps, 0)
		own := keyValue{m.project(a, "k", x), m.project(a, "v", x)}
		if c.own != nil {
			own = keyValue{a.Concat(2, c.own[i].key, own.key), a.Concat(2, c.own[i].value, own.value)}
		}
		c.newOwn = append(c.newOwn, own)
		h = l.In("layer.0").Add(h, m.out(a, m.attention(a, m.project(a, "q", x), own.key, own.value, 1, bias)))

		a = l.In("layer.1", "EncDecAttention")
		x = l.In("layer.1", "layer_norm").RMSNorm(h, m.hidden, m.eps, 0)
		q := m.project(a, "q", x)
		var cross keyValue
		if c.cross != nil {
			cross = c.cross[i]
		} else {
			cross = keyValue{m.project(a, "k", states), m.project(a, "v", states)}
		}
		c.newCross = append(c.newCross, cross)
		h = l.In("layer.1").Add(h, m.out(a, m.attention(a, q, cross.key, cross.value, 1, crossBias)))
		h = m.feedForward(l.In("layer.2"), h)
	}
	return d.In("final_layer_norm").RMSNorm(h, m.hidden, m.eps, 0)
}

// causal is the bias of the decoder's scores among its own tokens
// [1,heads,T,P+T], of which P are in the cache: by distance, and against looking
// ahead.
func (m *t5Body) causal(d *Builder, ids string, c *t5Cache) string {
	first := d.In("block.0", "layer.0", "SelfAttention")
	queries := d.counted(ids)
	keys := queries
	if c.own != nil {
		p := d.In("positions")
		from := p.Extent(c.own[0].key, 2)
		queries = p.Doc("behind the tokens in the cache").Add(queries, from)
		keys = p.Op("Range", nil, p.Int(0), p.Add(from, p.Extent(ids, 1)), p.Int(1))
	}
	allowed := first.Doc("token t sees tokens up to itself").Op("LessOrEqual", nil, first.Unsqueeze(keys, 0), first.Unsqueeze(queries, 1))
	return first.Add(m.relative(first, queries, keys, false), first.Op("Where", nil, allowed, first.Float(0), first.Float(smallest)))
}

// project is a projection q, k or v of x within b, split into heads.
func (m *t5Body) project(b *Builder, name, x string) string {
	std := m.std(m.hidden)
	if name == "q" { // as if scores were scaled
		std = m.std(m.hidden * m.width)
	}
	return m.split(b, b.In(name).Linear(x, m.hidden, m.heads*m.width, false, std))
}

// out is the projection behind attention.
func (m *t5Body) out(b *Builder, y string) string {
	return b.In("o").Linear(y, m.heads*m.width, m.hidden, false, m.std(m.heads*m.width))
}

func (m *t5Body) feedForward(l *Builder, h string) string {
	x := l.In("layer_norm").RMSNorm(h, m.hidden, m.eps, 0)
	f := l.In("DenseReluDense")
	var y string
	if m.gated {
		y = m.act(f, f.In("wi_0").Linear(x, m.hidden, m.inner, false, m.std(m.hidden)))
		y = f.Mul(y, f.In("wi_1").Linear(x, m.hidden, m.inner, false, m.std(m.hidden)))
	} else {
		y = m.act(f, f.In("wi").Linear(x, m.hidden, m.inner, false, m.std(m.hidden)))
	}
	return l.Add(h, f.In("wo").Linear(y, m.inner, m.hidden, false, m.std(m.inner)))
}

// relative is the bias of relative positions [1,heads,T,S] by the table of
// b: one learned number for each head and bucket of distances.
func (m *t5Body) relative(b *Builder, queries, keys string, bidirectional bool) string {
	table := b.In("relative_attention_bias")
	distance := table.Sub(table.Unsqueeze(keys, 0), table.Unsqueeze(queries, 1))
	buckets := m.buckets
	var ahead string
	if bidirectional {
		buckets /= 2
		ahead = table.Mul(table.Cast(table.Op("Greater", nil, distance, table.Int(0)), ir.Int64), table.Int(buckets))
		distance = table.Op("Abs", nil, distance)
	} else {
		distance = table.Op("Max", nil, table.Op("Neg", nil, distance), table.Int(0))
	}
	distance = table.Op("Min", nil, distance, table.Int(m.distance))
	bucket := table.Doc("the bucket of a distance: exact ones, then logarithmically wider ones").
		Op("Gather", ir.Attrs{"axis": int64(0)}, table.Ints(distanceBuckets(buckets, m.distance)...), distance)
	if bidirectional {
		bucket = table.Add(bucket, ahead)
	}
	bias := table.Embedding(bucket, m.buckets, m.heads, normal(m.std(m.hidden)))
	return table.Unsqueeze(table.Transpose(bias, 2, 0, 1), 0)
}

// distanceBuckets are the buckets of distances 0 to farthest, in float32 as
// transformers computes them: half of the buckets are exact, the others grow
// logarithmically, and the last one takes the rest.
func distanceBuckets(buckets, farthest int64) []int64 {
	out := make([]int64, farthest+1)
	exact := buckets / 2
	span := float32(math.Log(float64(farthest) / float64(exact)))
	for d := range out {
		if int64(d) < exact {
			out[d] = int64(d)
			continue
		}
		x := float32(math.Log(float64(float32(d) / float32(exact))))
		out[d] = min(exact+int64(x/span*float32(buckets-exact)), buckets-1)
	}
	return out
}

// head is the language model's head; a tied one reads scaled states.
func (m *t5Body) head(h string) string {
	if !m.b.Config.Bool(true, "tie_word_embeddings") {
		return m.b.asHead(func() string { return m.b.In("lm_head").Linear(h, m.hidden, m.vocabulary, false, m.factor) })
	}
	l := m.b.In("lm_head")
	h = l.Mul(h, l.Float(1/math.Sqrt(float64(m.hidden))))
	return m.b.languageHead(h, m.hidden, m.vocabulary, "shared.weight", true, 0)
}
