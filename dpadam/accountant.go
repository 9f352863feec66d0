package dpadam

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Result is an accountant's answer. Epsilon is the only field that may be promised.
type Result struct {
	Epsilon    float64 `json:"epsilon"`         // rigorous upper bound: the guarantee
	Estimate   float64 `json:"estimate"`        // best estimate of the true epsilon; for RDP the bound itself
	Lower      float64 `json:"lower"`           // a proven lower bound of the true epsilon; 0 is always one
	Delta      float64 `json:"delta"`           // rigorous upper bound of delta at that epsilon
	Order      float64 `json:"order,omitempty"` // the Renyi order that gave the bound; 0 for other accountants
	Accountant string  `json:"accountant"`      // the accountant's name
}

// An Accountant prices a composition. Implementations are deterministic and safe for
// concurrent use, validate the whole input before computing, never return NaN or a
// negative number, and return ErrUnsupported for what they have no proof for.
type Accountant interface {
	// Name is the accountant's name on the command line and in the ledger.
	Name() string
	// Epsilon returns the smallest epsilon it can prove at delta.
	Epsilon(c Composition, delta float64) (Result, error)
	// Delta returns the smallest delta it can prove at epsilon.
	Delta(c Composition, epsilon float64) (Result, error)
}

// accountants lists every accountant by name; a new one is added here.
var accountants = map[string]func() Accountant{
	"pld": func() Accountant { return NewPLD() },
	"prv": func() Accountant { return NewPRV() },
	"rdp": func() Accountant { return NewRDP() },
}

// DefaultAccountant is the accountant of a plan that names none.
const DefaultAccountant = "pld"

// Accountants lists the names of all accountants.
func Accountants() []string { return slices.Sorted(maps.Keys(accountants)) }

// NewAccountant returns a fresh accountant; the empty name is DefaultAccountant.
func NewAccountant(name string) (Accountant, error) {
	if name == "" {
		name = DefaultAccountant
	}
	if make, ok := accountants[name]; ok {
		return make(), nil
	}
	return nil, invalid("accountant", fmt.Sprintf("%q", name), "unknown; there are "+strings.Join(Accountants(), ", "))
}

// roundUp moves a non-negative upper bound up by more than the rounding errors of the
// last few float64 operations that made it.
func roundUp(x float64) float64 { return math.Nextafter(x*(1+1e-14), math.Inf(1)) }

// accountedDelta is what the accountant is given of a plan's delta. The
// difference pays for the total variation distance of the noise sampler
// to the ideal one (doc.go).
func accountedDelta(delta float64) float64 { return delta * (1 - 0x1p-40) }
