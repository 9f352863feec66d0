package dpadam

import (
	"fmt"
	"slices"
)

// The rules by which a gradient of norm |g| is bounded by C.
const (
	// ClipAbadi multiplies by min(1, C/|g|) (Abadi et al. 2016, Algorithm 1).
	ClipAbadi = "abadi"
	// ClipAutomatic multiplies by C/(|g|+gamma), gamma > 0, which is below C/|g| (Bu et al. 2023,
	// arXiv 2206.07136, AUTO-S).
	ClipAutomatic = "auto"
)

// Clipping says how gradients are bounded, where it is not the plain way: one norm over all
// coordinates, the rule ClipAbadi, and a C that stays. A plain plan has none. Whatever it says,
// two neighbouring data sets' sums differ by at most C (doc.go).
type Clipping struct {
	Rule  string  `json:"rule"`            // ClipAbadi or ClipAutomatic
	Gamma float64 `json:"gamma,omitempty"` // of ClipAutomatic, in units of the gradient

	// Per is what the groups are ("layer", "parameter"); empty for one norm over everything.
	// Every group's part of a gradient is clipped by itself to its share of C.
	Per    string      `json:"per,omitempty"`
	Groups []ClipGroup `json:"groups,omitempty"`

	// Adaptive lets C follow a quantile of the gradients' norms.
	Adaptive *Adaptive `json:"adaptive,omitempty"`
}

// ClipGroup is a set of coordinates with a norm of their own, clipped to Share*C. A record's
// whole gradient then has norm at most C*sqrt(sum of Share^2) <= C (McMahan et al. 2018,
// arXiv 1710.06963, section 2.2: per-layer clipping).
type ClipGroup struct {
	Name        string  `json:"name"`
	Coordinates int64   `json:"coordinates"`
	Share       float64 `json:"share"`
}

// Bounds of Clipping.
const (
	// maxAutoFactor bounds C/gamma, the factor of a gradient that is zero, so that single
	// precision holds its products.
	maxAutoFactor = 1e12
	// minGamma bounds gamma of a private plan from below. A gradient that is rounding alone, such as
	// that of a record the model is certain of, has a norm of 1e-8 to 1e-5 and depends on the records
	// that were computed with it; with gamma not above that it would be made as long as C.
	minGamma  = 1e-4
	maxGroups = 1 << 20
	// minShares: groups that use less of C than this were computed wrongly.
	minShares = 0.99
)

// resolveClipping returns the canonical form: nil for the plain way. The count's noise and
// lattice of adaptive clipping follow later, from the noise multiplier.
func resolveClipping(c Clipping, clipNorm float64) *Clipping {
	c = *c.clone()
	if c.Rule == "" {
		c.Rule = ClipAbadi
	}
	if c.plain() {
		return nil
	}
	if c.Adaptive != nil {
		c.Adaptive.bound(clipNorm)
	}
	return &c
}

func (c *Clipping) plain() bool {
	return c.Rule == ClipAbadi && c.Gamma == 0 && c.Per == "" && len(c.Groups) == 0 && c.Adaptive == nil
}

func (c *Clipping) clone() *Clipping {
	if c == nil {
		return nil
	}
	out := *c
	out.Groups = slices.Clone(c.Groups)
	if c.Adaptive != nil {
		a := *c.Adaptive
		out.Adaptive = &a
	}
	return &out
}

// adaptive is the plan's adaptive clipping, nil where C stays.
func (s *Spec) adaptive() *Adaptive {
	if s.Clipping == nil {
		return nil
	}
	return s.Clipping.Adaptive
}

// largestClip is the largest clipping norm that the plan can come to.
func (s *Spec) largestClip() float64 {
	if a := s.adaptive(); a != nil {
		return a.MaxNorm
	}
	return s.ClipNorm
}

func (s *Spec) validateClipping() error {
	c := s.Clipping
	if c == nil {
		return nil
	}
	if c.plain() {
		return invalid("clipping", c.Rule, "the plain way is written by leaving it out")
	}
	if s.ClipNorm == 0 {
		return invalid("clipping norm", s.ClipNorm, "must be > 0 where a way of clipping is given; without privacy give a clipping norm too")
	}
	if err := s.validateRule(); err != nil {
		return err
	}
	if err := s.validateGroups(); err != nil {
		return err
	}
	if s.RecordsPerUnit > 0 && c.Per != "" {
		return invalid("records per unit", s.RecordsPerUnit, "a unit of several records is clipped as a whole, by one norm")
	}
	if c.Adaptive == nil {
		return nil
	}
	if c.Per != "" {
		return invalid("clipping quantile", c.Adaptive.Quantile, "adapts one norm over all coordinates; it can't be combined with clipping per "+c.Per)
	}
	return c.Adaptive.validate(s)
}

func (s *Spec) validateRule() error {
	c := s.Clipping
	switch c.Rule {
	case ClipAbadi:
		if c.Gamma != 0 {
			return invalid("clipping gamma", c.Gamma, "belongs to automatic clipping")
		}
	case ClipAutomatic:
		if !(c.Gamma >= minClip && c.Gamma <= maxClip) {
			return invalid("clipping gamma", c.Gamma, fmt.Sprintf("must be in [%g, %g]", minClip, maxClip))
		}
		if s.Lattice != nil && c.Gamma < minGamma {
			return invalid("clipping gamma", c.Gamma, fmt.Sprintf("must be at least %g: a smaller one makes rounding errors as long as gradients", minGamma))
		}
		if !(s.largestClip()/c.Gamma <= maxAutoFactor) {
			return invalid("clipping gamma", c.Gamma, fmt.Sprintf("must be at least %g of the clipping norm (now %g)", 1/maxAutoFactor, s.largestClip()))
		}
	default:
		return invalid("clipping rule", fmt.Sprintf("%q", c.Rule), "must be abadi or auto")
	}
	return nil
}

// validateGroups holds the groups to what the sensitivity rests on: the squares of their shares
// add up to at most 1, and together they are all coordinates.
func (s *Spec) validateGroups() error {
	c := s.Clipping
	if c.Per == "" {
		if len(c.Groups) > 0 {
			return invalid("clipping groups", len(c.Groups), "belong to clipping per layer or per parameter")
		}
		return nil
	}
	if c.Per != "layer" && c.Per != "parameter" {
		return invalid("clipping per", fmt.Sprintf("%q", c.Per), "must be layer or parameter, or empty")
	}
	if len(c.Groups) < 1 || len(c.Groups) > maxGroups {
		return invalid("clipping groups", len(c.Groups), fmt.Sprintf("must be 1 to %d", maxGroups))
	}
	squares, coordinates := 0.0, int64(0)
	seen := map[string]bool{}
	for _, g := range c.Groups {
		switch {
		case g.Name == "" || seen[g.Name]:
			return invalid("clipping group", fmt.Sprintf("%q", g.Name), "names must differ and not be empty")
		case !(g.Share > 0 && g.Share <= 1):
			return invalid("share of clipping group "+g.Name, g.Share, "must be in (0, 1]")
		case g.Coordinates < 1 || g.Coordinates > s.Dim-coordinates:
			return invalid("coordinates of clipping group "+g.Name, g.Coordinates, fmt.Sprintf("must be >= 1, and %d over all groups", s.Dim))
		}
		seen[g.Name] = true
		squares += g.Share * g.Share
		coordinates += g.Coordinates
	}
	if coordinates != s.Dim {
		return invalid("coordinates of clipping groups", coordinates, fmt.Sprintf("must be %d, every trainable one in one group", s.Dim))
	}
	if !(squares <= 1 && squares >= minShares) {
		return invalid("squared shares of clipping groups", squares, fmt.Sprintf("must add up to at most 1, and to at least %g", minShares))
	}
	return nil
}

const plainClipping = "abadi: factor min(1, C/norm)"

// String is the way of clipping in words; nil is the plain way.
func (c *Clipping) String() string {
	if c == nil {
		return plainClipping
	}
	text := plainClipping
	if c.Rule == ClipAutomatic {
		text = fmt.Sprintf("auto: factor C/(norm + %g)", c.Gamma)
	}
	if c.Per != "" {
		text += fmt.Sprintf(", per %s: %d groups, each by its own norm to its share of C", c.Per, len(c.Groups))
	}
	return text
}
