package convert

import (
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// distilbert is DistilBERT.
var distilbert = &Architecture{
	ModelType: "distilbert", Base: "distilbert",
	Classes: map[Head]string{
		HeadMLM: "DistilBertForMaskedLM", HeadClassify: "DistilBertForSequenceClassification", HeadNone: "DistilBertModel",
	},
	Buffers: []string{"embeddings.position_ids"},
	Renamed: legacyNames(nil),
	Build:   buildDistilBERT,
}

// distilEps is the ε of its norms, which no config.json changes.
const distilEps = 1e-12

func buildDistilBERT(b *Builder) error {
	c := b.Config
	width, heads := c.Size(768, "dim", "hidden_size"), c.Size(12, "n_heads", "num_attention_heads")
	inner, layers := c.Size(4*width, "hidden_dim"), c.Layers(6, "n_layers", "num_hidden_layers")
	vocabulary, std := c.Size(30522, "vocab_size"), c.Positive(0.02, "initializer_range")
	act := c.Activation("gelu", "activation")
	if !c.Has("hidden_dim") && !c.Has("dim") {
		inner = 3072
	}
	divides(c, width, heads, "n_heads")
	if err := c.Err(); err != nil {
		return err
	}
	e := newEncoder(b, heads, width/heads)
	m := b.In("distilbert")
	word := normal(std)
	if word.ZeroRow = c.ID("pad_token_id"); !c.Has("pad_token_id") {
		word.ZeroRow = 0
	}
	place := normal(std)
	place.Sinusoid = c.Bool(false, "sinusoidal_pos_embds")
	x := m.In("embeddings")
	h := x.Add(x.In("word_embeddings").Embedding(e.ids, vocabulary, width, word),
		x.In("position_embeddings").Embedding(b.counted(e.ids), c.Size(512, "max_position_embeddings"), width, place))
	h = x.In("LayerNorm").LayerNorm(h, width, distilEps)
	for i := range layers {
		l := m.In("transformer", fmt.Sprintf("layer.%d", i))
		a := l.In("attention")
		y := a.In("out_lin").Linear(e.attend(a, h, [3]string{"q_lin", "k_lin", "v_lin"}, std), width, width, true, std)
		h = l.In("sa_layer_norm").LayerNorm(l.Add(y, h), width, distilEps)
		f := l.In("ffn")
		y = f.In("lin2").Linear(act(f, f.In("lin1").Linear(h, width, inner, true, std)), inner, width, true, std)
		h = l.In("output_layer_norm").LayerNorm(l.Add(y, h), width, distilEps)
	}
	return distilHead(e, h, width, vocabulary, std, act)
}

// distilHead writes the head on hidden states [B,T,width].
func distilHead(e *encoder, h string, width, vocabulary int64, std float64, act func(b *Builder, x string) string) error {
	b, c := e.b, e.b.Config
	switch b.Options.Head {
	case HeadNone:
		e.states(h, width)
	case HeadMLM:
		logits := b.asHead(func() string {
			y := act(b.In("vocab_transform"), b.In("vocab_transform").Linear(h, width, width, true, std))
			y = b.In("vocab_layer_norm").LayerNorm(y, width, distilEps)
			return vocabularyHead{
				table: "distilbert.embeddings.word_embeddings.weight", weight: "vocab_projector.weight", bias: "vocab_projector.bias",
				width: width, vocabulary: vocabulary, std: std, tied: c.Bool(true, "tie_word_embeddings"),
			}.write(b, y)
		})
		b.Output("logits", logits, ir.Float32, Batch, Sequence, dim(vocabulary))
	case HeadClassify:
		logits := b.asHead(func() string {
			p := b.In("pre_classifier")
			y := p.Op("Relu", nil, p.Linear(p.firstToken(h), width, width, true, std))
			return b.In("classifier").Linear(y, width, b.Options.Labels, true, std)
		})
		b.Output("logits", logits, ir.Float32, Batch, dim(b.Options.Labels))
	}
	return nil
}
