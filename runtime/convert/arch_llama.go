package convert

import (
	"fmt"
	"math"
)

// The Llama family: RMS norms, rotary positions, grouped keys, a gated MLP. Its
// members differ in what llamaStyle says.
var (
	llama = family("llama", "Llama", llamaStyle{
		heads: 32, layers: 32, width: 4096, inner: 11008, vocabulary: 32000,
		biases: func(c *Config) (bool, bool) { return both(c.Bool(false, "attention_bias")) },
	})
	mistral = family("mistral", "Mistral", llamaStyle{
		heads: 32, kvHeads: 8, layers: 32, width: 4096, inner: 14336, vocabulary: 32000,
		biases:  func(*Config) (bool, bool) { return false, false },
		windows: mistralWindows,
	})
	qwen2 = family("qwen2", "Qwen2", llamaStyle{
		heads: 32, kvHeads: 32, layers: 32, width: 4096, inner: 22016, vocabulary: 151936,
		biases: func(*Config) (bool, bool) { return true, false }, windows: qwenWindows,
	})
	qwen3 = family("qwen3", "Qwen3", llamaStyle{
		heads: 32, kvHeads: 32, headWidth: 128, layers: 32, width: 4096, inner: 22016, vocabulary: 151936,
		biases: func(c *Config) (bool, bool) { return both(c.Bool(false, "attention_bias")) }, windows: qwenWindows,
		normedHeads: true,
	})
	gemma = family("gemma", "Gemma", llamaStyle{
		heads: 16, kvHeads: 16, headWidth: 256, layers: 28, width: 3072, inner: 24576, vocabulary: 256000,
		biases: func(c *Config) (bool, bool) { return both(c.Bool(false, "attention_bias")) },
		act:    "gelu_pytorch_tanh", normOffset: 1, scaledEmbedding: true, tied: true,
	})
)

// A llamaStyle is what sets a member of the family apart, and its defaults.
type llamaStyle struct {
	heads, kvHeads, headWidth          int64 // kvHeads 0: as many as heads; headWidth 0: width/heads
	layers, width, inner, vocabulary   int64
	act                                string // "" is silu
	normOffset                         float64
	normedHeads, scaledEmbedding, tied bool
	// biases of the projections of queries, keys and values, and of the output.
	biases func(c *Config) (qkv, out bool)
	// windows of attention by layer, 0 for none; nil for none at all.
	windows func(c *Config, layers int64) []int64
}

func family(modelType, class string, s llamaStyle) *Architecture {
	return &Architecture{
		ModelType: modelType,
		Classes:   map[Head]string{HeadLM: class + "ForCausalLM", HeadClassify: class + "ForSequenceClassification", HeadNone: class + "Model"},
		Base:      "model", Decoder: true,
		Buffers: []string{".rotary_emb.inv_freq"},
		Build: func(b *Builder) error {
			m := s.read(b.Config)
			if err := b.Config.Err(); err != nil {
				return err
			}
			return m.build(b)
		},
	}
}

func both(v bool) (bool, bool) { return v, v }

// A llamaConfig is a member of the family as config.json describes it.
type llamaConfig struct {
	llamaStyle
	eps, std         float64
	rope             Rope
	mlpBias          bool
	qkvBias, outBias bool
	window           []int64
	activation       func(b *Builder, x string) string
	embedding        Init
}

func (s llamaStyle) read(c *Config) llamaConfig {
	m := llamaConfig{llamaStyle: s}
	m.layers, m.width, m.inner = c.Layers(s.layers, "num_hidden_layers"), c.Size(s.width, "hidden_size"), c.Size(s.inner, "intermediate_size")
	m.vocabulary, m.heads = c.Size(s.vocabulary, "vocab_size"), c.Size(s.heads, "num_attention_heads")
	m.kvHeads = s.kvHeads
	if m.kvHeads == 0 || c.Null("num_key_value_heads") {
		m.kvHeads = m.heads
	}
	m.kvHeads = c.Size(m.kvHeads, "num_key_value_heads")
	if m.heads%m.kvHeads != 0 {
		c.Fail("num_key_value_heads", "it does not divide the %d heads", m.heads)
	}
	if m.headWidth == 0 || c.Null("head_dim") {
		m.headWidth = max(m.width/m.heads, 1)
		if !c.Has("head_dim") {
			divides(c, m.width, m.heads, "num_attention_heads")
		}
	}
	m.headWidth = c.Size(m.headWidth, "head_dim")
	m.eps, m.std = c.Positive(1e-6, "rms_norm_eps"), c.Positive(0.02, "initializer_range")
	m.rope = c.Rope(m.headWidth)
	m.mlpBias = c.Bool(false, "mlp_bias")
	m.qkvBias, m.outBias = s.biases(c)
	m.window = make([]int64, m.layers)
	if s.windows != nil {
		m.window = s.windows(c, m.layers)
	}
	c.Only("use_bidirectional_attention", false, "tokens that see later ones")
	act := s.act
	if act == "" {
		act = "silu"
	}
	m.activation = c.Activation(act, "hidden_act")
	m.embedding = Init{Std: m.std, ZeroRow: c.ID("pad_token_id")}
	return m
}

// qwenWindows: layers from max_window_layers on look back sliding_window tokens,
// where use_sliding_window says so; newer files list each layer's type.
func qwenWindows(c *Config, layers int64) []int64 {
	out := make([]int64, layers)
	if !c.Bool(false, "use_sliding_window") || c.Null("sliding_window") {
		return out
	}
	window := c.Size(4096, "sliding_window")
	types := c.Strs("layer_types")
	if types != nil && int64(len(types)) != layers {
		c.Fail("layer_types", "it lists %d layers of %d", len(types), layers)
		return out
	}
	from := c.Float(28, "max_window_layers")
	for i := range out {
		switch {
		case types == nil && float64(i) >= from, types != nil && types[i] == "sliding_attention":
			out[i] = window
		case types != nil && types[i] != "full_attention":
			c.Fail("layer_types", "%q is not known; full_attention and sliding_attention are converted", types[i])
			return out
		}
	}
	return out
}

// mistralWindows: every layer looks back sliding_window tokens; null is no window.
func mistralWindows(c *Config, layers int64) []int64 {
	if c.Null("sliding_window") {
		return make([]int64, layers)
	}
	return repeated(layers, c.Size(4096, "sliding_window"))
}

func repeated(n, v int64) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = v
	}
	return out
}

func (m llamaConfig) build(b *Builder) error {
	d := newDecoder(b, m.layers, m.heads, m.kvHeads, m.headWidth)
	base := b.In("model")
	turn := d.rotations(base.In("rotary_emb"), m.rope)
	h := base.In("embed_tokens").Embedding(d.ids, m.vocabulary, m.width, m.embedding)
	if m.scaledEmbedding {
		h = base.In("embed_tokens").Mul(h, b.Float(math.Sqrt(float64(m.width))))
	}
	for i, window := range m.window {
		l := base.In(fmt.Sprintf("layers.%d", i))
		x := l.In("input_layernorm").RMSNorm(h, m.width, m.eps, m.normOffset)
		h = l.Add(h, m.attention(d, l.In("self_attn"), x, turn, window))
		x = l.In("post_attention_layernorm").RMSNorm(h, m.width, m.eps, m.normOffset)
		h = l.Add(h, m.mlp(l.In("mlp"), x))
	}
	h = base.In("norm").RMSNorm(h, m.width, m.eps, m.normOffset)
	return d.finish(h, m.width, "model.embed_tokens.weight", b.tiedHead(m.tied), m.std)
}

func (m llamaConfig) attention(d *decoder, a *Builder, x string, turn rotation, window int64) string {
	heads := func(name string, n int64) string {
		return d.split(a, a.In(name+"_proj").Linear(x, m.width, n*m.headWidth, m.qkvBias, m.std), n)
	}
	q, k, v := heads("q", m.heads), heads("k", m.kvHeads), heads("v", m.kvHeads)
	if m.normedHeads {
		q = a.In("q_norm").RMSNorm(q, m.headWidth, m.eps, 0)
		k = a.In("k_norm").RMSNorm(k, m.headWidth, m.eps, 0)
	}
	y := d.attend(a, turn.apply(a, q), turn.apply(a, k), v, 1/math.Sqrt(float64(m.headWidth)), window)
	return a.In("o_proj").Linear(y, m.heads*m.headWidth, m.width, m.outBias, m.std)
}

// mlp is down(act(gate(x))·up(x)).
func (m llamaConfig) mlp(f *Builder, x string) string {
	gate := m.activation(f.In("act_fn"), f.In("gate_proj").Linear(x, m.width, m.inner, m.mlpBias, m.std))
	up := f.In("up_proj").Linear(x, m.width, m.inner, m.mlpBias, m.std)
	return f.In("down_proj").Linear(f.Mul(gate, up), m.inner, m.width, m.mlpBias, m.std)
}
