package runtime

import (
	"math"
	"testing"
)

// TestSecondsPerStep: a step of n records takes a constant for each of its runs and a part for each record, whether runs are
// full or not; runs of a fixed number of rows all take as long as a full one.
func TestSecondsPerStep(t *testing.T) {
	const constant, record, size = 0.5, 0.01, 32
	full, few := constant+size*record, constant+size/4*record
	fixed := fixedSeconds(full, few, size, size/4)
	if math.Abs(fixed-constant) > 1e-12 {
		t.Errorf("the constant is %g, want %g", fixed, constant)
	}
	lengths := []LengthEstimate{{Share: 0.75, Seconds: full, fixed: fixed}, {Share: 0.25, Seconds: full, fixed: full}}
	// 75 records are 3 runs, of which the last has 11; 25 are one run, as long as a full one.
	if got, want := secondsPerStep(100, size, lengths), 3*constant+75*record+full; math.Abs(got-want) > 1e-12 {
		t.Errorf("a step takes %g s, want %g", got, want)
	}
	for _, c := range []struct{ many, few, want float64 }{{1, 2, 1}, {1, 0.1, 0}} { // noise of the clock does not leave [0, many]
		if got := fixedSeconds(c.many, c.few, size, size/4); got != c.want {
			t.Errorf("of %g and %g seconds %g are constant, want %g", c.many, c.few, got, c.want)
		}
	}
}
