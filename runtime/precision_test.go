package runtime

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// halfOptions are those of GradNorms in a half precision on the processor. It has no products of bf16, and computes those
// of fp16 in fp32 without rounding the factors first: both are emulated.
func halfOptions(loss string, p ghost.Precision) GradNormsOptions {
	return GradNormsOptions{Loss: loss, Precision: p, onCPU: true, emulated: true}
}

// errors of rounding products to 11 and 8 bits, a few roundings deep.
var halfTolerance = map[ghost.Precision]float64{ghost.Half: 0.01, ghost.Brain: 0.08}

// Losses, norms and sums in a half precision are those of fp32 but for its rounding, and they are not the same: something
// was rounded.
func TestHalfPrecision(t *testing.T) {
	for _, f := range halfFixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			c := f.load(t, caseWith(t, f, "-b7-t16"))
			b := f.batch(t, c)
			want, err := f.model.GradNorms(t.Context(), b, GradNormsOptions{Loss: c.Loss, Sum: true, ClipNorm: 1e-3})
			if err != nil {
				t.Fatal(err)
			}
			for p, tolerance := range halfTolerance {
				o := halfOptions(c.Loss, p)
				o.Sum, o.ClipNorm = true, 1e-3
				got, err := f.model.GradNorms(t.Context(), b, o)
				if err != nil {
					t.Fatalf("%s: %v", p, err)
				}
				if slices.Equal(got.Loss, want.Loss) && slices.Equal(got.Norm, want.Norm) {
					t.Errorf("%s: nothing was rounded", p)
				}
				for i := range want.Norm {
					if !(math.Abs(got.Loss[i]-want.Loss[i]) <= tolerance*(1+math.Abs(want.Loss[i]))) || !(math.Abs(got.Norm[i]-want.Norm[i]) <= tolerance*want.Norm[i]) {
						t.Errorf("%s: record %d has loss %g and norm %g, in fp32 %g and %g", p, i, got.Loss[i], got.Norm[i], want.Loss[i], want.Norm[i])
					}
				}
				if d := sumDistance(got.Sum, want.Sum); !(d <= 2*tolerance*o.ClipNorm*float64(len(want.Norm))) {
					t.Errorf("%s: the sums are %g apart", p, d)
				}
			}
		})
	}
}

// The privacy proof, record by record: what a record adds to the sum has the norm that was computed for it times its
// factor, to the last bits of fp32, however coarsely the activations were rounded.
func TestHalfPrecisionNormOfContribution(t *testing.T) {
	var worst largest
	t.Run("models", func(t *testing.T) {
		for _, f := range halfFixtures(t) {
			t.Run(f.name, func(t *testing.T) {
				t.Parallel()
				c := f.load(t, caseWith(t, f, "-b7-t16"))
				b := f.batch(t, c)
				if !slicable(b) {
					t.Skip("its inputs are not by record")
				}
				for _, p := range []ghost.Precision{ghost.Half, ghost.Brain} {
					for i := range min(2, rowsIn(b)) {
						o := halfOptions(c.Loss, p)
						o.Sum, o.ClipNorm = true, 1e-4
						r, err := f.model.GradNorms(t.Context(), rowsOf(t, b, i, i+1), o)
						if err != nil {
							t.Fatal(err)
						}
						if r.Norm[0] == 0 {
							continue
						}
						sum := 0.0
						for _, v := range r.Sum {
							sum += squares(v)
						}
						want := r.Norm[0] * r.Factor[0]
						worst.add(math.Abs(math.Sqrt(sum)-want)/o.ClipNorm, fmt.Sprintf("%s in %s", f.name, p))
					}
				}
			})
		}
	})
	worst.check(t, "norm of a record's clipped gradient in a half precision")
}

// halfFixtures are every model of testdata/models under the build tag slow, and every fourth without it.
func halfFixtures(t *testing.T) []*fixture {
	all := fixtures(t)
	if rhoStride == 1 {
		return all
	}
	var some []*fixture
	for i := 0; i < len(all); i += 4 {
		some = append(some, all[i])
	}
	return some
}

// caseWith is a fixture's case whose name has that end, or its last.
func caseWith(t *testing.T, f *fixture, end string) string {
	t.Helper()
	for _, name := range f.info.Cases {
		if strings.HasSuffix(name, end) {
			return name
		}
	}
	return f.info.Cases[len(f.info.Cases)-1]
}

// slicable reports a batch of int64 tensors whose first axis counts records.
func slicable(b *Batch) bool {
	n := rowsIn(b)
	for _, part := range []map[string]*ort.Tensor{b.Inputs, b.Loss} {
		for _, x := range part {
			if x.DType() != ort.Int64 || len(x.Shape()) == 0 || x.Shape()[0] != n {
				return false
			}
		}
	}
	return n > 0
}

func rowsIn(b *Batch) int64 {
	for _, x := range b.Loss {
		if len(x.Shape()) > 0 {
			return x.Shape()[0]
		}
	}
	return 0
}

// What the proof needs of a step, as TestRhoOfRepackedSteps: with runs of one shape a record more, packed first, changes
// the sum by its own clipped gradient and by what fp32 leaves, although every other record moves to another place.
func TestHalfPrecisionRepacked(t *testing.T) {
	var worst largest
	t.Run("models", func(t *testing.T) {
		for _, name := range []string{"gpt2-optimum", "roberta-dyn18"} {
			for _, p := range []ghost.Precision{ghost.Half, ghost.Brain} {
				if rhoStride > 1 && (name == "gpt2-optimum") != (p == ghost.Half) {
					continue // make slow-test takes both in both
				}
				t.Run(name+" in "+string(p), func(t *testing.T) {
					t.Parallel()
					f := openFixture(t, name)
					worst.add(errorOfHalfRepacking(t, f, 24, 12, halfOptions(textLoss(f), p)), name)
				})
			}
		}
	})
	worst.check(t, "‖(S − S′) − g‖ of a step in a half precision")
}

// errorOfHalfRepacking packs records 0..n-1 and 1..n-1 into runs of eight rows, the last filled up with record n.
func errorOfHalfRepacking(t *testing.T, f *fixture, records, length int64, o GradNormsOptions) float64 {
	t.Helper()
	const rows = 8
	all := randomRecords(t, f, records+rows, length)
	r, err := f.model.GradNorms(t.Context(), rowsOf(t, all, 0, rows), o)
	if err != nil {
		t.Fatal(err)
	}
	o.ClipNorm, o.Sum = clipAll(r.Norm)/2, true
	rest := map[string][]float64{}
	for lo := int64(0); lo < records; lo += rows {
		addSum(t, f, rowsOf(t, all, lo, lo+rows), o, 1, rest)      // S: 0-7, 8-15, …
		addSum(t, f, rowsOf(t, all, lo+1, lo+rows+1), o, -1, rest) // S′: 1-8, 9-16, …
	}
	// S has record 0 that S′ has not, and S′ has record n.
	single := func(at int64, sign float64) {
		g := rowsOf(t, all, at, at+rows) // in a run of the same shape
		with, without := map[string][]float64{}, map[string][]float64{}
		addSum(t, f, g, o, 1, with)
		addSum(t, f, dropFirst(t, f, g), o, 1, without)
		for name, v := range with {
			for i := range v {
				rest[name][i] -= sign * (v[i] - without[name][i])
			}
		}
	}
	single(0, 1)
	single(records, -1)
	square := 0.0
	for _, v := range rest {
		for _, x := range v {
			square += x * x
		}
	}
	return math.Sqrt(square) / o.ClipNorm
}

// dropFirst replaces the first record by one without a gradient, in a run of the same shape: nothing of it is scored.
func dropFirst(t *testing.T, f *fixture, b *Batch) *Batch {
	t.Helper()
	if textLoss(f) == "classify" {
		t.Fatal("a class is always scored")
	}
	v, err := ort.Data[int64](b.Loss["labels"])
	if err != nil {
		t.Fatal(err)
	}
	shape := b.Loss["labels"].Shape()
	v = slices.Clone(v)
	for i := range int(shape[1]) {
		v[i] = -100
	}
	labels, err := ort.NewTensor(shape, v)
	if err != nil {
		t.Fatal(err)
	}
	return &Batch{Inputs: b.Inputs, Loss: map[string]*ort.Tensor{"labels": labels}}
}

// A run in a half precision learns like one in fp32, and its checks pass: of the padding's gradient, and that records
// don't depend on their place.
func TestHalfPrecisionFinetune(t *testing.T) {
	dir, seed := crashDir(t), uint64(3)
	weights := map[ghost.Precision]map[string][]float32{}
	for _, p := range []ghost.Precision{ghost.Single, ghost.Half, ghost.Brain} {
		o := crashOptions(dir)
		o.Out, o.Seed, o.Precision, o.halfOnCPU, o.emulated = filepath.Join(dir, string(p)), &seed, string(p), true, true
		o.Optimizer, o.LearningRate, o.Steps = "sgd", 0.1, 3
		if _, err := Finetune(t.Context(), o); err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		text, err := os.ReadFile(filepath.Join(o.Out, "release", "statement.txt"))
		if err != nil || strings.Contains(strings.Join(strings.Fields(string(text)), " "), "products in "+string(p)) != p.IsHalf() {
			t.Errorf("%s: %v; the statement:\n%s", p, err, text)
		}
		weights[p] = weightsOf(t, filepath.Join(o.Out, "model.onnx"))
	}
	// The noise is the same; what differs is what rounding did to three clipped sums of at most eight records or so.
	limit := 0.1 * 3 * crashOptions(dir).ExpectedBatch * 0.1
	for _, p := range []ghost.Precision{ghost.Half, ghost.Brain} {
		d := sumDistance(weights[p], weights[ghost.Single])
		if !(d > 0 && d < limit*halfTolerance[p]) {
			t.Errorf("%s: the weights are %g from those of fp32, want at most %g", p, d, limit*halfTolerance[p])
		}
	}
}

// A record that leaves the range of fp16, forward or in the backward pass alone, contributes zero and is not finite; the
// others keep their bits.
func TestHalfPrecisionOverflow(t *testing.T) {
	m := modelOf(t, irtest.New(18).Input("x", ir.Float32, "batch", "tokens", 4).Output("y").
		Fill("w", 4, 6).Fill("v", 6, 2).Node("h = MatMul(x,w)").Node("t = Tanh(h)").Node("y = MatMul(t,v)"))
	const records, tokens = 3, 5
	run := func(scaleX, scaleLabel float32) *GradNorms {
		t.Helper()
		x, label := make([]float32, records*tokens*4), make([]float32, records*tokens*2)
		for i := range x {
			x[i] = float32(i%7-3) / 4
		}
		for i := range x[tokens*4 : 2*tokens*4] {
			x[tokens*4+i] *= scaleX
		}
		for i := range label {
			label[i] = float32(i%3) / 2
		}
		for i := range label[tokens*2 : 2*tokens*2] {
			label[tokens*2+i] *= scaleLabel
		}
		in, err := ort.NewTensor([]int64{records, tokens, 4}, x)
		if err != nil {
			t.Fatal(err)
		}
		out, err := ort.NewTensor([]int64{records, tokens, 2}, label)
		if err != nil {
			t.Fatal(err)
		}
		o := halfOptions("mse", ghost.Half)
		o.Sum, o.ClipNorm = true, 1e-3
		r, err := m.GradNorms(t.Context(), &Batch{Inputs: map[string]*ort.Tensor{"x": in}, Loss: map[string]*ort.Tensor{"labels": out}}, o)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	plain := run(1, 1)
	for name, r := range map[string]*GradNorms{"forward": run(1e6, 1), "backward": run(1, 1e4)} {
		if name == "backward" && math.IsInf(r.Loss[1], 0) {
			t.Errorf("%s: the loss of record 1 is %g", name, r.Loss[1])
		}
		if r.Factor[1] != 0 || plain.Factor[1] == 0 {
			t.Errorf("%s: record 1 has norm %g and factor %g", name, r.Norm[1], r.Factor[1])
		}
		total := 0.0
		for _, v := range r.Sum {
			total += squares(v)
		}
		if !(total > 0 && math.Sqrt(total) <= 2*1e-3*(1+rho)) {
			t.Errorf("%s: the sum of two records clipped to 1e-3 has norm %g", name, math.Sqrt(total))
		}
		for _, i := range []int{0, 2} {
			if r.Norm[i] != plain.Norm[i] || r.Loss[i] != plain.Loss[i] {
				t.Errorf("%s: record %d has norm %g, without the overflow %g", name, i, r.Norm[i], plain.Norm[i])
			}
		}
	}
}

// Products are all that changes: norms and sums stay float32, and so does every other operator.
func TestHalfPrecisionGraph(t *testing.T) {
	f := openFixture(t, "gpt2-optimum")
	p, err := f.model.Prepared()
	if err != nil {
		t.Fatal(err)
	}
	program, err := p.Compile(ghost.Spec{Loss: "causal-lm", Clip: ghost.Abadi, ClipNorm: 1, Length: 8, Precision: ghost.Brain})
	if err != nil {
		t.Fatal(err)
	}
	halves := map[string]bool{}
	count := 0
	for _, n := range program.Graph.Nodes {
		isHalf := slices.ContainsFunc(n.Inputs, func(in string) bool { return halves[in] })
		if to, ok := n.Attrs["to"].(int64); n.Is("Cast") && ok && to == int64(ir.BFloat16) || isHalf && !n.Is("Cast") {
			halves[n.Outputs[0]] = true
		}
		if !isHalf {
			continue
		}
		if strings.HasPrefix(n.Name, "norm/") || strings.HasPrefix(n.Name, "sum/") || strings.HasPrefix(n.Name, "clip/") {
			t.Errorf("%v reads %q", n, n.Inputs)
		}
		switch {
		case n.Is("MatMul"), n.Is("Gemm"), n.Op == "FusedMatMul":
			count++
		case !n.Is("Cast") && !n.Is("Transpose"):
			t.Errorf("%v reads a half value", n)
		}
	}
	// A layer has four products with weights, each with one in the backward pass, and two of attention with two each.
	const layers, head = 2, 2
	if want := layers*(4*2+2*3) + head; count != want {
		t.Errorf("%d products in bf16, want %d", count, want)
	}
	for name, o := range program.Sums {
		if v := program.Graph.Output(o); v.DType != ir.Float32 {
			t.Errorf("the sum of %s is %v", name, v.DType)
		}
	}
}

func TestHalfPrecisionRefused(t *testing.T) {
	dir := crashDir(t)
	for want, change := range map[string]func(*FinetuneOptions){
		`unknown precision "fp8"`:     func(o *FinetuneOptions) { o.Precision = "fp8" },
		"the processor would compute": func(o *FinetuneOptions) { o.Precision = "bf16" },
		"the second of two passes":    func(o *FinetuneOptions) { o.Precision, o.TwoPass, o.halfOnCPU = "fp16", true, true },
	} {
		o := crashOptions(dir)
		change(&o)
		if _, err := Finetune(t.Context(), o); ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	f := openFixture(t, "gpt2-optimum")
	b := randomRecords(t, f, 2, 4)
	for want, o := range map[string]GradNormsOptions{
		"the processor would compute": {Loss: "causal-lm", Precision: ghost.Half},
		"goes with method ghost":      {Loss: "causal-lm", Precision: ghost.Half, Method: "loop"},
	} {
		if _, err := f.model.GradNorms(t.Context(), b, o); ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	old := ort.GPU{Device: ort.CUDA(0), Name: "V100", Capability: "7.0"}
	if err := checkCapability(old, ghost.Half); err != nil {
		t.Error(err)
	}
	if err := checkCapability(old, ghost.Brain); ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), "compute capability 8.0, and cuda:0 (V100) has 7.0") {
		t.Errorf("got %v", err)
	}
}

// The check of places must be able to fail: rows that differ in one bit are found.
func TestSamePlaces(t *testing.T) {
	a := &ran{loss: []float64{1, 2}, finite: []bool{true, true}, norm: []float64{3, 4}, group: [][]float64{{5, 6}}}
	turned := &ran{loss: []float64{2, 1}, finite: []bool{true, true}, norm: []float64{4, 3}, group: [][]float64{{6, 5}}}
	if !sameBits(turned, 0, a, 1) || !sameBits(turned, 1, a, 0) {
		t.Error("turned rows differ")
	}
	for name, change := range map[string]func(*ran){
		"loss":   func(r *ran) { r.loss[0] = math.Nextafter(2, 3) },
		"norm":   func(r *ran) { r.norm[0] = math.Nextafter(4, 5) },
		"finite": func(r *ran) { r.finite[0] = false },
		"group":  func(r *ran) { r.group[0][0] = 0 },
	} {
		r := &ran{slices.Clone(turned.real), slices.Clone(turned.finite), slices.Clone(turned.loss), slices.Clone(turned.norm), nil, [][]float64{slices.Clone(turned.group[0])}}
		change(r)
		if sameBits(r, 0, a, 1) {
			t.Errorf("%s differs and is not seen", name)
		}
	}
}
