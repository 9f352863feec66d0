package convert

import (
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// bert is BERT, cased or not.
var bert = &Architecture{
	ModelType: "bert", Base: "bert",
	Classes: map[Head]string{
		HeadMLM: "BertForMaskedLM", HeadClassify: "BertForSequenceClassification", HeadNone: "BertModel",
	},
	Buffers: []string{"embeddings.position_ids", "embeddings.token_type_ids", "cls.seq_relationship.weight", "cls.seq_relationship.bias"},
	Renamed: legacyNames(map[string]string{"cls.predictions.bias": "cls.predictions.decoder.bias"}),
	Build:   buildBERT,
}

// RoBERTa and the models that are built alike.
var (
	roberta    = robertaLike("roberta", "Roberta")
	xlmRoberta = robertaLike("xlm-roberta", "XLMRoberta")
	camembert  = robertaLike("camembert", "Camembert")
)

func robertaLike(modelType, class string) *Architecture {
	return &Architecture{
		ModelType: modelType, Base: "roberta",
		Classes: map[Head]string{
			HeadMLM: class + "ForMaskedLM", HeadClassify: class + "ForSequenceClassification", HeadNone: class + "Model",
		},
		Buffers: []string{"embeddings.position_ids", "embeddings.token_type_ids"},
		Renamed: legacyNames(map[string]string{"lm_head.bias": "lm_head.decoder.bias"}),
		Build:   buildRoBERTa,
	}
}

// A bertBody is what BERT and RoBERTa have in common.
type bertBody struct {
	*encoder
	base       string
	hidden     int64
	embedding  int64 // width of the embeddings
	vocabulary int64
	inner      int64
	layers     int64
	eps, std   float64
	act        func(b *Builder, x string) string
}

// bertDefaults are the sizes that a model has where its config.json says nothing.
type bertDefaults struct {
	hidden, heads, inner int64
	embedding            int64 // 0: the hidden width, and no field of its own
	act                  string
}

var bertBase = bertDefaults{hidden: 768, heads: 12, inner: 3072, act: "gelu"}

func newBERT(b *Builder, base string, def bertDefaults) (*bertBody, error) {
	c := b.Config
	hidden, heads := c.Size(def.hidden, "hidden_size"), c.Size(def.heads, "num_attention_heads")
	m := &bertBody{
		base: base, hidden: hidden, embedding: hidden, vocabulary: c.Size(0, "vocab_size"), inner: c.Size(def.inner, "intermediate_size"),
		layers: c.Layers(12, "num_hidden_layers"), eps: c.Positive(1e-12, "layer_norm_eps"), std: c.Positive(0.02, "initializer_range"),
		act: c.Activation(def.act, "hidden_act"),
	}
	if def.embedding > 0 {
		m.embedding = c.Size(def.embedding, "embedding_size")
	}
	c.Only("is_decoder", false, "a causal mask")
	c.Only("add_cross_attention", false, "layers that read an encoder")
	c.Only("position_embedding_type", "absolute", "transformers 5 dropped the others")
	divides(c, hidden, heads, "num_attention_heads")
	if err := c.Err(); err != nil {
		return nil, err
	}
	m.encoder = newEncoder(b, heads, hidden/heads)
	return m, nil
}

// embed sums the three embeddings. positions are ids [T] or [B,T], types [B,T].
func (m *bertBody) embed(positions, types string, padding int64) string {
	c, e := m.b.Config, m.b.In(m.base, "embeddings")
	word := normal(m.std)
	word.ZeroRow = c.ID("pad_token_id")
	if !c.Has("pad_token_id") {
		word.ZeroRow = max(0, padding)
	}
	place := normal(m.std)
	place.ZeroRow = padding
	x := e.In("word_embeddings").Embedding(m.ids, m.vocabulary, m.embedding, word)
	x = e.Add(x, e.In("token_type_embeddings").Embedding(types, c.Size(2, "type_vocab_size"), m.embedding, normal(m.std)))
	x = e.Add(x, e.In("position_embeddings").Embedding(positions, c.Size(512, "max_position_embeddings"), m.embedding, place))
	return e.In("LayerNorm").LayerNorm(x, m.embedding, m.eps)
}

// encode runs the layers.
func (m *bertBody) encode(h string) string {
	for i := range m.layers {
		l := m.b.In(m.base, "encoder", fmt.Sprintf("layer.%d", i))
		a := l.In("attention")
		y := m.attend(a.In("self"), h, [3]string{"query", "key", "value"}, m.std)
		y = a.In("output", "dense").Linear(y, m.hidden, m.hidden, true, m.std)
		h = a.In("output", "LayerNorm").LayerNorm(a.Add(y, h), m.hidden, m.eps)
		y = l.In("intermediate", "dense").Linear(h, m.hidden, m.inner, true, m.std)
		y = m.act(l.In("intermediate"), y)
		y = l.In("output", "dense").Linear(y, m.inner, m.hidden, true, m.std)
		h = l.In("output", "LayerNorm").LayerNorm(l.Add(y, h), m.hidden, m.eps)
	}
	return h
}

// pool is tanh of a linear layer on the first token.
func (m *bertBody) pool(h string) string {
	p := m.b.In(m.base, "pooler")
	return p.Op("Tanh", nil, p.In("dense").Linear(p.firstToken(h), m.hidden, m.hidden, true, m.std))
}

// bare declares the outputs of a model without a head; the pooler is there where
// the checkpoint has it.
func (m *bertBody) bare(h string) {
	m.states(h, m.hidden)
	if m.b.holds(m.base + ".pooler.dense.weight") {
		m.b.Output("pooler_output", m.pool(h), ir.Float32, Batch, dim(m.hidden))
	}
}

func buildBERT(b *Builder) error {
	m, err := newBERT(b, "bert", bertBase)
	if err != nil {
		return err
	}
	types := b.Input("token_type_ids", ir.Int64, Batch, Sequence)
	h := m.encode(m.embed(b.counted(m.ids), types, -1))
	switch b.Options.Head {
	case HeadNone:
		m.bare(h)
	case HeadMLM:
		logits := b.asHead(func() string {
			p := b.In("cls.predictions")
			t := p.In("transform")
			y := m.act(t, t.In("dense").Linear(h, m.hidden, m.hidden, true, m.std))
			return m.vocabularyHead("cls.predictions.decoder", "cls.predictions").write(b, t.In("LayerNorm").LayerNorm(y, m.hidden, m.eps))
		})
		b.Output("logits", logits, ir.Float32, Batch, Sequence, dim(m.vocabulary))
	case HeadClassify:
		logits := b.asHead(func() string {
			return b.In("classifier").Linear(m.pool(h), m.hidden, b.Options.Labels, true, m.std)
		})
		b.Output("logits", logits, ir.Float32, Batch, dim(b.Options.Labels))
	}
	return nil
}

// vocabulary_ is the head whose weight is decoder.weight, tied unless the config
// says otherwise, and whose bias is owner.bias.
func (m *bertBody) vocabularyHead(decoder, owner string) vocabularyHead {
	return vocabularyHead{
		table: m.base + ".embeddings.word_embeddings.weight", weight: decoder + ".weight",
		bias: owner + ".bias", biasAlias: decoder + ".bias",
		width: m.embedding, vocabulary: m.vocabulary, std: m.std, tied: m.b.Config.Bool(true, "tie_word_embeddings"),
	}
}

func buildRoBERTa(b *Builder) error {
	m, err := newBERT(b, "roberta", bertBase)
	if err != nil {
		return err
	}
	padding := b.Config.ID("pad_token_id")
	if !b.Config.Has("pad_token_id") {
		padding = 1
	}
	h := m.encode(m.embed(paddedPositions(b, m.ids, padding), b.zeroTypes(m.ids), padding))
	switch b.Options.Head {
	case HeadNone:
		m.bare(h)
	case HeadMLM:
		logits := b.asHead(func() string {
			l := b.In("lm_head")
			y := geluErf(l, l.In("dense").Linear(h, m.hidden, m.hidden, true, m.std))
			return m.vocabularyHead("lm_head.decoder", "lm_head").write(b, l.In("layer_norm").LayerNorm(y, m.hidden, m.eps))
		})
		b.Output("logits", logits, ir.Float32, Batch, Sequence, dim(m.vocabulary))
	case HeadClassify:
		logits := b.asHead(func() string {
			k := b.In("classifier")
			y := k.Op("Tanh", nil, k.In("dense").Linear(k.firstToken(h), m.hidden, m.hidden, true, m.std))
			return k.In("out_proj").Linear(y, m.hidden, b.Options.Labels, true, m.std)
		})
		b.Output("logits", logits, ir.Float32, Batch, dim(b.Options.Labels))
	}
	return nil
}

// paddedPositions count a row's tokens that are not padding from padding + 1 on;
// padding has the position padding.
func paddedPositions(b *Builder, ids string, padding int64) string {
	p := b.In("positions")
	real := p.Cast(p.Op("Not", nil, p.Op("Equal", nil, ids, p.Int(padding))), ir.Int64)
	count := p.Doc("positions count tokens that are no padding").Op("CumSum", nil, real, p.Int(1))
	return p.Add(p.Mul(count, real), p.Int(padding))
}

// zeroTypes are token types of a model that is never told any: 0 for every id.
func (b *Builder) zeroTypes(ids string) string {
	t := b.In("token_types")
	return t.Doc("every token is of type 0").Op("Expand", nil, t.Ints(0), t.Op("Shape", nil, ids))
}
