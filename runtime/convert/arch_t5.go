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
	Build:     buildT5,
}

// The symbol of the decoder's length.
const decoderSequence = "decoder_sequence_length"

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

func buildT5(b *Builder) error {
	m, err := newT5(b)
	if err != nil {
		return err
	}
	m.ids, m.mask = b.Input("input_ids", ir.Int64, Batch, Sequence), b.Input("attention_mask", ir.Int64, Batch, Sequence)
	targets := b.Input("decoder_input_ids", ir.Int64, Batch, decoderSequence)
	states := m.encode()
	logits := m.head(m.decode(targets, states, b.In("encoder").maskBias(m.mask)))
	b.Output("logits", logits, ir.Float32, Batch, decoderSequence, dim(m.vocabulary))
	return b.err
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
		h = l.In("layer.0").Add(h, m.attend(l.In("layer.0", "SelfAttention"), x, x, bias))
		h = m.feedForward(l.In("layer.1"), h)
	}
	return e.In("final_layer_norm").RMSNorm(h, m.hidden, m.eps, 0)
}

// decode runs the decoder on ids [B,T] and the encoder's states [B,S,d], with
// crossBias on the scores between the two: [B,T,d].
func (m *t5Body) decode(ids, states, crossBias string) string {
	d := m.b.In("decoder")
	h := m.embed(ids, "decoder")
	first := d.In("block.0", "layer.0", "SelfAttention")
	steps := d.counted(ids)
	row, column := first.Unsqueeze(steps, 1), first.Unsqueeze(steps, 0)
	allowed := first.Doc("token t sees tokens up to itself").Op("LessOrEqual", nil, column, row)
	bias := first.Add(m.relative(first, steps, steps, false), first.Op("Where", nil, allowed, first.Float(0), first.Float(smallest)))
	layers := m.b.Config.Layers(6, "num_decoder_layers", "num_layers", "num_hidden_layers")
	for i := range layers {
		l := d.In(fmt.Sprintf("block.%d", i))
		x := l.In("layer.0", "layer_norm").RMSNorm(h, m.hidden, m.eps, 0)
		h = l.In("layer.0").Add(h, m.attend(l.In("layer.0", "SelfAttention"), x, x, bias))
		x = l.In("layer.1", "layer_norm").RMSNorm(h, m.hidden, m.eps, 0)
		h = l.In("layer.1").Add(h, m.attend(l.In("layer.1", "EncDecAttention"), x, states, crossBias))
		h = m.feedForward(l.In("layer.2"), h)
	}
	return d.In("final_layer_norm").RMSNorm(h, m.hidden, m.eps, 0)
}

// attend is attention of x to y within b, whose scores are not scaled.
func (m *t5Body) attend(b *Builder, x, y, bias string) string {
	from, inner := [3]string{x, y, y}, m.heads*m.width
	std := [3]float64{m.std(m.hidden * m.width), m.std(m.hidden), m.std(m.hidden)}
	z := m.attention(b, 1, bias, func(i int) string {
		return b.In([3]string{"q", "k", "v"}[i]).Linear(from[i], m.hidden, inner, false, std[i])
	})
	return b.In("o").Linear(z, inner, m.hidden, false, m.std(inner))
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
