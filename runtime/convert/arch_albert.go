package convert

import (
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// albert is ALBERT: a BERT with narrow embeddings, whose layers share their
// parameters by groups.
var albert = &Architecture{
	ModelType: "albert", Base: "albert",
	Classes: map[Head]string{
		HeadMLM: "AlbertForMaskedLM", HeadClassify: "AlbertForSequenceClassification", HeadNone: "AlbertModel",
	},
	Buffers: []string{"embeddings.position_ids", "embeddings.token_type_ids", "sop_classifier.classifier.weight", "sop_classifier.classifier.bias"},
	Renamed: legacyNames(map[string]string{"predictions.bias": "predictions.decoder.bias"}),
	Build:   buildALBERT,
}

func buildALBERT(b *Builder) error {
	m, err := newBERT(b, "albert", bertDefaults{hidden: 4096, heads: 64, inner: 16384, embedding: 128, act: "gelu_new"})
	if err != nil {
		return err
	}
	types := b.Input("token_type_ids", ir.Int64, Batch, Sequence)
	h, err := m.encodeShared(m.embed(b.counted(m.ids), types, -1))
	if err != nil {
		return err
	}
	pool := func() string {
		p := b.In("albert.pooler")
		return p.Op("Tanh", nil, p.Linear(p.firstToken(h), m.hidden, m.hidden, true, m.std))
	}
	switch b.Options.Head {
	case HeadNone:
		m.states(h, m.hidden)
		if b.holds("albert.pooler.weight") {
			b.Output("pooler_output", pool(), ir.Float32, Batch, dim(m.hidden))
		}
	case HeadMLM:
		logits := b.asHead(func() string {
			p := b.In("predictions")
			y := m.act(p, p.In("dense").Linear(h, m.hidden, m.embedding, true, m.std))
			return m.vocabularyHead("predictions.decoder", "predictions").write(b, p.In("LayerNorm").LayerNorm(y, m.embedding, m.eps))
		})
		b.Output("logits", logits, ir.Float32, Batch, Sequence, dim(m.vocabulary))
	case HeadClassify:
		logits := b.asHead(func() string { return b.In("classifier").Linear(pool(), m.hidden, b.Options.Labels, true, m.std) })
		b.Output("logits", logits, ir.Float32, Batch, dim(b.Options.Labels))
	}
	return nil
}

// encodeShared runs the layers: layer i is that of group i·groups/layers, applied
// as many times as a group has inner layers.
func (m *bertBody) encodeShared(x string) (string, error) {
	c, e := m.b.Config, m.b.In("albert", "encoder")
	groups, inner := c.Size(1, "num_hidden_groups"), c.Size(1, "inner_group_num")
	if m.layers*inner > maxLayers || groups > m.layers {
		c.Fail("num_hidden_groups", "%d layers in %d groups of %d are not written", m.layers, groups, inner)
	}
	if err := c.Err(); err != nil {
		return "", err
	}
	h := e.In("embedding_hidden_mapping_in").Linear(x, m.embedding, m.hidden, true, m.std)
	for i := range m.layers {
		for k := range inner {
			l := e.In(fmt.Sprintf("albert_layer_groups.%d", i*groups/m.layers), fmt.Sprintf("albert_layers.%d", k))
			a := l.In("attention")
			y := a.In("dense").Linear(m.attend(a, h, [3]string{"query", "key", "value"}, m.std), m.hidden, m.hidden, true, m.std)
			h = a.In("LayerNorm").LayerNorm(a.Add(y, h), m.hidden, m.eps)
			y = m.act(l, l.In("ffn").Linear(h, m.hidden, m.inner, true, m.std))
			y = l.In("ffn_output").Linear(y, m.inner, m.hidden, true, m.std)
			h = l.In("full_layer_layer_norm").LayerNorm(l.Add(y, h), m.hidden, m.eps)
		}
	}
	return h, nil
}
