package convert

import (
	"fmt"
	"math"
)

// gpt2 is GPT-2 and DialoGPT.
var gpt2 = &Architecture{
	ModelType: "gpt2",
	Classes: map[Head]string{
		HeadLM: "GPT2LMHeadModel", HeadClassify: "GPT2ForSequenceClassification", HeadNone: "GPT2Model",
	},
	Base: "transformer", Decoder: true,
	Buffers: []string{".attn.bias", ".attn.masked_bias"}, // the causal mask
	Build:   buildGPT2,
}

func buildGPT2(b *Builder) error {
	c := b.Config
	width, layers, heads := c.Size(768, "n_embd", "hidden_size"), c.Layers(12, "n_layer", "num_hidden_layers"), c.Size(12, "n_head", "num_attention_heads")
	inner := c.Size(4*width, "n_inner")
	eps, std := c.Positive(1e-5, "layer_norm_epsilon"), c.Positive(0.02, "initializer_range")
	act := c.Activation("gelu_new", "activation_function")
	c.Only("add_cross_attention", false, "layers that read an encoder")
	divides(c, width, heads, "n_head")
	if err := c.Err(); err != nil {
		return err
	}
	// The layers that end a residual branch start smaller (Radford et al. 2019).
	residual := std / math.Sqrt(float64(2*layers))
	d := newDecoder(b, layers, heads, heads, width/heads)
	m := b.In("transformer")
	h := m.Add(m.In("wte").Embedding(d.ids, c.Size(50257, "vocab_size"), width, normal(std)),
		m.In("wpe").Embedding(d.positions, c.Size(1024, "n_positions", "max_position_embeddings", "n_ctx"), width, normal(std)))
	for i := range layers {
		l := m.In(fmt.Sprintf("h.%d", i))
		a := l.In("attn")
		qkv := a.Split(a.In("c_attn").Conv1D(l.In("ln_1").LayerNorm(h, width, eps), width, 3*width, std), 3, width)
		scale := 1.0
		if c.Bool(true, "scale_attn_weights") {
			scale = 1 / math.Sqrt(float64(d.width))
		}
		if c.Bool(false, "scale_attn_by_inverse_layer_idx") {
			scale /= float64(i + 1)
		}
		y := d.attend(a, d.split(a, qkv[0], heads), d.split(a, qkv[1], heads), d.split(a, qkv[2], heads), scale, 0)
		h = l.Add(h, a.In("c_proj").Conv1D(y, width, width, residual))
		f := l.In("mlp")
		y = act(f.In("act"), f.In("c_fc").Conv1D(l.In("ln_2").LayerNorm(h, width, eps), width, inner, std))
		h = l.Add(h, f.In("c_proj").Conv1D(y, inner, width, residual))
	}
	h = m.In("ln_f").LayerNorm(h, width, eps)
	return d.finish(h, width, "transformer.wte.weight", b.tiedHead(true), std)
}

// divides refuses heads that do not share the width evenly.
func divides(c *Config, width, heads int64, field string) {
	if width%heads != 0 {
		c.Fail(field, "it does not divide the width %d", width)
	}
}
