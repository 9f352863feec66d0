package convert

import (
	"fmt"
	"math"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

var opt = &Architecture{
	ModelType: "opt",
	Classes:   map[Head]string{HeadLM: "OPTForCausalLM", HeadClassify: "OPTForSequenceClassification", HeadNone: "OPTModel"},
	Base:      "model", Decoder: true,
	Build: buildOPT,
}

// An optConfig is what OPT's config.json says.
type optConfig struct {
	width, inner, embedded int64 // hidden_size, ffn_dim, word_embed_proj_dim
	layers, heads          int64
	std                    float64
	bias, affine           bool // linear layers have biases, norms have parameters
	normFirst, lastNorm    bool
	act                    func(b *Builder, x string) string
	ones                   string // the scale of norms without parameters
}

func readOPT(c *Config) optConfig {
	o := optConfig{
		width: c.Size(768, "hidden_size"), inner: c.Size(3072, "ffn_dim"),
		layers: c.Layers(12, "num_hidden_layers"), heads: c.Size(12, "num_attention_heads"), std: c.Positive(0.02, "init_std"),
		bias: c.Bool(true, "enable_bias"), affine: c.Bool(true, "layer_norm_elementwise_affine"),
		normFirst: c.Bool(true, "do_layer_norm_before"), act: c.Activation("relu", "activation_function"),
	}
	o.embedded = c.Size(o.width, "word_embed_proj_dim")
	o.lastNorm = o.normFirst && !c.Bool(false, "_remove_final_layer_norm")
	divides(c, o.width, o.heads, "num_attention_heads")
	if !o.affine && o.width > 1<<16 {
		c.Fail("hidden_size", "norms without parameters are written up to a width of %d", 1<<16)
	}
	return o
}

func buildOPT(b *Builder) error {
	c := b.Config
	o := readOPT(c)
	if err := c.Err(); err != nil {
		return err
	}
	d := newDecoder(b, o.layers, o.heads, o.heads, o.width/o.heads)
	m := b.In("model", "decoder")
	if !o.affine {
		o.ones = m.In("layer_norm").Floats(vector(o.width, 1))
	}
	tokens := normal(o.std)
	tokens.ZeroRow = 1
	if c.Has("pad_token_id") {
		tokens.ZeroRow = c.ID("pad_token_id")
	}
	h := m.In("embed_tokens").Embedding(d.ids, c.Size(50272, "vocab_size"), o.embedded, tokens)
	if o.embedded != o.width {
		h = m.In("project_in").Linear(h, o.embedded, o.width, false, o.std)
	}
	h = m.Add(h, m.In("embed_positions").Embedding(d.optPositions(m.In("embed_positions")), c.Size(2048, "max_position_embeddings")+2, o.width, normal(o.std)))
	for i := range o.layers {
		h = o.layer(d, m.In(fmt.Sprintf("layers.%d", i)), h)
	}
	if o.lastNorm {
		h = o.norm(m.In("final_layer_norm"), h)
	}
	if o.embedded != o.width {
		h = m.In("project_out").Linear(h, o.width, o.embedded, false, o.std)
	}
	return d.finish(h, o.embedded, "model.decoder.embed_tokens.weight", b.tiedHead(true), o.std)
}

// optPositions index OPT's table, whose first two rows no real token reads: 2 and
// up for the tokens that attention_mask holds, 1 for padding.
func (d *decoder) optPositions(b *Builder) string {
	if len(d.past) > 0 {
		return b.Add(d.positions, b.Int(2))
	}
	counted := b.Op("CumSum", nil, d.mask, b.Int(1))
	return b.Doc("the number of the token among the row's, from 2; 1 for padding").Add(b.Mul(counted, d.mask), b.Int(1))
}

// layer is one block; OPT-350m's norms stand behind the sums instead of before
// the branches.
func (o optConfig) layer(d *decoder, l *Builder, h string) string {
	before := func(norm, x string) string {
		if !o.normFirst {
			return x
		}
		return o.norm(l.In(norm), x)
	}
	behind := func(norm, x string) string {
		if o.normFirst {
			return x
		}
		return o.norm(l.In(norm), x)
	}
	a := l.In("self_attn")
	project := func(name, x string) string { return a.In(name).Linear(x, o.width, o.width, o.bias, o.std) }
	x := before("self_attn_layer_norm", h)
	q, k, v := project("q_proj", x), project("k_proj", x), project("v_proj", x)
	y := d.attend(a, d.split(a, q, o.heads), d.split(a, k, o.heads), d.split(a, v, o.heads), 1/math.Sqrt(float64(d.width)), 0)
	h = behind("self_attn_layer_norm", l.Add(h, project("out_proj", y)))

	y = l.In("fc1").Linear(before("final_layer_norm", h), o.width, o.inner, o.bias, o.std)
	y = l.In("fc2").Linear(o.act(l.In("activation_fn"), y), o.inner, o.width, o.bias, o.std)
	return behind("final_layer_norm", l.Add(h, y))
}

func (o optConfig) norm(b *Builder, x string) string {
	if o.affine {
		return b.LayerNorm(x, o.width, 1e-5)
	}
	return b.Op("LayerNormalization", ir.Attrs{"axis": int64(-1), "epsilon": float32(1e-5)}, x, o.ones)
}

// vector holds n times v.
func vector(n int64, v float32) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = v
	}
	return out
}
