package runtime

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// groupings are the ways of clipping by groups that the tests go through, one for each model in turn.
var groupings = []GradNormsOptions{
	{ClipPer: ghost.PerLayer},
	{ClipPer: ghost.PerLayer, ClipShares: ghost.SizeShares, Clip: ghost.Automatic, ClipGamma: 0.03},
	{ClipPer: ghost.PerParameter, ClipShares: ghost.SizeShares},
	{ClipPer: ghost.PerParameter, Clip: ghost.Automatic},
}

// Norms, factors and sums by group against the loop of every model: one record at a time, dense
// gradients. Every group of every record stays within its share of C.
func TestGroupsAgainstLoop(t *testing.T) {
	for i, f := range fixtures(t) {
		o := groupings[i%len(groupings)]
		t.Run(fmt.Sprintf("%s %s %s", f.name, o.ClipPer, o.Clip), func(t *testing.T) {
			t.Parallel()
			f.compareGroups(t, f.load(t, f.caseLike("-b2-t16")), o)
			if o.ClipPer == ghost.PerParameter { // a layer always has a gradient to speak of
				f.compareShortest(t, f.load(t, f.caseLike("-b7-t33")), o)
			}
		})
	}
}

// caseLike is the first case with such a name, or the first.
func (f *fixture) caseLike(part string) string {
	for _, c := range f.info.Cases {
		if strings.Contains(c, part) {
			return c
		}
	}
	return f.info.Cases[0]
}

// compareShortest clips to next to nothing, so that every part of every gradient is made as long as its
// share of C, rounding included: the sums' error and every part's excess must stay below a tenth of rho.
func (f *fixture) compareShortest(t *testing.T, c *goldenCase, o GradNormsOptions) {
	t.Helper()
	b := f.batch(t, c)
	o.Loss, o.Sum, o.ClipNorm, o.ClipGamma = c.Loss, true, 1e-7, 1e-8
	run := func(method string) *GradNorms {
		o.Method = method
		r, err := f.model.GradNorms(t.Context(), b, o)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	fast, loop := run("ghost"), run("loop")
	if d := sumDistance(fast.Sum, loop.Sum) / o.ClipNorm; d > rho/10 {
		t.Errorf("per %s: the sums differ by %.2g·C, rho allows %.2g", o.ClipPer, d, rho/10)
	}
	for k, g := range fast.Groups {
		for i := range g.Norm {
			if x := g.Factor[i] * loop.Groups[k].Norm[i]; x > g.ClipNorm*(1+rho/10) {
				t.Errorf("%s, record %d: clipped to %g, its share is %g", g.Name, i, x, g.ClipNorm)
			}
		}
	}
}

func (f *fixture) compareGroups(t *testing.T, c *goldenCase, o GradNormsOptions) {
	t.Helper()
	b := f.batch(t, c)
	o.Loss, o.Sum, o.PerParameter = c.Loss, true, true
	run := func(method string, clip float64, sum bool) *GradNorms {
		o.Method, o.ClipNorm, o.Sum = method, clip, sum
		r, err := f.model.GradNorms(t.Context(), b, o)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	// A norm that some groups exceed and others do not.
	clip := slices.Max(run("ghost", 1, false).Norm)
	fast, loop := run("ghost", clip, true), run("loop", clip, true)
	if d := relativeDistance(fast.Sum, loop.Sum); d > 1e-4 {
		t.Errorf("%s %s: distance to the loop's sum %.2g", o.ClipPer, o.Clip, d)
	}
	if len(fast.Groups) != len(loop.Groups) || fast.Factor != nil || loop.Factor != nil || len(fast.Groups) < 2 {
		t.Fatalf("%d groups, the loop has %d", len(fast.Groups), len(loop.Groups))
	}
	clipped, whole := 0, 0
	for k, g := range fast.Groups {
		l := loop.Groups[k]
		for i := range g.Norm {
			if !within(g.Norm[i], l.Norm[i], 1e-4, 1e-6*loop.Norm[i]) || !within(g.Factor[i], l.Factor[i], 2e-3, 1e-6) {
				t.Errorf("%s, record %d: norm %g factor %g, the loop has %g and %g", g.Name, i, g.Norm[i], g.Factor[i], l.Norm[i], l.Factor[i])
			}
			if bound := g.ClipNorm * (1 + 1e-12); l.Norm[i]*l.Factor[i] > bound || math.Abs(g.ClipNorm/clip-g.Share) > 1e-12 {
				t.Errorf("%s, record %d: clipped to %g, beyond %g", g.Name, i, l.Norm[i]*l.Factor[i], bound)
			}
			if l.Norm[i] > g.ClipNorm {
				clipped++
			} else {
				whole++
			}
		}
	}
	if o.Clip != ghost.Automatic && (clipped == 0 || whole == 0) {
		t.Errorf("%s: %d groups are clipped and %d are not: the test sees one side only", o.ClipPer, clipped, whole)
	}
	f.checkGroups(t, fast)
}

// checkGroups holds the groups to what they are: every parameter in one, the layers apart.
func (f *fixture) checkGroups(t *testing.T, r *GradNorms) {
	t.Helper()
	seen := map[string]string{}
	squares, n := 0.0, int64(0)
	for _, g := range r.Groups {
		squares += g.Share * g.Share
		own := int64(0)
		for _, name := range g.Parameters {
			if seen[name] != "" {
				t.Errorf("%s is in %s and in %s", name, seen[name], g.Name)
			}
			seen[name] = g.Name
			size := int64(1)
			for _, d := range r.Shapes[name] {
				size *= d
			}
			own += size
		}
		if own != g.Coordinates {
			t.Errorf("%s has %d coordinates, says %d", g.Name, own, g.Coordinates)
		}
		n += own
	}
	if squares > 1 || squares < 0.999 || len(seen) == 0 {
		t.Errorf("%d parameters, squared shares add up to %v", len(seen), squares)
	}
}

// The compiled step's groups are those of names, here of a model whose names say everything.
func TestGroupsOfGPT2(t *testing.T) {
	f := openFixture(t, "gpt2-optimum")
	out := filepath.Join(t.TempDir(), "step.onnx")
	p, err := f.model.Compile(out, CompileOptions{Loss: "causal-lm", ClipPer: ghost.PerLayer, Length: 16})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, g := range p.Groups {
		names = append(names, g.Name)
		for _, name := range g.Parameters {
			want := "embeddings"
			switch {
			case strings.Contains(name, ".h.0."):
				want = "layer.0"
			case strings.Contains(name, ".h.1."):
				want = "layer.1"
			case strings.Contains(name, "ln_f"):
				want = "final_norm"
			}
			if g.Name != want && !strings.Contains(name, "::") {
				t.Errorf("%s is in %s", name, g.Name)
			}
		}
	}
	if !slices.Equal(names, []string{"embeddings", "layer.0", "layer.1", "final_norm"}) {
		t.Errorf("groups %v", names)
	}
	data, err := os.ReadFile(out)
	if err != nil || !strings.Contains(string(data), "ghostwriter.clip_groups") || !strings.Contains(string(data), `"name":"layer.1","share":`) {
		t.Errorf("the step does not say what is clipped together: %v", err)
	}
	factor := false
	for _, o := range p.Outputs {
		if o.Name == p.Factor {
			factor = len(o.Dims) == 2 && o.Dims[1].Value == 4 && strings.Contains(o.Meaning, "layer.0, layer.1, final_norm")
		}
	}
	if !factor {
		t.Errorf("outputs %+v", p.Outputs)
	}
}

func TestGroupingIsRefused(t *testing.T) {
	f := openFixture(t, "gpt2-optimum")
	b := f.batch(t, f.load(t, f.info.Cases[0]))
	for what, o := range map[string]GradNormsOptions{
		"unknown groups":     {ClipPer: "head"},
		"unknown shares":     {ClipPer: ghost.PerLayer, ClipShares: "half"},
		"shares alone":       {ClipShares: ghost.SizeShares},
		"two passes":         {ClipPer: ghost.PerLayer, TwoPass: true, Sum: true},
		"two passes by loop": {ClipPer: ghost.PerLayer, TwoPass: true, Method: "loop"},
	} {
		o.Loss = "causal-lm"
		if _, err := f.model.GradNorms(t.Context(), b, o); ExitCode(err) != ExitUsage {
			t.Errorf("%s: %v", what, err)
		}
	}
	p, err := f.model.Prepared()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Compile(ghost.Spec{Loss: "causal-lm", Pass: ghost.Weighted, ClipPer: ghost.PerLayer}); err == nil {
		t.Error("a weighted pass with groups was compiled")
	}
}

// A run that clips by layer: plan, ledger and statement have the groups, and what a record adds to a
// step's sum stays within C, its parts within their shares.
func TestTrainByGroups(t *testing.T) {
	for _, per := range []ghost.Grouping{ghost.PerLayer, ghost.PerParameter} {
		o := crashOptions(crashDir(t))
		o.ClipPer, o.ClipShares, o.ClipNorm, o.Debug = string(per), "size", 0.5, true
		f := prepareRun(t, o)
		s := f.plan.Spec()
		if s.Clipping == nil || s.Clipping.Per != string(per) || len(s.Clipping.Groups) != len(f.program.Groups) || len(s.Clipping.Groups) < 4 {
			t.Fatalf("plan: %+v", s.Clipping)
		}
		arena := f.trainer.sums
		for i := range 5 {
			if _, err := f.trainer.run(t.Context(), microbatch{[]int{i}, f.data.edge(i), 1}); err != nil {
				t.Fatal(err)
			}
			f.trainer.written()
			whole := 0.0
			for _, g := range f.program.Groups {
				square := 0.0
				for _, name := range g.Parameters {
					for _, x := range arena.Slice(name) {
						square += float64(x) * float64(x)
					}
				}
				whole += square
				if n := math.Sqrt(square); n > g.Share*f.plan.ClipTo()*(1+1e-5) {
					t.Errorf("record %d: %s has norm %g, its share is %g", i, g.Name, n, g.Share*f.plan.ClipTo())
				}
			}
			if n := math.Sqrt(whole); n > f.plan.ClipTo()*(1+1e-5) || n == 0 {
				t.Errorf("record %d: norm %g, C(1-rho) is %g", i, n, f.plan.ClipTo())
			}
		}
		if _, err := f.trainer.step(t.Context(), 1, f.plan.Steps()); err != nil {
			t.Fatal(err)
		}
		record, err := dpadam.ReadLedger(filepath.Join(o.Out, "ledger"))
		if err != nil {
			t.Fatal(err)
		}
		st, err := dpadam.NewStatement(record)
		if err != nil || !strings.Contains(st.Text(), "per "+string(per)) {
			t.Errorf("statement: %v", err)
		}
	}
}

// A record that is not finite in any group leaves no trace in any.
func TestNonFiniteRecordsLeaveNoTraceInGroups(t *testing.T) {
	for _, per := range []ghost.Grouping{ghost.PerLayer, ghost.PerParameter} {
		testNonFinite(t, openFixture(t, "bert-dyn18"), ghost.Spec{ClipPer: per})
	}
}

// BenchmarkClippedStep is one run of the one-pass program of the demo's GPT-2, 16 records of 64 tokens,
// by what is clipped together.
func BenchmarkClippedStep(b *testing.B) {
	m, err := Open("../testdata/demo/pretrained", Options{Threads: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	p, err := m.Prepared()
	if err != nil {
		b.Fatal(err)
	}
	env, err := m.Env()
	if err != nil {
		b.Fatal(err)
	}
	for _, per := range []ghost.Grouping{ghost.Whole, ghost.PerLayer, ghost.PerParameter} {
		b.Run("per "+string(per), func(b *testing.B) {
			program, err := p.Compile(ghost.Spec{Loss: "causal-lm", ClipNorm: 0.1, ClipPer: per, Length: 64})
			if err != nil {
				b.Fatal(err)
			}
			st, err := newStep(env, program, workplace{threads: 1})
			if err != nil {
				b.Fatal(err)
			}
			defer st.Close()
			w, err := loadWeights(p, program.Trained, append(program.Unreached, program.Frozen...))
			if err != nil {
				b.Fatal(err)
			}
			feeds := benchFeeds(b, program)
			for b.Loop() {
				if _, err := st.run(b.Context(), feeds, w, nil, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// benchFeeds are 16 records of 64 tokens for every input of a language model.
func benchFeeds(b *testing.B, p *ghost.Program) map[string]*ort.Tensor {
	b.Helper()
	feeds := map[string]*ort.Tensor{}
	for _, port := range slices.Concat(p.Data, p.Labels) {
		v := make([]int64, 16*64)
		for i := range v {
			switch port.Name {
			case "attention_mask":
				v[i] = 1
			case "position_ids":
				v[i] = int64(i % 64)
			default:
				v[i] = int64(i*7919) % 50
			}
		}
		t, err := ort.NewTensor([]int64{16, 64}, v)
		if err != nil {
			b.Fatal(err)
		}
		feeds[port.Name] = t
	}
	return feeds
}
