package runtime

import (
	"path/filepath"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
)

// The prediction of what a run of a program takes is held against what the
// runtime's values took, for models of every family and both passes. Beside weights, sums and moments
// this is a part of a process, which TestProcessPeak looks at. The low
// bound is what safePeak allows for: operators that the runtime fuses as it loads
// the graph are not known here.
func TestPeakIsPredicted(t *testing.T) {
	const records, length, low, high = 48, 48, 8. / 11, 1.15
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
			c := b.newCell(length, records)
			defer c.close()
			for _, v := range []struct {
				pass ghost.Pass
				run  string
			}{{ghost.Weighted, "plain"}, {ghost.Clipped, "dp"}} {
				run, err := variant(v.run).open(c)
				if err != nil {
					t.Fatal(err)
				}
				for range 2 {
					b.model.env.RestartPool()
					if err := run(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				peak := c.programs[v.pass].Peak(records, length)
				real := b.model.env.Pool().MostUsed
				t.Logf("%s: predicted %d kB, used %d, ratio %.3f", v.run, peak.Bytes>>10, real>>10, float64(peak.Bytes)/float64(real))
				if ratio := float64(peak.Bytes) / float64(real); ratio < low || ratio > high {
					t.Errorf("%s: predicted %d kB, the run took %d (%.3f); at %s live are %v", v.run, peak.Bytes>>10, real>>10, ratio, peak.Node, peak.Live[:min(12, len(peak.Live))])
				}
			}
		})
	}
}
