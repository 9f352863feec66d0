package runtime

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// chunkings are ways of computing logits: records in one chunk, in several, in more than there are; words
// in one chunk, in several that do not divide the vocabulary evenly.
var chunkings = []ghost.HeadChunks{{Records: 3, Words: 2}, {Words: 3}, {Records: 1, Words: 1}, {Records: 9, Words: 5}, {Words: 1}, {Records: 2, Words: 7}}

// A headCase is a model with a batch that its tokens are scored on.
type headCase struct {
	name    string
	model   *Model
	batch   *Batch
	options GradNormsOptions
}

// headCases are models of testdata whose loss is one over tokens: GPT-2, whose head is its token table, and every
// headStride-th of the matrix.
func headCases(t *testing.T) (out []headCase) {
	t.Helper()
	for _, name := range []string{"gpt2-ts17", "gpt2-base-dyn18"} {
		f := openFixture(t, name)
		c := f.load(t, f.caseLike("-b7-t33"))
		out = append(out, headCase{f.name, f.model, f.batch(t, c), GradNormsOptions{Loss: c.Loss}})
	}
	seen := 0
	paths, err := filepath.Glob(matrix + "/*/case.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		var c struct {
			Loss, Output string
			Batch        json.RawMessage
			Freeze       []string
		}
		readJSON(t, path, &c)
		if c.Loss != "causal-lm" && c.Loss != "masked-lm" && c.Loss != "seq2seq" {
			continue
		}
		if seen++; seen%headStride != 0 {
			continue
		}
		m, err := Open(filepath.Dir(path), Options{Threads: 1, Output: c.Output})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		b, err := ParseBatch(c.Batch)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, headCase{filepath.Base(filepath.Dir(path)), m, b, GradNormsOptions{Loss: c.Loss, Freeze: c.Freeze}})
	}
	if seen < 30 {
		t.Fatalf("%d models with a loss over tokens", seen)
	}
	return out
}

// In chunks, losses, norms, factors and clipped sums are what they are of whole logits, and what the loop
// makes of them.
func TestHeadInChunks(t *testing.T) {
	cases := headCases(t)
	if testing.Short() {
		cases = slices.DeleteFunc(cases, func(c headCase) bool {
			return !slices.Contains([]string{"gpt2-ts17", "llama-ts17-ortopt", "t5-optimum"}, c.name)
		})
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.options.ClipNorm = 0.7 * slices.Max(c.run(t, GradNormsOptions{ClipNorm: 1}).Norm)
			whole := c.run(t, GradNormsOptions{})
			loop := c.run(t, GradNormsOptions{Method: "loop"})
			for _, chunks := range []ghost.HeadChunks{chunkings[i%6], chunkings[(i+1)%6]} {
				c.chunked(t, chunks)
				got := c.run(t, GradNormsOptions{headChunks: &chunks})
				compareGradients(t, fmt.Sprintf("%+v, whole", chunks), got, whole, 1e-5)
				compareGradients(t, fmt.Sprintf("%+v, loop", chunks), got, loop, 1e-4)
			}
			low := c.run(t, GradNormsOptions{headChunks: &chunkings[i%6], Memory: ghost.LowMemory})
			compareGradients(t, fmt.Sprintf("%+v, low memory", chunkings[i%6]), low, whole, 1e-5)
		})
	}
}

// run runs the case with its options and these.
func (c headCase) run(t *testing.T, o GradNormsOptions) *GradNorms {
	t.Helper()
	o.Loss, o.Freeze, o.Trainable, o.Sum, o.PerParameter = c.options.Loss, c.options.Freeze, c.options.Trainable, true, true
	if o.ClipNorm == 0 {
		o.ClipNorm = c.options.ClipNorm
	}
	r, err := c.model.GradNorms(t.Context(), c.batch, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// chunked makes sure that the logits are computed in those chunks.
func (c headCase) chunked(t *testing.T, chunks ghost.HeadChunks) {
	t.Helper()
	p, err := c.model.Prepared()
	if err != nil {
		t.Fatal(err)
	}
	program, err := p.Compile(ghost.Spec{Loss: c.options.Loss, ClipNorm: 1, Length: c.batch.length(), Freeze: c.options.Freeze, Trainable: c.options.Trainable, HeadChunks: &chunks})
	if err != nil {
		t.Fatal(err)
	}
	if program.HeadChunks == nil {
		t.Errorf("the logits are whole: %s", program.WholeHead)
	}
}

// compareGradients compares two ways to the same numbers.
func compareGradients(t *testing.T, how string, got, want *GradNorms, tolerance float64) {
	t.Helper()
	for i := range want.Norm {
		if !within(got.Loss[i], want.Loss[i], tolerance, 1e-6) || !within(got.Norm[i], want.Norm[i], tolerance, 0) || !within(got.Factor[i], want.Factor[i], tolerance, 0) {
			t.Errorf("%s: record %d: loss %g norm %g factor %g, want %g, %g and %g", how, i, got.Loss[i], got.Norm[i], got.Factor[i], want.Loss[i], want.Norm[i], want.Factor[i])
		}
	}
	for name, norms := range want.Norms {
		for i := range norms {
			if !within(got.Norms[name][i], norms[i], tolerance, 1e-6*want.Norm[i]) {
				t.Errorf("%s: %s, record %d: norm %g, want %g", how, name, i, got.Norms[name][i], norms[i])
			}
		}
	}
	if d := relativeDistance(got.Sum, want.Sum); d > tolerance || len(got.Sum) != len(want.Sum) {
		t.Errorf("%s: the sums differ by %.2g", how, d)
	}
}

// A record that is not finite leaves no bit behind where logits come in chunks.
func TestNonFiniteRecordsLeaveNoTraceInChunks(t *testing.T) {
	for _, spec := range []ghost.Spec{
		{HeadChunks: &ghost.HeadChunks{Records: 2, Words: 3}},
		{HeadChunks: &ghost.HeadChunks{Words: 2}},
		{HeadChunks: &ghost.HeadChunks{Records: 3, Words: 1}, Memory: ghost.LowMemory},
	} {
		t.Run(fmt.Sprintf("%+v %s", *spec.HeadChunks, spec.Memory), func(t *testing.T) {
			testNonFinite(t, openFixture(t, "gpt2-optimum"), spec)
		})
	}
}

// headGraphs are small language models whose heads are written in several ways.
func headGraphs() map[string]*irtest.Builder {
	body := func(g *irtest.Builder) *irtest.Builder {
		return g.Input("input_ids", ir.Int64, "batch", "length").Output("logits").Fill("table", 13, 4).Fill("w", 4, 4).
			Node("e = Gather(table,input_ids)").Node("a = MatMul(e,w)").Node("h = Tanh(a)")
	}
	flat := func(g *irtest.Builder) *irtest.Builder {
		return body(g).Ints("rows", []int64{2}, -1, 4).Ints("back", []int64{3}, 0, -1, 13).Node("f = Reshape(h,rows)").
			Node("shape = Shape(input_ids)").Ints("words", []int64{1}, 13).Node("full = Concat(shape,words)", ir.Attrs{"axis": int64(0)})
	}
	return map[string]*irtest.Builder{
		"tied":                  body(irtest.New(18)).Node("v = Transpose(table)").Node("logits = MatMul(h,v)"),
		"of its own":            body(irtest.New(18)).Fill("v", 4, 13).Node("logits = MatMul(h,v)"),
		"tied, with a vector":   body(irtest.New(18)).Fill("b", 13).Node("v = Transpose(table)").Node("z = MatMul(h,v)").Node("logits = Add(b,z)"),
		"a vector of rank 2":    body(irtest.New(18)).Fill("v", 4, 13).Fill("b", 1, 13).Node("z = MatMul(h,v)").Node("logits = Sub(z,b)"),
		"scaled":                body(irtest.New(18)).Fill("v", 4, 13).Floats("c", nil, 0.5).Node("z = MatMul(h,v)").Node("logits = Mul(z,c)"),
		"scaled after a vector": body(irtest.New(18)).Fill("v", 4, 13).Fill("b", 13).Floats("c", nil, 4).Node("z = MatMul(h,v)").Node("y = Add(z,b)").Node("logits = Div(y,c)"),
		"capped":                body(irtest.New(18)).Fill("b", 13).Floats("c", nil, 3).Node("v = Transpose(table)").Node("z = MatMul(h,v)").Node("y = Div(z,c)").Node("k = Add(y,b)").Node("u = Tanh(k)").Node("logits = Mul(u,c)"),
		"a vector twice":        body(irtest.New(18)).Fill("v", 4, 13).Fill("b", 13).Node("z = MatMul(h,v)").Node("y = Add(z,b)").Node("u = Tanh(y)").Node("logits = Sub(u,b)"),
		"Gemm of all rows":      flat(irtest.New(18)).Fill("v", 13, 4).Fill("b", 13).Node("z = Gemm(f,v,b)", ir.Attrs{"transB": int64(1), "alpha": float32(0.7)}).Node("logits = Reshape(z,full)"),
		"Gemm, tied":            flat(irtest.New(18)).Node("z = Gemm(f,table)", ir.Attrs{"transB": int64(1)}).Node("logits = Reshape(z,full)"),
		"a fixed matrix":        body(irtest.New(18)).Fill("v", 4, 13).Fill("b", 13).Node("c = Identity(v)").Node("z = MatMul(h,c)").Node("logits = Add(z,b)"),
		"words looked up twice": body(irtest.New(18)).Input("others", ir.Int64, "batch", "length").Node("o = Gather(table,others)").Node("k = Add(h,o)").Node("v = Transpose(table)").Node("logits = MatMul(k,v)"),
	}
}

// Heads however they are written, records that have nothing to score, and every way of clipping.
func TestHeadsInChunksAgainstLoop(t *testing.T) {
	options := []GradNormsOptions{{}, {TwoPass: true}, {ClipPer: ghost.PerParameter}, {Clip: ghost.Automatic, ClipGamma: 0.02}, {ClipPer: ghost.PerParameter, ClipShares: ghost.SizeShares, Clip: ghost.Automatic}}
	frozen := [][]string{nil, {"table"}, {"w"}, {"v"}, {"b"}}
	rng := rand.New(rand.NewPCG(3, 4))
	for i, name := range slices.Sorted(maps.Keys(headGraphs())) {
		t.Run(name, func(t *testing.T) {
			g := headGraphs()[name]
			m := modelOf(t, g)
			for k, chunks := range chunkings {
				if (i+k)%chunkingStride != 0 {
					continue
				}
				for _, freeze := range [][]string{nil, frozen[(i+k)%5]} {
					o := options[(i+k)%5]
					if len(freeze) > 0 && g.Graph().Inits[freeze[0]] == nil {
						continue
					}
					o.Freeze = freeze
					c := headCase{name, m, tokenBatch(t, g.Graph(), rng, 5, 6), o}
					c.options.Loss = []string{"causal-lm", "masked-lm"}[k%2]
					c.chunked(t, chunks)
					c.againstLoop(t, chunks, o)
				}
			}
		})
	}
}

func (c headCase) againstLoop(t *testing.T, chunks ghost.HeadChunks, o GradNormsOptions) {
	t.Helper()
	o.Loss, o.Sum, o.PerParameter, o.ClipNorm = c.options.Loss, true, true, 0.2
	o.headChunks = &chunks
	got, err := c.model.GradNorms(t.Context(), c.batch, o)
	if err != nil {
		t.Fatal(err)
	}
	o.Method, o.TwoPass, o.headChunks = "loop", false, nil
	want, err := c.model.GradNorms(t.Context(), c.batch, o)
	if err != nil {
		t.Fatal(err)
	}
	if o.ClipPer == ghost.Whole {
		compareGradients(t, fmt.Sprintf("%+v %+v", chunks, o), got, want, 1e-4)
	}
	if d := relativeDistance(got.Sum, want.Sum); d > 1e-4 || len(want.Sum) == 0 {
		t.Errorf("%+v %+v: the sums differ by %.2g", chunks, o, d)
	}
}

// tokenBatch draws tokens and labels for every input of a graph; the first record has nothing to score.
func tokenBatch(t *testing.T, g *ir.Graph, rng *rand.Rand, records, length int64) *Batch {
	t.Helper()
	draw := func(score bool) *ort.Tensor {
		ids := make([]int64, records*length)
		for i := range ids {
			ids[i] = rng.Int64N(13)
			if score && (i < int(length) || rng.IntN(4) == 0) {
				ids[i] = -100
			}
		}
		tensor, err := ort.NewTensor([]int64{records, length}, ids)
		if err != nil {
			t.Fatal(err)
		}
		return tensor
	}
	b := &Batch{Inputs: map[string]*ort.Tensor{}, Loss: map[string]*ort.Tensor{"labels": draw(true)}}
	for _, in := range g.Inputs {
		b.Inputs[in.Name] = draw(false)
	}
	return b
}

// Where the label's probability underflows the loss still is what whole logits give, for its row alone; a word
// outside of the vocabulary is refused, whole or in chunks.
func TestScoresInChunksAtTheirLimits(t *testing.T) {
	const records, length = 3, 2
	g := irtest.New(18).Input("input_ids", ir.Int64, "batch", "length").Output("logits").Floats("table", []int64{3, 1}, 1, 20, 0.5).
		Floats("v", []int64{1, 4}, 0, 1, 10, -10).Node("h = Gather(table,input_ids)").Node("logits = MatMul(h,v)")
	m := modelOf(t, g)
	tensor := func(v ...int64) *ort.Tensor {
		x, err := ort.NewTensor([]int64{records, length}, v)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	c := headCase{model: m, options: GradNormsOptions{Loss: "masked-lm", ClipNorm: 0.1}}
	for _, chunks := range chunkings {
		c.batch = &Batch{Inputs: map[string]*ort.Tensor{"input_ids": tensor(0, 1, 1, 1, 2, 0)}, Loss: map[string]*ort.Tensor{"labels": tensor(3, 2, 3, 0, 1, -100)}}
		got, want := c.run(t, GradNormsOptions{headChunks: &chunks}), c.run(t, GradNormsOptions{})
		if want.Loss[1] < 250 {
			t.Fatalf("a loss of %g underflows nowhere", want.Loss[1])
		}
		compareGradients(t, fmt.Sprintf("%+v", chunks), got, want, 1e-5)
		c.batch.Loss["labels"] = tensor(3, 2, 4, 0, 1, -100)
		for _, h := range []*ghost.HeadChunks{nil, &chunks} {
			if _, err := m.GradNorms(t.Context(), c.batch, GradNormsOptions{Loss: "masked-lm", ClipNorm: 1, headChunks: h}); err == nil {
				t.Errorf("%+v: a label outside of the vocabulary was scored", h)
			}
		}
	}
}

// What chunks can't give is computed of whole logits, and the program says why.
func TestHeadsThatStayWhole(t *testing.T) {
	body := func() *irtest.Builder {
		return irtest.New(18).Input("input_ids", ir.Int64, "batch", "length").Output("logits").Fill("table", 13, 4).Node("h = Gather(table,input_ids)")
	}
	for name, c := range map[string]struct {
		graph *irtest.Builder
		why   string
		spec  ghost.Spec
	}{
		"a softmax behind":           {body().Fill("v", 4, 13).Node("z = MatMul(h,v)").Node("logits = Softmax(z)"), "Softmax", ghost.Spec{}},
		"a scale that learns":        {body().Fill("v", 4, 13).Fill("s", 13).Node("z = MatMul(h,v)").Node("logits = Mul(z,s)"), "Mul", ghost.Spec{}},
		"a product of two matrices":  {body().Fill("v", 4, 2).Fill("u", 2, 13).Node("w = MatMul(v,u)").Node("logits = MatMul(h,w)"), "computed from trained parameters", ghost.Spec{}},
		"the matrix in another use":  {body().Node("v = Transpose(table)").Node("p = MatMul(h,v)").Node("q = MatMul(p,table)").Node("logits = MatMul(q,v)"), "too", ghost.Spec{}},
		"products in half precision": {body().Node("v = Transpose(table)").Node("logits = MatMul(h,v)"), "bf16", ghost.Spec{Precision: ghost.Brain, Emulated: true}},
	} {
		p, err := modelOf(t, c.graph).Prepared()
		if err != nil {
			t.Fatal(err)
		}
		c.spec.Loss, c.spec.ClipNorm, c.spec.HeadChunks = "causal-lm", 1, &ghost.HeadChunks{Words: 2}
		program, err := p.Compile(c.spec)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if program.HeadChunks != nil || !strings.Contains(program.WholeHead, c.why) {
			t.Errorf("%s: chunks %v, why not: %q", name, program.HeadChunks, program.WholeHead)
		}
	}
}
