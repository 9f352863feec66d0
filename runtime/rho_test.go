package runtime

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// The allowance ρ for single precision (options.go) is measured here, over every model that is kept; docs/noise.md has
// the numbers, and says what they mean for the proof. All records are clipped, which is the worst case: an error relative
// to a gradient is then the same error relative to C.

// largest keeps the largest value that tests in parallel report, and where it was.
type largest struct {
	sync.Mutex
	value float64
	where string
}

func (l *largest) add(value float64, where string) {
	l.Lock()
	defer l.Unlock()
	if l.where == "" || !(value <= l.value) { // NaN is the largest
		l.value, l.where = value, where
	}
}

// check holds ten times the largest value below ρ.
func (l *largest) check(t *testing.T, what string) {
	t.Helper()
	t.Logf("%s: at most %.2g·C, by %s; ρ is %g", what, l.value, l.where, rho)
	if l.where == "" || !(10*l.value <= rho) {
		t.Errorf("%s: %g·C (%s); ten times that is more than ρ = %g", what, l.value, l.where, rho)
	}
}

// clipAll is a clipping norm that shortens every gradient.
func clipAll(norms []float64) float64 {
	smallest := math.Inf(1)
	for _, n := range norms {
		if n > 0 {
			smallest = min(smallest, n)
		}
	}
	return smallest / 2
}

// errorOfSum is ‖S₃₂ − S₆₄‖/C of a batch: the graph's sum of clipped gradients against the loop's, which takes a record
// at a time and sums in float64.
func errorOfSum(t *testing.T, m *Model, b *Batch, o GradNormsOptions) float64 {
	t.Helper()
	run := func() *GradNorms {
		r, err := m.GradNorms(t.Context(), b, o)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	o.Clip = ghost.Abadi
	if o.ClipNorm = clipAll(run().Norm); math.IsInf(o.ClipNorm, 1) {
		return 0 // nothing is scored
	}
	o.Sum = true
	fast := run()
	o.Method = "loop"
	return sumDistance(fast.Sum, run().Sum) / o.ClipNorm
}

// Every kept model of the export matrix on its own batch, and every model of testdata/models on its cases: the sum of a
// microbatch.
func TestRhoOverAllModels(t *testing.T) {
	entries, err := os.ReadDir(matrix)
	if err != nil || len(entries) < 30 {
		t.Fatalf("%s holds %d models: %v", matrix, len(entries), err)
	}
	var worst largest
	t.Run("models", func(t *testing.T) {
		for i, e := range entries {
			t.Run(e.Name(), func(t *testing.T) {
				if i%rhoStride != 0 {
					t.Skip("make slow-test takes every model")
				}
				t.Parallel()
				worst.add(errorOfMatrixModel(t, e.Name()), e.Name())
			})
		}
		for i, f := range fixtures(t) {
			t.Run(f.name, func(t *testing.T) {
				if i%min(3, rhoStride) != 0 {
					t.Skip("make slow-test takes every model")
				}
				t.Parallel()
				for _, name := range f.info.Cases {
					if rhoStride > 1 && !strings.HasSuffix(name, "-b7-t16") {
						continue
					}
					c := f.load(t, name)
					worst.add(errorOfSum(t, f.model, f.batch(t, c), GradNormsOptions{Loss: c.Loss}), f.name+"/"+name)
				}
			})
		}
		if _, err := os.Stat(sharedModels); err != nil || rhoStride > 1 {
			return
		}
		for _, s := range sharedList { // deeper ones, by others
			t.Run(s.file, func(t *testing.T) {
				t.Parallel()
				rows, length := slices.Max(s.batches), slices.Max(s.lengths)
				v := errorOfSum(t, s.open(t), s.batch(t, rows, length, rand.New(rand.NewPCG(7, 8))), GradNormsOptions{Loss: s.loss})
				t.Logf("%.2g·C", v)
				worst.add(v, s.file)
			})
		}
	})
	worst.check(t, "‖S₃₂ − S₆₄‖ of a microbatch")
}

func errorOfMatrixModel(t *testing.T, name string) float64 {
	t.Helper()
	m, b, o := matrixCase(t, name)
	return errorOfSum(t, m, b, o)
}

// matrixCase opens a kept model of the export matrix with its batch and loss.
func matrixCase(t *testing.T, name string) (*Model, *Batch, GradNormsOptions) {
	t.Helper()
	var c struct {
		Loss, Output string
		Freeze       []string
		Batch        json.RawMessage
	}
	readJSON(t, filepath.Join(matrix, name, "case.json"), &c)
	m, err := Open(filepath.Join(matrix, name), Options{Threads: 1, Output: c.Output})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	b, err := ParseBatch(c.Batch)
	if err != nil {
		t.Fatal(err)
	}
	freeze := slices.DeleteFunc(c.Freeze, func(pattern string) bool { // one that matches nothing is refused
		_, err := m.Inspect(nil, []string{pattern})
		return err != nil
	})
	return m, b, GradNormsOptions{Loss: c.Loss, Freeze: freeze}
}

// What the privacy proof needs of ρ, directly: a step's sum with one record more, which is packed first so that every
// microbatch holds other records, differs from the sum without it by that record's clipped gradient and an error. The
// error is all that single precision can add to the sensitivity.
func TestRhoOfRepackedSteps(t *testing.T) {
	var worst largest
	t.Run("models", func(t *testing.T) {
		for _, name := range []string{"gpt2-optimum", "bert-optimum", "distilbert-ts17", "roberta-dyn18"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				for _, length := range rhoLengths() {
					where := fmt.Sprintf("%s with %d records of %d tokens", name, rhoRecords, length)
					v := errorOfRepacking(t, openFixture(t, name), rhoRecords, length)
					t.Logf("%d tokens: %.2g·C", length, v)
					worst.add(v, where)
				}
			})
		}
	})
	worst.check(t, "‖(S − S′) − g‖ of a step")
}

// rhoMicrobatch is the largest microbatch that is chosen by memory, where the error of a sum is largest.
const rhoMicrobatch = largestMicrobatch

func errorOfRepacking(t *testing.T, f *fixture, records, length int64) float64 {
	t.Helper()
	all := randomRecords(t, f, records, length)
	o := GradNormsOptions{Loss: textLoss(f), Clip: ghost.Abadi}
	r, err := f.model.GradNorms(t.Context(), rowsOf(t, all, 0, min(records, 64)), o)
	if err != nil {
		t.Fatal(err)
	}
	o.ClipNorm, o.Sum = clipAll(r.Norm)/2, true
	total := func(from int64, sign float64, into map[string][]float64) {
		for lo := from; lo < records; lo += rhoMicrobatch {
			addSum(t, f, rowsOf(t, all, lo, min(lo+rhoMicrobatch, records)), o, sign, into)
		}
	}
	rest := map[string][]float64{}
	total(0, 1, rest)                               // S: 0-31, 32-63, ...
	total(1, -1, rest)                              // S': 1-32, 33-64, ...
	addSum(t, f, rowsOf(t, all, 0, 1), o, -1, rest) // g
	square := 0.0
	for _, v := range rest {
		for _, x := range v {
			square += x * x
		}
	}
	return math.Sqrt(square) / o.ClipNorm
}

// addSum adds a microbatch's clipped sum, as the lattice does: exactly.
func addSum(t *testing.T, f *fixture, b *Batch, o GradNormsOptions, sign float64, into map[string][]float64) {
	t.Helper()
	r, err := f.model.GradNorms(t.Context(), b, o)
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range r.Sum {
		if into[name] == nil {
			into[name] = make([]float64, len(v))
		}
		for i, x := range v {
			into[name][i] += sign * float64(x)
		}
	}
}

// textLoss is the loss of a fixture's own task.
func textLoss(f *fixture) string {
	switch f.info.Family {
	case "gpt2":
		return "causal-lm"
	case "roberta":
		return "masked-lm"
	}
	return "classify"
}

// randomRecords are records of a fixture's model, all of one length, different from one another.
func randomRecords(t *testing.T, f *fixture, records, length int64) *Batch {
	t.Helper()
	rng := rand.New(rand.NewPCG(11, uint64(length)))
	fill := func(shape []int64, value func(i int64) int64) *ort.Tensor {
		n := int64(1)
		for _, d := range shape {
			n *= d
		}
		v := make([]int64, n)
		for i := range v {
			v[i] = value(int64(i))
		}
		x, err := ort.NewTensor(shape, v)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	wide := []int64{records, length}
	b := &Batch{Inputs: map[string]*ort.Tensor{}, Loss: map[string]*ort.Tensor{}}
	for _, name := range f.info.Inputs {
		value := func(int64) int64 { return 0 }
		switch {
		case name == "input_ids":
			value = func(int64) int64 { return 5 + rng.Int64N(80) }
		case name == "attention_mask":
			value = func(int64) int64 { return 1 }
		case strings.Contains(name, "position"):
			value = func(i int64) int64 { return i % length }
		}
		b.Inputs[name] = fill(wide, value)
	}
	b.Loss["labels"] = b.Inputs["input_ids"]
	if textLoss(f) == "classify" {
		b.Loss["labels"] = fill(wide[:1], func(int64) int64 { return rng.Int64N(3) })
	}
	return b
}

// rowsOf cuts records out of a batch.
func rowsOf(t *testing.T, b *Batch, lo, hi int64) *Batch {
	t.Helper()
	cut := func(from map[string]*ort.Tensor) map[string]*ort.Tensor {
		out := map[string]*ort.Tensor{}
		for name, x := range from {
			v, err := ort.Data[int64](x)
			if err != nil {
				t.Fatal(err)
			}
			shape := slices.Clone(x.Shape())
			width := int64(len(v)) / shape[0]
			shape[0] = hi - lo
			if out[name], err = ort.NewTensor(shape, slices.Clone(v[lo*width:hi*width])); err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	return &Batch{Inputs: cut(b.Inputs), Loss: cut(b.Loss)}
}
