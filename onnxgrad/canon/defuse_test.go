package canon_test

import (
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/canon"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

type attrs = ir.Attrs

// contrib starts a graph with the contrib domain and output y.
func contrib() *irtest.Builder { return irtest.New(18).Domain("com.microsoft", 1).Output("y") }

// three declares activations of batch 2 and length 5 by symbol.
func three(b *irtest.Builder, name string, width int) *irtest.Builder {
	return b.Input(name, ir.Float32, "batch", "sequence", width)
}

const heads2 = "num_heads"

// fusedCases are graphs whose fused operators the runtime has kernels for: the
// expansion must give the same numbers.
func fusedCases() map[string]*irtest.Builder {
	h := func(more ...any) attrs {
		a := attrs{heads2: int64(2)}
		for i := 0; i < len(more); i += 2 {
			a[more[i].(string)] = more[i+1]
		}
		return a
	}
	packed := func() *irtest.Builder { return three(contrib(), "x", 8).Fill("w", 8, 24).Fill("b", 24) }
	mha := func() *irtest.Builder { return three(three(three(contrib(), "q", 8), "k", 8), "v", 8) }
	gqa := func() *irtest.Builder {
		return three(three(three(contrib(), "q", 64), "k", 32), "v", 32).Input("len", ir.Int32, "batch").Input("total", ir.Int32).
			Fill("cos", 16, 8).Fill("sin", 16, 8)
	}
	g := func(more ...any) attrs {
		a := h(more...)
		a[heads2], a["kv_num_heads"] = int64(4), int64(2)
		return a
	}
	norm := func() *irtest.Builder {
		return three(three(contrib(), "x", 8), "s", 8).Fill("g", 8).Fill("bb", 8).Fill("c", 8)
	}
	embed := func() *irtest.Builder {
		return contrib().Input("ids", ir.Int32, "batch", "sequence").Input("types", ir.Int32, "batch", "sequence").
			Fill("words", 11, 8).Fill("at", 16, 8).Fill("kinds", 2, 8).Fill("g", 8).Fill("bb", 8)
	}
	rotary := func() *irtest.Builder {
		return three(contrib(), "x", 8).Input("p", ir.Int64, "batch", "sequence").Fill("cos", 16, 2).Fill("sin", 16, 2)
	}
	onnx23 := func() *irtest.Builder { return irtest.New(23).Output("y") }
	return map[string]*irtest.Builder{
		"Attention":                 packed().Node("y = com.microsoft::Attention(x,w,b)", h()),
		"Attention, causal":         packed().Node("y = com.microsoft::Attention(x,w,b)", h("unidirectional", int64(1))),
		"Attention, scale":          packed().Node("y = com.microsoft::Attention(x,w,b)", h("scale", float32(.3))),
		"Attention, mask":           packed().Input("m", ir.Int32, "batch", "sequence").Node("y = com.microsoft::Attention(x,w,b,m)", h()),
		"Attention, mask and value": packed().Input("m", ir.Int32, "batch", "sequence").Node("y = com.microsoft::Attention(x,w,b,m)", h("mask_filter_value", float32(-1))),
		"Attention, lengths":        packed().Input("len", ir.Int32, "batch").Node("y = com.microsoft::Attention(x,w,b,len)", h("mask_filter_value", float32(-2))),
		"Attention, rank 3 mask": packed().Input("m3", ir.Int32, "batch", "sequence", "sequence").
			Node("y = com.microsoft::Attention(x,w,b,m3)", h("mask_filter_value", float32(-2))),
		"Attention, bias table": packed().Fill("table", 1, 2, 5, 5).Node("y = com.microsoft::Attention(x,w,b,,,table)", h()),
		"Attention, unequal sizes": three(contrib(), "x", 8).Fill("w", 8, 20).Fill("b", 20).
			Node("y = com.microsoft::Attention(x,w,b)", h("qkv_hidden_sizes", []int64{8, 8, 4})),

		"MultiHeadAttention":             mha().Node("y = com.microsoft::MultiHeadAttention(q,k,v)", h()),
		"MultiHeadAttention, bias":       mha().Fill("b", 24).Node("y = com.microsoft::MultiHeadAttention(q,k,v,b)", h("scale", float32(.2))),
		"MultiHeadAttention, key mask":   mha().Input("m", ir.Int32, "batch", "sequence").Node("y = com.microsoft::MultiHeadAttention(q,k,v,,m)", h("mask_filter_value", float32(-2))),
		"MultiHeadAttention, bias table": mha().Fill("table", 1, 2, 5, 5).Node("y = com.microsoft::MultiHeadAttention(q,k,v,,,table)", h()),
		"MultiHeadAttention, causal":     mha().Node("y = com.microsoft::MultiHeadAttention(q,k,v)", h("unidirectional", int64(1))),
		"MultiHeadAttention, keys in heads": three(contrib(), "q", 8).Input("k4", ir.Float32, "batch", 2, "other", 4).Input("v4", ir.Float32, "batch", 2, "other", 4).
			Node("y = com.microsoft::MultiHeadAttention(q,k4,v4)", h()),

		"GroupQueryAttention":              gqa().Node("y,, = com.microsoft::GroupQueryAttention(q,k,v,,,len,total)", g()),
		"GroupQueryAttention, window":      gqa().Node("y,, = com.microsoft::GroupQueryAttention(q,k,v,,,len,total)", g("local_window_size", int64(2))),
		"GroupQueryAttention, rotary":      gqa().Node("y,, = com.microsoft::GroupQueryAttention(q,k,v,,,len,total,cos,sin)", g("do_rotary", int64(1))),
		"GroupQueryAttention, interleaved": gqa().Node("y,, = com.microsoft::GroupQueryAttention(q,k,v,,,len,total,cos,sin)", g("do_rotary", int64(1), "rotary_interleaved", int64(1))),
		"GroupQueryAttention, soft cap":    gqa().Node("y,, = com.microsoft::GroupQueryAttention(q,k,v,,,len,total)", g("softcap", float32(.5), "scale", float32(.7))),
		"GroupQueryAttention, packed": three(contrib(), "x", 64).Input("len", ir.Int32, "batch").Input("total", ir.Int32).
			Node("y,, = com.microsoft::GroupQueryAttention(x,,,,,len,total)", attrs{heads2: int64(2), "kv_num_heads": int64(1)}),

		"SkipLayerNormalization":           norm().Node("y = com.microsoft::SkipLayerNormalization(x,s,g,bb)"),
		"SkipLayerNormalization, bias":     norm().Node("y,,,z = com.microsoft::SkipLayerNormalization(x,s,g,bb,c)", attrs{"epsilon": float32(.1)}).Output("z"),
		"SkipLayerNormalization, no shift": norm().Node("y = com.microsoft::SkipLayerNormalization(x,s,g)"),
		"SkipLayerNormalization, shared skip": three(contrib(), "x", 8).Fill("s", 5, 8).Fill("g", 8).
			Node("y = com.microsoft::SkipLayerNormalization(x,s,g)"),
		"SkipSimplifiedLayerNormalization":       norm().Node("y = com.microsoft::SkipSimplifiedLayerNormalization(x,s,g)", attrs{"epsilon": float32(.1)}),
		"SkipSimplifiedLayerNormalization, bias": norm().Node("y,,,z = com.microsoft::SkipSimplifiedLayerNormalization(x,s,g,c)").Output("z"),
		"EmbedLayerNormalization":                embed().Node("y, = com.microsoft::EmbedLayerNormalization(ids,types,words,at,kinds,g,bb)", attrs{"epsilon": float32(.01)}),
		"EmbedLayerNormalization, no types":      embed().Node("y, = com.microsoft::EmbedLayerNormalization(ids,,words,at,,g,bb)"),
		"EmbedLayerNormalization, mask, positions, sum": embed().Input("m", ir.Int32, "batch", "sequence").Input("p32", ir.Int32, "batch", "sequence").
			Node("y,kept,z = com.microsoft::EmbedLayerNormalization(ids,types,words,at,kinds,g,bb,m,p32)").Node("kf = Cast(kept)", attrs{"to": int64(1)}).Output("z", "kf"),

		"FusedMatMul": contrib().Input("a", ir.Float32, "batch", 3, 4).Fill("w", 5, 4).
			Node("y = com.microsoft::FusedMatMul(a,w)", attrs{"alpha": float32(.5), "transB": int64(1)}),
		"FusedMatMul, left": contrib().Input("a", ir.Float32, "batch", 3, 4).Fill("w", 2, 3, 5).
			Node("y = com.microsoft::FusedMatMul(a,w)", attrs{"transA": int64(1)}),
		"FusedMatMul, batches": contrib().Fill("l", 3, 2, 2, 4).Fill("w", 5, 2, 2, 4).
			Node("y = com.microsoft::FusedMatMul(l,w)", attrs{"transBatchA": int64(1), "transBatchB": int64(1), "transB": int64(1)}),
		"FusedGemm": contrib().Input("r", ir.Float32, "batch", 4).Fill("w", 4, 5).Fill("c", 5).
			Node("y = com.microsoft::FusedGemm(r,w,c)", attrs{"activation": "LeakyRelu", "activation_alpha": float32(.3), "alpha": float32(2)}),
		"FusedConv": contrib().Input("image", ir.Float32, "batch", 3, 6, 6).Fill("w", 4, 3, 2, 2).Fill("c", 4).
			Node("y = com.microsoft::FusedConv(image,w,c)", attrs{"activation": "Relu", "strides": []int64{2, 2}, "kernel_shape": []int64{2, 2}}),

		"Conv 1d, stem": contrib().Input("sound", ir.Float32, "batch", 3, "other").Fill("w", 4, 3, 3).Fill("c", 4).
			Node("y = Conv(sound,w,c)", attrs{"pads": []int64{1, 1}, "strides": []int64{2}}),
		"Conv 2d, kernel is stride": contrib().Input("image", ir.Float32, "batch", 3, "sequence", "other").Fill("w", 4, 3, 2, 2).
			Node("y = Conv(image,w)", attrs{"strides": []int64{2, 2}}),
		"Conv 2d, groups": contrib().Input("image", ir.Float32, "batch", 4, "sequence", 7).Fill("w", 6, 2, 3, 2).Fill("c", 6).
			Node("y = Conv(image,w,c)", attrs{"group": int64(2), "dilations": []int64{1, 2}, "strides": []int64{1, 3}, "pads": []int64{1, 0, 0, 2}}),
		"Conv 1d, depthwise": contrib().Input("sound", ir.Float32, "batch", 4, "sequence").Fill("w", 4, 1, 3).
			Node("y = Conv(sound,w)", attrs{"group": int64(4), "auto_pad": "SAME_LOWER"}),
		"Conv 2d, same upper": contrib().Input("image", ir.Float32, "batch", 2, 7, 8).Fill("w", 3, 2, 3, 2).
			Node("y = Conv(image,w)", attrs{"auto_pad": "SAME_UPPER", "strides": []int64{2, 3}}),
		"Conv 3d": contrib().Input("film", ir.Float32, "batch", 2, 4, 3, 5).Fill("w", 4, 1, 2, 1, 3).
			Node("y = Conv(film,w)", attrs{"group": int64(2), "pads": []int64{1, 0, 0, 0, 0, 1}}),
		"Conv, pointwise": contrib().Input("sound", ir.Float32, "batch", 4, "sequence").Fill("w", 5, 4, 1).Node("y = Conv(sound,w)"),

		"RotaryEmbedding":                  rotary().Node("y = com.microsoft::RotaryEmbedding(x,p,cos,sin)"),
		"RotaryEmbedding, interleaved":     rotary().Node("y = com.microsoft::RotaryEmbedding(x,p,cos,sin)", attrs{"interleaved": int64(1)}),
		"RotaryEmbedding, from a position": rotary().Ints("from", nil, 3).Node("y = com.microsoft::RotaryEmbedding(x,from,cos,sin)"),
		"RotaryEmbedding, partly":          rotary().Node("y = com.microsoft::RotaryEmbedding(x,p,cos,sin)", attrs{"num_heads": int64(1), "rotary_embedding_dim": int64(4)}),
		"RotaryEmbedding, heads": contrib().Input("x4", ir.Float32, "batch", 2, "sequence", 4).Input("p", ir.Int64, "batch", "sequence").Fill("cos", 16, 2).Fill("sin", 16, 2).
			Node("y = com.microsoft::RotaryEmbedding(x4,p,cos,sin)"),
		"RotaryEmbedding 23": three(onnx23(), "x", 8).Input("p", ir.Int64, "batch", "sequence").Fill("cos", 16, 2).Fill("sin", 16, 2).
			Node("y = RotaryEmbedding(x,cos,sin,p)", attrs{heads2: int64(2)}),
		"RotaryEmbedding 23, tables by token": onnx23().Input("x4", ir.Float32, "batch", 2, "sequence", 4).Input("c3", ir.Float32, "batch", "sequence", 2).
			Node("y = RotaryEmbedding(x4,c3,c3)", attrs{"interleaved": int64(1)}),
		"Attention 23, soft cap and mask": three(three(three(onnx23(), "q", 8), "k", 8), "v", 8).Fill("table", 5, 5).
			Node("y = Attention(q,k,v,table)", attrs{"q_num_heads": int64(2), "kv_num_heads": int64(2), "softcap": float32(.5)}),
	}
}

// feed makes two records of five tokens for whatever the graph declares.
func feed(t *testing.T, g *ir.Graph) map[string]*ort.Tensor {
	t.Helper()
	extents := map[string]int64{"batch": 2, "sequence": 5, "other": 3}
	feeds := map[string]*ort.Tensor{}
	for _, in := range g.Inputs {
		shape, n := []int64{}, int64(1)
		for _, d := range in.Dims {
			e := d.Value
			if d.Param != "" {
				e = extents[d.Param]
			}
			shape, n = append(shape, e), n*e
		}
		var err error
		switch in.DType {
		case ir.Float32:
			data := make([]float32, n)
			for i := range data {
				data[i] = float32(math.Sin(float64(3*i + len(in.Name))))
			}
			feeds[in.Name], err = ort.NewTensor(shape, data)
		case ir.Int32:
			feeds[in.Name], err = ort.NewTensor(shape, integers(in.Name, n))
		default:
			data := make([]int64, n)
			for i := range data {
				data[i] = int64(i*3) % 7
			}
			feeds[in.Name], err = ort.NewTensor(shape, data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return feeds
}

// integers are masks, lengths, types and ids, by the input's name.
func integers(name string, n int64) []int32 {
	data := make([]int32, n)
	for i := range data {
		switch name {
		case "m", "m3":
			if i%5 < 3 || int64(i) < n/2 {
				data[i] = 1
			}
		case "len": // the last position of each record, as GroupQueryAttention counts
			data[i] = 4
		case "total":
			data[i] = 5
		case "types":
			data[i] = int32(i % 2)
		default:
			data[i] = int32(i*3) % 7
		}
	}
	return data
}

func forward(t *testing.T, env *ort.Env, g *ir.Graph, feeds map[string]*ort.Tensor) map[string][]float32 {
	t.Helper()
	model, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	s, err := env.NewSession(model, ort.Options{Name: "defuse", Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	kept := map[string]*ort.Tensor{}
	for _, in := range s.Inputs() {
		kept[in.Name] = feeds[in.Name]
	}
	out, err := s.Run(t.Context(), kept)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][]float32{}
	for name, x := range out {
		if values[name], err = ort.Data[float32](x); err != nil {
			t.Fatal(err)
		}
	}
	return values
}

func TestExpansionsEqualTheRuntimesKernels(t *testing.T) {
	env, err := ort.Load("")
	if err != nil {
		t.Fatal(err)
	}
	cases := fusedCases()
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		t.Run(name, func(t *testing.T) {
			g := cases[name].Graph()
			feeds := feed(t, g)
			want := forward(t, env, g.Clone(), feeds)
			c, err := canon.Canonical(g)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range c.Nodes {
				if n.Domain != "" || n.Op == "Conv" {
					t.Errorf("%v was not expanded", n)
				}
			}
			got := forward(t, env, c.Graph, feeds)
			for output, w := range want {
				for i, v := range got[output] {
					if d := math.Abs(float64(v - w[i])); !(d <= 2e-6*math.Max(1, math.Abs(float64(w[i])))) {
						t.Fatalf("%s[%d]: %g, the kernel gives %g", output, i, v, w[i])
					}
				}
				if len(got[output]) != len(w) {
					t.Errorf("%s has %d numbers, the kernel gives %d", output, len(got[output]), len(w))
				}
			}
		})
	}
}
