package main

import (
	"fmt"
	"math"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// Relative tolerances: of ghost against the loop, and against PyTorch. A model in
// half precision has its constants rounded too (scales, rotary frequencies),
// which PyTorch's golden, made of rounded weights, does not.
const (
	toLoop       = 1e-4
	toGolden     = 1e-3
	toGoldenHalf = 3e-3
)

// within is false for a value that is not a number.
func within(a, b, relative, absolute float64) bool {
	return math.Abs(a-b) <= relative*math.Abs(b)+absolute
}

// compareLoop compares norms, in total and by parameter, with the oracle's.
func compareLoop(ghost, loop *runtime.GradNorms) error {
	if len(ghost.Norm) != len(loop.Norm) || len(ghost.Norms) != len(loop.Norms) {
		return fmt.Errorf("ghost has %d records and %d parameters, loop %d and %d", len(ghost.Norm), len(ghost.Norms), len(loop.Norm), len(loop.Norms))
	}
	for i, want := range loop.Norm {
		if !within(ghost.Norm[i], want, toLoop, 0) {
			return fmt.Errorf("record %d: norm %g by ghost, %g by loop%s", i, ghost.Norm[i], want, worstParameter(ghost, loop, i))
		}
	}
	for _, name := range names(loop.Norms) {
		for i, want := range loop.Norms[name] {
			if !within(ghost.Norms[name][i], want, toLoop, 1e-6*loop.Norm[i]) {
				return fmt.Errorf("record %d, parameter %s: norm %g by ghost, %g by loop (of %g)", i, name, ghost.Norms[name][i], want, loop.Norm[i])
			}
		}
	}
	return nil
}

// worstParameter names the parameter whose norms of record i differ most.
func worstParameter(ghost, loop *runtime.GradNorms, i int) string {
	worst, gap := "", 0.0
	for _, name := range names(loop.Norms) {
		if d := math.Abs(ghost.Norms[name][i] - loop.Norms[name][i]); d > gap {
			worst, gap = name, d
		}
	}
	if worst == "" {
		return ""
	}
	return fmt.Sprintf(", most in %s (%g, %g)", worst, ghost.Norms[worst][i], loop.Norms[worst][i])
}

// tolerance is that of a comparison with PyTorch.
func (c *caseFile) tolerance() float64 {
	if c.Half {
		return toGoldenHalf
	}
	return toGolden
}

// compareLosses compares losses with PyTorch's.
func compareLosses(ghost *runtime.GradNorms, c *caseFile) error {
	if len(ghost.Loss) != len(c.Golden.Loss) {
		return fmt.Errorf("%d losses, PyTorch has %d", len(ghost.Loss), len(c.Golden.Loss))
	}
	for i := range ghost.Loss {
		if !within(ghost.Loss[i], c.Golden.Loss[i], c.tolerance(), 0) {
			return fmt.Errorf("record %d: loss %g, PyTorch %g", i, ghost.Loss[i], c.Golden.Loss[i])
		}
	}
	return nil
}

// compareGolden compares norms with PyTorch's.
func compareGolden(ghost *runtime.GradNorms, c *caseFile) error {
	for i := range ghost.Norm {
		if !within(ghost.Norm[i], c.Golden.Norm[i], c.tolerance(), 0) {
			return fmt.Errorf("record %d: norm %g, PyTorch %g (%+.3g %%), %d parameters", i, ghost.Norm[i], c.Golden.Norm[i],
				100*(ghost.Norm[i]/c.Golden.Norm[i]-1), len(ghost.Norms))
		}
	}
	return nil
}

// names are the keys of m, sorted.
func names[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for name := range m {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
