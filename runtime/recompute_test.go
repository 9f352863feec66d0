package runtime

import (
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
)

// In low memory a program gives the norms and sums that it gives in normal memory, and
// that the loop gives: in one pass and in two, for models of every family, exporter
// and kind of normalisation. make slow-test takes every model.
func TestLowMemoryComputesTheSame(t *testing.T) {
	var lowered atomic.Int64
	entries, err := os.ReadDir(matrix)
	if err != nil {
		t.Fatal(err)
	}
	// A decoder normalised before its layers, an encoder after, and both in one; layers
	// that share weights.
	chosen := []string{"gpt2-dyn18", "bert-ts17", "t5-optimum", "albert-optimum"}
	taken := func(name string) bool { return rhoStride == 1 || slices.Contains(chosen, name) }
	t.Run("models", func(t *testing.T) {
		for _, f := range fixtures(t) {
			if !taken(f.name) {
				continue
			}
			t.Run(f.name, func(t *testing.T) {
				t.Parallel()
				for _, name := range f.info.Cases {
					if strings.HasSuffix(name, "-b2-t16") || strings.HasSuffix(name, "-b2-t5") {
						c := f.load(t, name)
						compareMemory(t, f.model, f.batch(t, c), GradNormsOptions{Loss: c.Loss}, &lowered)
					}
				}
			})
		}
		for _, e := range entries {
			if !taken(e.Name()) {
				continue
			}
			t.Run(e.Name(), func(t *testing.T) {
				t.Parallel()
				m, b, o := matrixCase(t, e.Name())
				compareMemory(t, m, b, o, &lowered)
			})
		}
	})
	if lowered.Load() < 4 {
		t.Errorf("only %d of the programs compute anything again", lowered.Load())
	}
}

// compareMemory holds low memory against normal memory and against the loop.
func compareMemory(t *testing.T, m *Model, b *Batch, o GradNormsOptions, lowered *atomic.Int64) {
	t.Helper()
	p, err := m.Prepared()
	if err != nil {
		t.Fatal(err)
	}
	program, err := p.Compile(ghost.Spec{Loss: o.Loss, Freeze: o.Freeze, ClipNorm: 1, Length: b.length(), Memory: ghost.LowMemory})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range program.Graph.Nodes {
		if strings.HasPrefix(n.Name, "again/") {
			lowered.Add(1)
			break
		}
	}
	run := func(o GradNormsOptions) *GradNorms {
		o.PerParameter, o.Sum = true, true
		r, err := m.GradNorms(t.Context(), b, o)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	loop := o
	loop.Method = "loop"
	oracle := run(loop)
	for _, o.TwoPass = range []bool{false, true} {
		normal, low := o, o
		low.Memory = ghost.LowMemory
		kept, again := run(normal), run(low)
		for i := range kept.Norm {
			if !within(again.Norm[i], kept.Norm[i], 2e-6, 0) || !within(again.Norm[i], oracle.Norm[i], 1e-4, 0) {
				t.Errorf("two passes %v, record %d: norm %g in low memory, %g in normal, %g by the loop", o.TwoPass, i, again.Norm[i], kept.Norm[i], oracle.Norm[i])
			}
			for name, v := range kept.Norms {
				if !within(again.Norms[name][i], v[i], 1e-5, 1e-6*kept.Norm[i]) {
					t.Errorf("two passes %v, record %d, %s: norm %g in low memory, %g in normal", o.TwoPass, i, name, again.Norms[name][i], v[i])
				}
			}
		}
		d, e := relativeDistance(again.Sum, kept.Sum), relativeDistance(again.Sum, oracle.Sum)
		if !(d <= 2e-6) || !(e <= 1e-4) {
			t.Errorf("two passes %v: the sum in low memory is %.2g from that in normal, %.2g from the loop's", o.TwoPass, d, e)
		}
	}
}
