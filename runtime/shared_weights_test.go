package runtime

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// width is the size of the hidden state, which every layer keeps, so that any
// weight can stand in any place. vocabulary and length are coprime to it.
const (
	width      = 6
	vocabulary = 11
	length     = 5
)

// layers take the hidden state h [B,T,width] to the next one, out, with weights
// from a pool of few, so that most are used several times and in several ways.
var layers = []func(b *irtest.Builder, h, out string, rng *rand.Rand){
	func(b *irtest.Builder, h, out string, rng *rand.Rand) {
		b.Node(fmt.Sprintf("%s = MatMul(%s,%s)", out, h, pick(rng, "square")))
	},
	func(b *irtest.Builder, h, out string, rng *rand.Rand) { // the same weights, transposed
		b.Node(fmt.Sprintf("%s_t = Transpose(%s)", out, pick(rng, "square")), ir.Attrs{"perm": []int64{1, 0}})
		b.Node(fmt.Sprintf("%s = MatMul(%s,%s_t)", out, h, out))
	},
	func(b *irtest.Builder, h, out string, rng *rand.Rand) {
		b.Node(fmt.Sprintf("%s = Add(%s,%s)", out, h, pick(rng, "vector")))
	},
	func(b *irtest.Builder, h, out string, rng *rand.Rand) {
		b.Node(fmt.Sprintf("%s = Mul(%s,%s)", out, h, pick(rng, "vector")))
	},
	func(b *irtest.Builder, h, out string, rng *rand.Rand) {
		b.Node(fmt.Sprintf("%s = LayerNormalization(%s,%s,%s)", out, h, pick(rng, "vector"), pick(rng, "vector")), ir.Attrs{"axis": int64(-1)})
	},
	func(b *irtest.Builder, h, out string, rng *rand.Rand) { b.Node(fmt.Sprintf("%s = Tanh(%s)", out, h)) },
	func(b *irtest.Builder, h, out string, rng *rand.Rand) { // through the token table and back
		b.Node(fmt.Sprintf("%s_l = MatMul(%s,table_t)", out, h))
		b.Node(fmt.Sprintf("%s_p = Softmax(%s_l)", out, out), ir.Attrs{"axis": int64(-1)})
		b.Node(fmt.Sprintf("%s = MatMul(%s_p,table)", out, out))
	},
	func(b *irtest.Builder, h, out string, rng *rand.Rand) { // attention over the record's own tokens
		b.Node(fmt.Sprintf("%s_q = MatMul(%s,%s)", out, h, pick(rng, "square")))
		b.Node(fmt.Sprintf("%s_k = Transpose(%s)", out, h), ir.Attrs{"perm": []int64{0, 2, 1}})
		b.Node(fmt.Sprintf("%s_s = MatMul(%s_q,%s_k)", out, out, out))
		b.Node(fmt.Sprintf("%s_a = Softmax(%s_s)", out, out), ir.Attrs{"axis": int64(-1)})
		b.Node(fmt.Sprintf("%s_o = MatMul(%s_a,%s)", out, out, h))
		b.Node(fmt.Sprintf("%s = Add(%s_o,%s)", out, out, h))
	},
	func(b *irtest.Builder, h, out string, rng *rand.Rand) { // one number added to everything
		b.Node(fmt.Sprintf("%s = Add(%s,one)", out, h))
	},
	func(b *irtest.Builder, h, out string, rng *rand.Rand) { // the table read once more
		b.Node(fmt.Sprintf("%s_e = Gather(table,input_ids)", out))
		b.Node(fmt.Sprintf("%s = Add(%s,%s_e)", out, h, out))
	},
}

func pick(rng *rand.Rand, pool string) string { return fmt.Sprintf("%s%d", pool, rng.IntN(2)) }

// randomModel is a language model with tied embedding and head around a random
// stack of layers.
func randomModel(t *testing.T, rng *rand.Rand, depth int) *Model {
	t.Helper()
	b := irtest.New(18).Input("input_ids", ir.Int64, "batch", "sequence").Output("logits")
	random := func(name string, dims ...int64) {
		n := int64(1)
		for _, d := range dims {
			n *= d
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(rng.NormFloat64() * 0.5)
		}
		b.Floats(name, dims, v...)
	}
	random("table", vocabulary, width)
	for i := range 2 {
		random(fmt.Sprintf("square%d", i), width, width)
		random(fmt.Sprintf("vector%d", i), width)
	}
	random("one", 1)
	b.Node("table_t = Transpose(table)", ir.Attrs{"perm": []int64{1, 0}}).Node("h0 = Gather(table,input_ids)")
	for i := range depth {
		layers[rng.IntN(len(layers))](b, fmt.Sprintf("h%d", i), fmt.Sprintf("h%d", i+1), rng)
	}
	b.Node(fmt.Sprintf("logits = MatMul(h%d,table_t)", depth))
	return modelOf(t, b)
}

// modelOf opens a graph as if it had been read from a file.
func modelOf(t *testing.T, b *irtest.Builder) *Model {
	t.Helper()
	g := b.Graph()
	g.Prune()
	data, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	file, err := ir.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	m := &Model{file: file, options: Options{Threads: 1}}
	t.Cleanup(func() { m.Close() })
	return m
}

// Whatever weights are shared between whatever uses, the ghost norms and the
// clipped sums are the loop's. In float64: a gradient may be a small difference
// of large terms, of which float32 would leave four digits or fewer.
func TestSharedWeightsInRandomGraphs(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	graphs := 60
	if testing.Short() {
		graphs = 10
	}
	for i := range graphs {
		m := randomModel(t, rng, i%9)
		b := randomBatch(t, rng, 1+rng.IntN(4))
		options := GradNormsOptions{Loss: "causal-lm", PerParameter: true, Sum: true, ClipNorm: 0.5, Clip: []ghost.ClipRule{ghost.Abadi, ghost.Automatic}[i%2], TwoPass: i%3 == 0, rewrite: inDouble}
		fast, err := m.GradNorms(t.Context(), b, options)
		if err != nil {
			t.Fatalf("graph %d: %v", i, err)
		}
		options.Method = "loop"
		loop, err := m.GradNorms(t.Context(), b, options)
		if err != nil {
			t.Fatalf("graph %d: %v", i, err)
		}
		for k := range loop.Norm {
			if !within(fast.Norm[k], loop.Norm[k], 1e-6, 1e-12) {
				t.Errorf("graph %d, record %d: ghost %g, loop %g", i, k, fast.Norm[k], loop.Norm[k])
			}
		}
		for name, v := range loop.Norms {
			for k := range v {
				if !within(fast.Norms[name][k], v[k], 1e-6, 1e-12) {
					t.Errorf("graph %d, %s, record %d: ghost %g, loop %g", i, name, k, fast.Norms[name][k], v[k])
				}
			}
		}
		if d := relativeDistance(fast.Sum, loop.Sum); d > 1e-6 {
			t.Errorf("graph %d: the clipped sum is %.2g from the loop's", i, d)
		}
	}
}

func randomBatch(t *testing.T, rng *rand.Rand, rows int) *Batch {
	t.Helper()
	ids, labels := make([]int64, rows*length), make([]int64, rows*length)
	for i := range ids {
		ids[i] = rng.Int64N(vocabulary)
		labels[i] = ids[i]
		if rng.IntN(4) == 0 {
			labels[i] = -100
		}
	}
	b := &Batch{Inputs: map[string]*ort.Tensor{}, Loss: map[string]*ort.Tensor{}}
	var err error
	if b.Inputs["input_ids"], err = ort.NewTensor([]int64{int64(rows), length}, ids); err != nil {
		t.Fatal(err)
	}
	if b.Loss["labels"], err = ort.NewTensor([]int64{int64(rows), length}, labels); err != nil {
		t.Fatal(err)
	}
	return b
}
