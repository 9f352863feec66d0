package convert_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/convert"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
	"github.com/ghostwriter-dp/ghostwriter/runtime/safetensors"
)

// shared reads a file of the folder of reference data beside the checkout.
func shared(t *testing.T, parts ...string) []byte {
	t.Helper()
	path := filepath.Join(append([]string{"..", "..", "..", "shared", "data", "weights"}, parts...)...)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("reference data not found: ../shared/data/weights/%s", strings.Join(parts, "/"))
	}
	return b
}

// A checkpoint is a Hugging Face directory in the making, from raw numbers.
type checkpoint struct {
	raw     []byte
	tensors []safetensors.Tensor
}

// take cuts the next tensor off.
func (c *checkpoint) take(shape ...int64) []float32 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(c.raw[4*i:]))
	}
	c.raw = c.raw[4*n:]
	return v
}

func (c *checkpoint) put(name string, v []float32, shape ...int64) {
	c.tensors = append(c.tensors, safetensors.Tensor{Name: name, DType: "F32", Shape: shape, Floats: v})
}

func (c *checkpoint) write(t *testing.T, config string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := safetensors.WriteFile(filepath.Join(dir, "model.safetensors"), c.tensors, map[string]string{"format": "pt"}, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

// layer is the i-th of equal parts of v.
func layer(v []float32, i, layers int) []float32 {
	n := len(v) / layers
	return v[i*n : (i+1)*n]
}

// beside joins matrices of the same number of rows, row by row.
func beside(rows int, parts ...[]float32) []float32 {
	var out []float32
	for r := range rows {
		for _, p := range parts {
			out = append(out, layer(p, r, rows)...)
		}
	}
	return out
}

// gpt2Basic writes tsotchke/gpt2-basic, whose file holds, all layers stacked: tok,
// pos, ln1, q, k, v, proj, ln2, fc1, fc2, final_ln, head, each with its bias.
func gpt2Basic(t *testing.T) string {
	const layers, width, inner, vocabulary, positions = 2, 48, 192, 4096, 192
	c := &checkpoint{raw: shared(t, "gpt2-basic", "GPT2WT.BIN")}
	c.put("transformer.wte.weight", c.take(vocabulary, width), vocabulary, width)
	c.put("transformer.wpe.weight", c.take(positions, width), positions, width)
	type pair struct{ w, b []float32 }
	pairs := func(shape ...int64) pair {
		return pair{c.take(append([]int64{layers}, shape...)...), c.take(layers, shape[len(shape)-1])}
	}
	ln1 := pairs(width)
	q, k, v, proj := pairs(width, width), pairs(width, width), pairs(width, width), pairs(width, width)
	ln2, fc1, fc2 := pairs(width), pairs(width, inner), pairs(inner, width)
	for i := range layers {
		at := func(p pair) (w, b []float32) { return layer(p.w, i, layers), layer(p.b, i, layers) }
		add := func(name string, p pair, shape ...int64) {
			w, b := at(p)
			c.put(fmt.Sprintf("transformer.h.%d.%s.weight", i, name), w, shape...)
			c.put(fmt.Sprintf("transformer.h.%d.%s.bias", i, name), b, shape[len(shape)-1])
		}
		add("ln_1", ln1, width)
		add("ln_2", ln2, width)
		qw, qb := at(q)
		kw, kb := at(k)
		vw, vb := at(v)
		c.put(fmt.Sprintf("transformer.h.%d.attn.c_attn.weight", i), beside(width, qw, kw, vw), width, 3*width)
		c.put(fmt.Sprintf("transformer.h.%d.attn.c_attn.bias", i), slices.Concat(qb, kb, vb), 3*width)
		add("attn.c_proj", proj, width, width)
		add("mlp.c_fc", fc1, width, inner)
		add("mlp.c_proj", fc2, inner, width)
	}
	c.put("transformer.ln_f.weight", c.take(width), width)
	c.put("transformer.ln_f.bias", c.take(width), width)
	head := c.take(width, vocabulary) // [in,out]; PyTorch's is [out,in]
	turned := make([]float32, len(head))
	for i := range width {
		for j := range vocabulary {
			turned[j*width+i] = head[i*vocabulary+j]
		}
	}
	c.put("lm_head.weight", turned, vocabulary, width)
	c.put("lm_head.bias", c.take(vocabulary), vocabulary)
	if len(c.raw) != 0 {
		t.Fatalf("%d bytes are left", len(c.raw))
	}
	return c.write(t, `{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 4096, "n_positions": 192,
		"n_embd": 48, "n_head": 4, "n_layer": 2, "n_inner": 192, "tie_word_embeddings": false}`)
}

// The file's reference vectors, of a fixed-point implementation, agree in order
// of the eight best tokens.
func TestGPT2BasicReproducesItsVectors(t *testing.T) {
	vectors := shared(t, "gpt2-basic", "GPT2VEC.TXT")
	m := converted(t, gpt2Basic(t), convert.Options{})
	found := 0
	for line := range strings.Lines(string(vectors)) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if f[0] != "V" { // V|name|context_len|tokens|top_count|token:logit,...
			continue
		}
		found++
		var ids, mask []int64
		for _, s := range strings.Split(f[3], ",") {
			id, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			ids, mask = append(ids, id), append(mask, 1)
		}
		shape := []int64{1, int64(len(ids))}
		logits := data(t, run(t, m, map[string]*ort.Tensor{"input_ids": ints(t, shape, ids), "attention_mask": ints(t, shape, mask)})["logits"])
		last := logits[len(logits)-4096:]
		order := make([]int, len(last))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return map[bool]int{true: -1, false: 1}[last[a] > last[b]] })
		for i, want := range strings.Split(f[5], ",") {
			token, logit, _ := strings.Cut(want, ":")
			fixed, _ := strconv.ParseFloat(logit, 64)
			if strconv.Itoa(order[i]) != token || math.Abs(float64(last[order[i]])-fixed/4096) > 0.25 {
				t.Errorf("%s: place %d is %d (%.3f), want %s (%.3f)", f[1], i, order[i], last[order[i]], token, fixed/4096)
			}
		}
	}
	if found != 3 {
		t.Errorf("%d vectors, want 3", found)
	}
}

// stories260K writes karpathy's tinyllama, of llama2.c's format: seven int32, then
// the tensors, whose rotary pairs lie beside each other instead of half a head
// apart.
func stories260K(t *testing.T) string {
	file := shared(t, "stories260K", "stories260K.bin")
	var h [7]int32 // dim, hidden_dim, layers, heads, kv_heads, vocabulary, length
	if err := binary.Read(bytes.NewReader(file), binary.LittleEndian, &h); err != nil {
		t.Fatal(err)
	}
	width, inner, layers, heads, kv, vocabulary, length := int64(h[0]), int64(h[1]), int64(h[2]), int64(h[3]), int64(h[4]), int64(h[5]), int64(h[6])
	if vocabulary < 0 {
		t.Fatal("the head is expected to be tied")
	}
	head := width / heads
	c := &checkpoint{raw: file[28:]}
	c.put("model.embed_tokens.weight", c.take(vocabulary, width), vocabulary, width)
	stacked := func(name string, turn int64, shape ...int64) {
		v := c.take(append([]int64{layers}, shape...)...)
		for i := range int(layers) {
			w := layer(v, i, int(layers))
			if turn > 0 {
				w = halves(w, turn, head)
			}
			c.put(fmt.Sprintf("model.layers.%d.%s.weight", i, name), w, shape...)
		}
	}
	stacked("input_layernorm", 0, width)
	stacked("self_attn.q_proj", heads, width, width)
	stacked("self_attn.k_proj", kv, kv*head, width)
	stacked("self_attn.v_proj", 0, kv*head, width)
	stacked("self_attn.o_proj", 0, width, width)
	stacked("post_attention_layernorm", 0, width)
	stacked("mlp.gate_proj", 0, inner, width)
	stacked("mlp.down_proj", 0, width, inner)
	stacked("mlp.up_proj", 0, inner, width)
	c.put("model.norm.weight", c.take(width), width)
	if left := int64(len(c.raw)); left != 4*length*head { // the tables of cosines and sines
		t.Fatalf("%d bytes are left", left)
	}
	return c.write(t, fmt.Sprintf(`{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": %d, "hidden_size": %d,
		"intermediate_size": %d, "num_hidden_layers": %d, "num_attention_heads": %d, "num_key_value_heads": %d, "max_position_embeddings": %d,
		"rms_norm_eps": 1e-5, "tie_word_embeddings": true, "bos_token_id": 1, "eos_token_id": 2}`, vocabulary, width, inner, layers, heads, kv, length))
}

// halves moves the rows of heads from pairs (2i, 2i+1) to pairs (i, i+width/2).
func halves(w []float32, heads, width int64) []float32 {
	rows := heads * width
	columns := int64(len(w)) / rows
	out := make([]float32, 0, len(w))
	for h := range heads {
		for _, odd := range []int64{0, 1} {
			for i := range width / 2 {
				row := h*width + 2*i + odd
				out = append(out, w[row*columns:(row+1)*columns]...)
			}
		}
	}
	return out
}

// The greedy text of 200 steps is llama2.c's, letter by letter, computed from the
// whole text at every step and with a cache.
func TestStories260KTellsItsStory(t *testing.T) {
	if testing.Short() {
		t.Skip("computes for long and finds nothing under the race detector")
	}
	test := shared(t, "stories260K", "llama2.c-test_all.py.txt")
	literal := regexp.MustCompile(`expected_stdout = b'(.*)'\n`).FindSubmatch(test)
	if literal == nil {
		t.Fatal("the expected text is not where it was")
	}
	want := strings.NewReplacer(`\n`, "\n", `\'`, "'").Replace(string(literal[1]))
	pieces := llamaPieces(t)
	dir := stories260K(t)
	for name, next := range map[string]func() func([]int64) []float32{
		"recomputed": func() func([]int64) []float32 { return recomputed(t, converted(t, dir, convert.Options{})) },
		"cached":     func() func([]int64) []float32 { return cached(t, converted(t, dir, convert.Options{Cache: true})) },
		"cached, stored as float32 beside the model": func() func([]int64) []float32 {
			return cached(t, converted(t, dir, convert.Options{Cache: true, External: true}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			logits, ids := next(), []int64{1}
			var text strings.Builder
			for range 200 {
				z := logits(ids)
				best := int64(0)
				for i, v := range z {
					if v > z[best] {
						best = int64(i)
					}
				}
				if best == 1 {
					break
				}
				piece := pieces[best]
				if ids[len(ids)-1] == 1 {
					piece = strings.TrimPrefix(piece, " ")
				}
				text.WriteString(piece)
				ids = append(ids, best)
			}
			if text.String() != want {
				t.Errorf("told\n%s\nwant\n%s", text.String(), want)
			}
		})
	}
}

// recomputed gives the logits behind ids by a run over all of them.
func recomputed(t *testing.T, m *runtime.Model) func([]int64) []float32 {
	return func(ids []int64) []float32 {
		shape := []int64{1, int64(len(ids))}
		mask := ints(t, shape, slices.Repeat([]int64{1}, len(ids)))
		logits := data(t, run(t, m, map[string]*ort.Tensor{"input_ids": ints(t, shape, ids), "attention_mask": mask})["logits"])
		return logits[len(logits)-len(logits)/len(ids):]
	}
}

// cached gives them by a run over the last id alone.
func cached(t *testing.T, m *runtime.Model) func([]int64) []float32 {
	past := map[string]*ort.Tensor{}
	for _, in := range m.File().Graph().Inputs {
		if strings.HasPrefix(in.Name, "past") {
			past[in.Name] = floats(t, []int64{1, in.Dims[1].Value, 0, in.Dims[3].Value}, nil)
		}
	}
	return func(ids []int64) []float32 {
		n := len(ids)
		past["input_ids"], past["position_ids"] = ints(t, []int64{1, 1}, ids[n-1:]), ints(t, []int64{1, 1}, []int64{int64(n - 1)})
		past["attention_mask"] = ints(t, []int64{1, int64(n)}, slices.Repeat([]int64{1}, n))
		out := run(t, m, past)
		for name, x := range out {
			if rest, ok := strings.CutPrefix(name, "present"); ok {
				past["past_key_values"+rest] = x
			}
		}
		return data(t, out["logits"])
	}
}

// llamaPieces reads tok512.bin: the longest length, then score, length and bytes
// of each piece; <0xHH> is a byte.
func llamaPieces(t *testing.T) []string {
	raw := shared(t, "stories260K", "tok512.bin")[4:]
	var out []string
	for len(raw) > 0 {
		n := int(binary.LittleEndian.Uint32(raw[4:]))
		piece := string(raw[8 : 8+n])
		raw = raw[8+n:]
		var b byte
		if _, err := fmt.Sscanf(piece, "<0x%02X>", &b); err == nil {
			piece = string([]byte{b})
		}
		out = append(out, piece)
	}
	return out
}
