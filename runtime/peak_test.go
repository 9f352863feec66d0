package runtime

import (
	"path/filepath"
	"testing"
)

// The prediction of what a run of a program takes is held against what the
// runtime's values took, for models of every family and both passes. Values of less
// than 16 KB, which the pool does not hold, are predicted too. Beside weights and
// moments this is a part of a process, which TestProcessPeak looks at.
func TestPeakIsPredicted(t *testing.T) {
	const low, high = 0.97, 1.03
	for i, f := range fixtures(t) {
		if i%4 > 0 {
			continue // a quarter of them says it
		}
		t.Run(f.name, func(t *testing.T) {
			b, err := openBench(BenchOptions{Model: filepath.Join(models, f.name), Loss: f.load(t, f.info.Cases[0]).Loss, Threads: 1, Output: f.model.options.Output, Head: f.model.options.Head})
			if err != nil {
				t.Fatal(err)
			}
			defer b.close()
			c := b.newCell(48, 48)
			defer c.close()
			for _, v := range []struct {
				pass benchProgram
				run  string
			}{{weighted, "plain"}, {clipped, "dp"}, {clippedLow, "dp-low"}} {
				real, peak := c.takes(t, v.run), c.peak(v.pass)
				ratio := float64(peak.Bytes) / float64(real)
				t.Logf("%s: predicted %d kB, used %d, ratio %.3f", v.run, peak.Bytes>>10, real>>10, ratio)
				if ratio < low || ratio > high {
					t.Errorf("%s: predicted %d kB, the run took %d (%.3f); at %s live are %v", v.run, peak.Bytes>>10, real>>10, ratio, peak.Node, peak.Live[:min(12, len(peak.Live))])
				}
			}
		})
	}
}

// takes is the largest that the values of a variant's run took of the pool, the
// second time.
func (c *benchCell) takes(t *testing.T, name string) int64 {
	t.Helper()
	run, err := variant(name).open(c)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c.model.env.RestartPool()
		if err := run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return c.model.env.Pool().MostUsed
}
