package serve

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve/batch"
)

// What the exporters' models may join. Encoders that read a mask take rows of any
// length; a model that reads none, or whose rows are not proven apart, less.
func TestPlan(t *testing.T) {
	for model, want := range map[string]string{
		"models/distilbert-ts17": "rows of any length", "models/bert-optimum": "rows of any length", "models/roberta-ts13": "rows of any length",
		"models/gpt2-ts17": "rows of any length", "models/distilbert-dyn18": "rows of any length",
		"matrix/gpt2-optimum-past": "rows of any length", "matrix/qwen2-dyn23": "off: a trial of two rows failed", "matrix/vit-optimum": "rows of one shape",
	} {
		tree := t.TempDir()
		copyModel(t, filepath.Join("../../testdata", model), filepath.Join(tree, "m"))
		l, err := openTree(t, tree).Acquire("m", "")
		if err != nil {
			t.Error(err)
			continue
		}
		if got := l.Batching(); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", model, got, want)
		}
		l.Release()
	}
}

// Whatever rows meet in a batch, each request's answer is what it is alone.
func TestJoinedEqualsAlone(t *testing.T) {
	for _, name := range []string{"distilbert-ts17", "gpt2-ts17", "bert-optimum", "roberta-dyn18"} {
		t.Run(name, func(t *testing.T) {
			tree := newTree(t, map[string]string{"m": name})
			r, err := OpenRepository(t.Context(), tree, RepositoryOptions{Log: quiet, Batching: Batching{Options: batch.Options{Padding: 1, Rows: 12, Delay: 20 * time.Millisecond}}})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			l, err := r.Acquire("m", "")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Release()
			rng := rand.New(rand.NewPCG(1, 2))
			var callers sync.WaitGroup
			for range 60 {
				feeds := randomRows(l, rng, 1+rng.Int64N(3), 1+rng.Int64N(12))
				callers.Go(func() {
					alone, err := l.model.RunDirect(t.Context(), feeds, tensorNames(l.outputs))
					if err != nil {
						t.Error(err)
						return
					}
					got, err := l.Run(t.Context(), feeds)
					if err != nil {
						t.Error(err)
						return
					}
					for o, want := range alone {
						if err := near(want, got[o]); err != nil {
							t.Errorf("output %q: %v", o, err)
						}
					}
				})
			}
			callers.Wait()
			if joined := joinedRuns(t, r); joined == 0 {
				t.Error("no two requests were joined, so nothing was tested")
			}
		})
	}
}

// randomRows makes rows of one length, some of them padded by the caller.
func randomRows(l *Lease, rng *rand.Rand, rows, length int64) map[string]*ort.Tensor {
	feeds := map[string]*ort.Tensor{}
	for _, in := range l.inputs {
		v := make([]int64, rows*length)
		for i := range v {
			switch {
			case strings.Contains(in.Name, "mask"):
				v[i] = 1
				if k := int64(i) % length; k > 0 && int64(i)/length == 0 && k > length/2 {
					v[i] = 0
				}
			case in.Name == "position_ids":
				v[i] = int64(i) % length
			case in.Name == "input_ids":
				v[i] = 2 + rng.Int64N(15)
			}
		}
		feeds[in.Name] = integers(in.DType, []int64{rows, length}, v)
	}
	return feeds
}

// joinedRuns counts forward passes of more than one request.
func joinedRuns(t *testing.T, r *Repository) int {
	t.Helper()
	families, err := r.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "ghostwriter_batch_requests" {
			h := f.GetMetric()[0].GetHistogram()
			return int(h.GetSampleCount() - h.GetBucket()[0].GetCumulativeCount())
		}
	}
	return 0
}

// One request's bad ids are its own failure, and its words stay its own.
func TestBadRowsAmongGood(t *testing.T) {
	r := openTree(t, newTree(t, map[string]string{"m": "distilbert-ts17"}))
	l, err := r.Acquire("m", "")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	rng := rand.New(rand.NewPCG(3, 4))
	var callers sync.WaitGroup
	for k := range 40 {
		feeds := randomRows(l, rng, 1, 6)
		if k%7 == 3 {
			ids, _ := ort.Data[int64](feeds["input_ids"])
			ids[2] = 987654321
		}
		callers.Go(func() {
			_, err := l.Run(t.Context(), feeds)
			if (err != nil) != (k%7 == 3) {
				t.Errorf("request %d: %v", k, err)
			}
		})
	}
	callers.Wait()
}

// Every model of the exporters' that is said to join rows of any length does so
// with the numbers that it gives alone; the trial at loading is what says so.
func TestStackAndSplit(t *testing.T) {
	p := &plan{rows: map[string]bool{"y": true}, lengths: true, fill: map[string]int64{"x": 9}, crop: map[string][]int{"y": {1, 2}}}
	a, b := integers(ort.Int64, []int64{1, 2}, []int64{1, 2}), integers(ort.Int32, []int64{2, 3}, []int64{1, 2, 3, 4, 5, 6})
	wide := integers(ort.Int64, []int64{2, 3}, []int64{1, 2, 3, 4, 5, 6})
	got, err := p.stack("x", []*ort.Tensor{a, wide})
	if err != nil || fmt.Sprint(got.Shape(), data(got)) != "[3 3] [1 2 9 1 2 3 4 5 6]" {
		t.Errorf("stack: %v %v %v", got, data(got), err)
	}
	if b.DType() != ort.Int32 {
		t.Error(b)
	}
	// 3 rows of 3×3, the first cut to 2×2.
	values := make([]int64, 27)
	for i := range values {
		values[i] = int64(i)
	}
	y := integers(ort.Int64, []int64{3, 3, 3}, values)
	parts, err := p.split("y", y, []*job{{rows: 1, length: 2}, {rows: 2, length: 3}})
	if err != nil || fmt.Sprint(parts[0].Shape(), data(parts[0])) != "[1 2 2] [0 1 3 4]" || fmt.Sprint(parts[1].Shape(), data(parts[1])[0], data(parts[1])[17]) != "[2 3 3] 9 26" {
		t.Errorf("split: %v %v %v", parts, data(parts[0]), err)
	}
	if _, err := p.split("y", y, []*job{{rows: 2, length: 3}}); err == nil {
		t.Error("an output of other rows was split")
	}
	if _, err := p.split("y", y, []*job{{rows: 3, length: 2}}); err == nil {
		t.Error("an output of another length was cut")
	}
}

func data(t *ort.Tensor) []int64 {
	v, _ := ort.Data[int64](t)
	return v
}

// built makes a model of a test's own.
func built(t *testing.T, b *irtest.Builder) *Lease {
	t.Helper()
	bytes, err := b.Graph().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	write(t, filepath.Join(tree, "m", "model.onnx"), string(bytes))
	l, err := openTree(t, tree).Acquire("m", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Release)
	return l
}

// Rows that read each other stay apart, and so do lengths where a model looks past
// its mask, however its inputs are called.
func TestPlanRefuses(t *testing.T) {
	ids := func() *irtest.Builder {
		return irtest.New(18).Input("input_ids", ir.Int64, "batch", "sequence").Input("attention_mask", ir.Int64, "batch", "sequence").
			Fill("table", 16, 4).Node("e = Gather(table,input_ids)").Ints("one", nil, 1).Output("y")
	}
	for name, c := range map[string]struct {
		model *irtest.Builder
		want  string
	}{
		"centred over the batch":  {irtest.New(18).Input("x", ir.Float32, "n", 4).Ints("zero", nil, 0).Node("m = ReduceMean(x,zero)").Node("y = Sub(x,m)").Output("y"), "off: records of a batch mix"},
		"one scale for the batch": {irtest.New(18).Input("x", ir.Float32, "n", 4).Node("q,scale,zero = DynamicQuantizeLinear(x)").Node("y = DequantizeLinear(q,scale,zero)").Output("y"), "off: records of a batch mix"},
		"a fixed batch":           {irtest.New(18).Input("x", ir.Float32, 1, 4).Node("y = Relu(x)").Output("y"), `off: input "x" has no free first axis`},
		"an input for all rows":   {irtest.New(18).Input("x", ir.Float32, "n", 4).Input("scale", ir.Float32).Node("y = Mul(x,scale)").Output("y"), `off: input "scale"`},
		"rows of one shape":       {irtest.New(18).Input("x", ir.Float32, "n", "w").Node("y = Relu(x)").Output("y"), `rows of one shape: input "x"`},
		"a mean over padding":     {ids().Node("y = ReduceMean(e,one)").Node("z = Identity(attention_mask)"), `rows of one shape: output "y" of a row changes`},
		"obeys its mask": {ids().Node("f = Cast(attention_mask)", ir.Attrs{"to": int64(1)}).Ints("last", nil, -1).Node("u = Unsqueeze(f,last)").
			Node("w = Mul(e,u)").Node("y = ReduceSum(w,one)"), "rows of any length"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := built(t, c.model).Batching(); !strings.HasPrefix(got, c.want) {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
