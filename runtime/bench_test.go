package runtime

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
)

func tinyBench() BenchOptions {
	return BenchOptions{Model: models + "/gpt2-ts17", Name: "tiny", Loss: "causal-lm", Threads: 1, Lengths: []int{5}, Microbatches: []int{2, 3}, Rounds: 2, Logical: 7}
}

func TestBench(t *testing.T) {
	o := tinyBench()
	o.Memory = ghost.LowMemory // all variants
	var said []string
	o.Message = func(s string) { said = append(said, s) }
	o.Peak = func(_ context.Context, c BenchCell, variant string) (int64, error) {
		return map[string]int64{"plain": 1000, "dp": 1020}[variant] * int64(c.Microbatch), nil
	}
	r, err := Bench(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Cells) != 2 || r.Cells[0].Tokens != 10 || r.Cells[1].Tokens != 15 || r.Machine.Software["onnxruntime"] == "" || r.Machine.Threads != 1 {
		t.Fatalf("%+v", r)
	}
	for _, c := range r.Cells {
		// Two layers of width 20 with 44 hidden, and the tied head of 97 words.
		if want := 6 * float64(c.Tokens) * (2*(20*60+20*20+2*20*44) + 97*20); c.ProductOperations != want {
			t.Errorf("%g operations, want %g", c.ProductOperations, want)
		}
		var names []string
		for _, m := range c.Variants {
			names = append(names, m.Name)
			if len(m.Seconds) != 2 || slices.Min(m.Seconds) <= 0 || m.Min > m.Median || m.By != "ghostwriter" || m.PerToken != m.Median/float64(c.Tokens) {
				t.Errorf("%+v", m)
			}
		}
		if !slices.Equal(names, BenchVariants()) {
			t.Errorf("variants %v", names)
		}
		if dp := c.named("dp"); dp.MemoryRatio != 1.02 || dp.PredictedBytes <= 0 || dp.TimeRatio <= 0 || dp.OfCeiling <= 0 {
			t.Errorf("%+v", dp)
		}
		if p := c.named(benchProducts); p.OfCeiling != 1 || p.PeakBytes != 0 {
			t.Errorf("%+v", p)
		}
	}
	if len(said) == 0 {
		t.Error("nothing was said")
	}
}

// Models of other makes: a base model, whose vectors stand for logits, and a merged
// decoder, whose cache and switch training leaves out.
func TestBenchOfOtherModels(t *testing.T) {
	for path, loss := range map[string]string{models + "/gpt2-base-ts17": "causal-lm", models + "/bert-dyn18": "classify", "../testdata/seq2seq/t5-merged": "causal-lm"} {
		usual, err := UsualLoss(path, "", "")
		if err != nil || usual != loss {
			t.Errorf("%s: the usual loss is %q, %v", path, usual, err)
		}
		r, err := Bench(t.Context(), BenchOptions{Model: path, Loss: loss, Threads: 1, Lengths: []int{6}, Microbatches: []int{2}, Rounds: 1})
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		// Without the logical step, and without those of low memory.
		if n := len(r.Cells[0].Variants); n != len(BenchVariants())-3 {
			t.Errorf("%s: %d variants", path, n)
		}
	}
}

// What the variants compute is what GradNorms computes: a fast bench of something
// else would be worthless.
func TestBenchComputesTheStep(t *testing.T) {
	o := tinyBench()
	if err := o.defaults(); err != nil {
		t.Fatal(err)
	}
	b, err := openBench(o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	c := b.newCell(5, 3)
	defer c.close()
	sums := map[string][]float32{}
	for _, name := range []string{"dp", "dp-two-pass", "plain"} {
		run, err := variant(name).open(c)
		if err != nil {
			t.Fatal(err)
		}
		c.see = func(m *microSum) { sums[name] = make([]float32, len(c.trainer.sums.Data())); m.writeTo(sums[name]) }
		if err := run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want, err := b.model.GradNorms(t.Context(), c.shared, GradNormsOptions{Loss: "causal-lm", Sum: true, Method: "loop", ClipNorm: benchClipNorm})
	if err != nil {
		t.Fatal(err)
	}
	var clipped float64
	for name, w := range want.Sum {
		at, _ := c.trainer.sums.Offset(name)
		for i, x := range w {
			for _, method := range []string{"dp", "dp-two-pass"} {
				if got := sums[method][at+i]; math.Abs(float64(got-x)) > 1e-6 {
					t.Fatalf("%s: %s[%d] = %g, the loop says %g", method, name, i, got, x)
				}
			}
			clipped += float64(x) * float64(x)
		}
	}
	if n := l2(sums["plain"]); n < 2*math.Sqrt(clipped) || clipped == 0 {
		t.Errorf("the sum that is not clipped has norm %g, the clipped one %g", n, math.Sqrt(clipped))
	}
}

func l2(v []float32) (s float64) {
	for _, x := range v {
		s += float64(x) * float64(x)
	}
	return math.Sqrt(s)
}

func TestBenchSkipsAndRefuses(t *testing.T) {
	o := tinyBench()
	o.MaxMemory = 1000
	r, err := Bench(t.Context(), o)
	if err != nil || r.Cells[0].Skipped == "" || len(r.Cells[0].Variants) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	o = tinyBench()
	o.Lengths = []int{65}
	if r, err = Bench(t.Context(), o); err != nil || !strings.Contains(r.Cells[0].Skipped, "64") {
		t.Errorf("more tokens than positions: %+v, %v", r, err)
	}
	for name, change := range map[string]func(*BenchOptions){
		"rounds": func(o *BenchOptions) { o.Rounds = -1 }, "length": func(o *BenchOptions) { o.Lengths = []int{0} },
		"nothing": func(o *BenchOptions) { o.Microbatches = nil }, "variant": func(o *BenchOptions) { o.Variants = []string{"dp", "fast"} },
		"loss": func(o *BenchOptions) { o.Loss = "hinge" }, "logical": func(o *BenchOptions) { o.Variants, o.Logical = []string{"logical"}, 0 },
		"peer": func(o *BenchOptions) { o.Peers = []*BenchPeer{{Command: "/nowhere/peer"}} }, "model": func(o *BenchOptions) { o.Model = "" },
	} {
		o := tinyBench()
		o.Microbatches = []int{1}
		change(&o)
		if _, err := Bench(t.Context(), o); ExitCode(err) != ExitUsage {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A bench that is stopped reports the rounds that all variants have.
func TestBenchInterrupted(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	o := tinyBench()
	o.Microbatches, o.Variants, o.Logical, o.Rounds = []int{2}, []string{"plain", "dp"}, 0, 1000
	o.Message = func(s string) {
		if strings.Contains(s, "round 2 ") {
			stop()
		}
	}
	r, err := Bench(ctx, o)
	if !errors.Is(err, ErrInterrupted) || ExitCode(err) != ExitFailed {
		t.Fatalf("%v", err)
	}
	for _, m := range r.Cells[0].Variants {
		if len(m.Seconds) != 2 || len(m.CPUSeconds) > 2 || m.Median <= 0 {
			t.Errorf("%+v", m)
		}
	}
	if r, err = Bench(ctx, o); !errors.Is(err, ErrInterrupted) || len(r.Cells) != 0 {
		t.Errorf("stopped before it began: %+v, %v", r, err)
	}
}

func TestBenchPeak(t *testing.T) {
	o := tinyBench()
	o.Microbatches = []int{2}
	bytes, err := BenchPeak(t.Context(), o, "dp")
	if err != nil {
		t.Fatal(err)
	}
	if peakMemory() == 0 {
		t.Skip("this system does not say how much memory a process had")
	}
	if bytes < 10<<20 || bytes > peakMemory() {
		t.Errorf("%d bytes", bytes)
	}
	if _, err := BenchPeak(t.Context(), tinyBench(), "dp"); !errors.Is(err, ErrUsage) {
		t.Errorf("two cells: %v", err)
	}
}

func TestBenchDecode(t *testing.T) {
	o := BenchOptions{Model: pretrained, Threads: 1, Lengths: []int{9, 1 << 10}, Microbatches: []int{1, 3}, Rounds: 2}
	r, err := BenchDecode(t.Context(), o)
	if err != nil || len(r.Cells) != 4 {
		t.Fatalf("%+v, %v", r, err)
	}
	for i, c := range r.Cells {
		if c.Length > 9 {
			if c.Skipped == "" {
				t.Errorf("%d tokens were not skipped", c.Length)
			}
			continue
		}
		bare, ours := c.named(benchBare), c.named(benchDecode)
		if bare == nil || ours == nil || len(bare.Seconds) != 2 || len(ours.Seconds) != 2 || slices.Min(ours.Seconds) <= 0 || bare.TimeRatio != 1 || ours.PerToken != ours.Median/float64(1+2*i) {
			t.Errorf("%+v", c)
		}
	}
	if _, err := BenchDecode(t.Context(), BenchOptions{Model: models + "/bert-ts17", Lengths: []int{9}, Microbatches: []int{1}}); ExitCode(err) != ExitUsage {
		t.Errorf("a model that does not generate: %v", err)
	}
}

func TestSummarize(t *testing.T) {
	c := BenchCell{Tokens: 10, ProductOperations: 600, Variants: []BenchMeasure{
		{Name: "plain", Seconds: []float64{1, 2, 4, 8, 16}, PeakBytes: 100},
		{Name: "dp", Seconds: []float64{1.1, 2.4, 4.2, 9, 20}, CPUSeconds: []float64{2, 4, 8, 16, 31}, PeakBytes: 101},
		{Name: "products", Seconds: []float64{0.8, 1.5, 3, 6, 12}},
		{Name: "forward", Seconds: []float64{1, 1, 1}},
	}}
	c.Summarize()
	dp := c.named("dp")
	near := func(what string, got, want float64) {
		if math.Abs(got-want) > 1e-12 {
			t.Errorf("%s = %g, want %g", what, got, want)
		}
	}
	near("median", dp.Median, 4.2)
	near("min", dp.Min, 1.1)
	near("spread", dp.Spread, (9-2.4)/4.2)
	near("cpu", dp.CPU, 8)
	near("per token", dp.PerToken, 0.42)
	near("operations", dp.Operations, 600/4.2)
	near("time ratio", dp.TimeRatio, 1.125) // of 1.1, 1.2, 1.05, 1.125, 1.25
	near("memory ratio", dp.MemoryRatio, 1.01)
	near("of the ceiling", dp.OfCeiling, 6./9) // of .727, .625, .714, .667, .6
}

func TestMergeBench(t *testing.T) {
	ours := &BenchReport{Version: 1, Rounds: 3, Machine: BenchMachine{Software: map[string]string{"onnxruntime": "1"}}, Cells: []BenchCell{
		{Model: "m", Loss: "l", Length: 4, Microbatch: 2, Tokens: 8, Variants: []BenchMeasure{{Name: "plain", By: "ghostwriter", Seconds: []float64{2, 2, 2}}}},
		{Model: "m", Loss: "l", Length: 8, Microbatch: 2, Tokens: 16, Skipped: "large"},
	}}
	peers := &BenchReport{Version: 1, Rounds: 2, Machine: BenchMachine{Software: map[string]string{"torch": "2"}}, Cells: []BenchCell{
		{Model: "m", Loss: "l", Length: 4, Microbatch: 2, Tokens: 8, Variants: []BenchMeasure{{Name: "pytorch", By: "pytorch", Seconds: []float64{3, 5}}}},
		{Model: "m", Loss: "l", Length: 8, Microbatch: 2, Tokens: 16, Variants: []BenchMeasure{{Name: "pytorch", By: "pytorch", Seconds: []float64{9}}}},
		{Model: "n", Loss: "l", Length: 4, Microbatch: 2, Tokens: 8},
	}}
	r, err := MergeBench(ours, peers)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Cells) != 3 || r.Cells[1].Skipped != "" || r.Machine.Software["torch"] != "2" || r.Machine.Software["onnxruntime"] != "1" {
		t.Fatalf("%+v", r)
	}
	if p := r.Cells[0].Variants[1]; p.Median != 4 || p.TimeRatio != 2 {
		t.Errorf("%+v", p)
	}
	if len(ours.Cells[0].Variants) != 1 {
		t.Error("a report that was merged has changed")
	}
	if _, err := MergeBench(ours, &BenchReport{Version: 9}); !errors.Is(err, ErrUsage) {
		t.Errorf("an unknown version: %v", err)
	}
}

// A peer is asked in the rounds of the others, and what it says is believed.
func TestBenchPeers(t *testing.T) {
	if os.Getenv("GHOSTWRITER_TEST_PEER") != "" {
		fakePeer()
		os.Exit(0)
	}
	o := tinyBench()
	o.Microbatches, o.Variants = []int{2}, []string{"plain"}
	o.Peak = func(context.Context, BenchCell, string) (int64, error) { return 50, nil }
	peer := &BenchPeer{Command: os.Args[0] + " -test.run=^TestBenchPeers$"}
	o.Peers = []*BenchPeer{peer}
	t.Setenv("GHOSTWRITER_TEST_PEER", "good")
	r, err := Bench(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := peer.Close(); err != nil {
		t.Error(err)
	}
	v := r.Cells[0].Variants
	if len(v) != 2 || v[1].Name != "slow" || v[1].By != "fake" || !slices.Equal(v[1].Seconds, []float64{2, 3}) || v[1].CPU != 5 || v[1].PeakBytes != 100 || v[1].MemoryRatio != 2 {
		t.Errorf("%+v", v)
	}
	if r.Machine.Software["fake"] != "length 5, microbatch 2, causal-lm" {
		t.Errorf("%v", r.Machine.Software)
	}
	o.Peak = nil // no peaks, no peer's either
	o.Peers = []*BenchPeer{{Command: os.Args[0] + " -test.run=^TestBenchPeers$"}}
	if r, err = Bench(t.Context(), o); err != nil || r.Cells[0].Variants[1].PeakBytes != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if err := o.Peers[0].Close(); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"error", "silent", "garbage"} {
		t.Setenv("GHOSTWRITER_TEST_PEER", bad)
		p := &BenchPeer{Command: os.Args[0] + " -test.run=^TestBenchPeers$"}
		o.Peers = []*BenchPeer{p}
		if _, err := Bench(t.Context(), o); err == nil || !strings.Contains(err.Error(), "peer") {
			t.Errorf("%s: %v", bad, err)
		}
		_ = p.Close()
	}
}

// fakePeer answers as tools/reference does; its first round takes 1 s, the next 2.
func fakePeer() {
	round := 0
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var r peerRequest
		if json.Unmarshal(in.Bytes(), &r) != nil {
			os.Exit(1)
		}
		switch os.Getenv("GHOSTWRITER_TEST_PEER") + " " + r.Do {
		case "error open":
			fmt.Println(`{"error":"no such model"}`)
		case "silent open":
			return
		case "garbage open":
			fmt.Println("Hello!")
		case "good open":
			fmt.Printf(`{"by":"fake","software":{"fake":"length %d, microbatch %d, %s"},"variants":[{"name":"slow","what":"waits"},{"name":"absent","skipped":"not installed"}]}`+"\n",
				r.Length, r.Microbatch, r.Loss)
		case "good round":
			round++
			fmt.Printf(`{"seconds":%d,"cpu_seconds":5}`+"\n", round)
		case "good peak":
			fmt.Println(`{"peak_bytes":100}`)
		case "good close":
			fmt.Println(`{}`)
		}
	}
}
