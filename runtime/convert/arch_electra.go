package convert

import "github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"

// electra is ELECTRA: a BERT whose embeddings may be narrower than its layers. The
// mlm head is the generator's.
var electra = &Architecture{
	ModelType: "electra", Base: "electra",
	Classes: map[Head]string{
		HeadMLM: "ElectraForMaskedLM", HeadClassify: "ElectraForSequenceClassification", HeadNone: "ElectraModel",
	},
	Buffers: []string{
		"embeddings.position_ids", "embeddings.token_type_ids", "discriminator_predictions.dense.weight", "discriminator_predictions.dense.bias",
		"discriminator_predictions.dense_prediction.weight", "discriminator_predictions.dense_prediction.bias",
	},
	Renamed: legacyNames(nil),
	Build:   buildELECTRA,
}

func buildELECTRA(b *Builder) error {
	m, err := newBERT(b, "electra", bertDefaults{hidden: 256, heads: 4, inner: 1024, embedding: 128, act: "gelu"})
	if err != nil {
		return err
	}
	types := b.Input("token_type_ids", ir.Int64, Batch, Sequence)
	h := m.embed(b.counted(m.ids), types, -1)
	if m.embedding != m.hidden {
		h = b.In("electra", "embeddings_project").Linear(h, m.embedding, m.hidden, true, m.std)
	}
	h = m.encode(h)
	switch b.Options.Head {
	case HeadNone:
		m.states(h, m.hidden)
	case HeadMLM:
		logits := b.asHead(func() string {
			p := b.In("generator_predictions")
			y := geluErf(p, p.In("dense").Linear(h, m.hidden, m.embedding, true, m.std))
			head := m.vocabularyHead("generator_lm_head", "generator_lm_head")
			head.biasAlias = "" // its bias is its own
			return head.write(b, p.In("LayerNorm").LayerNorm(y, m.embedding, m.eps))
		})
		b.Output("logits", logits, ir.Float32, Batch, Sequence, dim(m.vocabulary))
	case HeadClassify:
		logits := b.asHead(func() string {
			k := b.In("classifier")
			y := geluErf(k, k.In("dense").Linear(k.firstToken(h), m.hidden, m.hidden, true, m.std))
			return k.In("out_proj").Linear(y, m.hidden, b.Options.Labels, true, m.std)
		})
		b.Output("logits", logits, ir.Float32, Batch, dim(b.Options.Labels))
	}
	return nil
}
