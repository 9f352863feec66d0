package ghost

import (
	"fmt"
	"math"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// A Grouping says which parameters share a norm, by which they are clipped.
type Grouping string

const (
	// Whole: one norm over all parameters.
	Whole Grouping = ""
	// PerLayer: a norm for every layer, and for embeddings, final norm and head.
	PerLayer Grouping = "layer"
	// PerParameter: a norm for every parameter.
	PerParameter Grouping = "parameter"
)

// ParseGrouping reads a grouping's name; the empty one is Whole.
func ParseGrouping(s string) (Grouping, error) {
	switch g := Grouping(s); g {
	case Whole, PerLayer, PerParameter:
		return g, nil
	}
	return "", fmt.Errorf("unknown grouping %q; there are layer and parameter", s)
}

// A Sharing says how groups divide the clipping norm C among them.
type Sharing string

const (
	// EqualShares: C_k = C/√K for each of K groups (McMahan et al. 2018,
	// 1710.06963, §2.2).
	EqualShares Sharing = "equal"
	// SizeShares: C_k = C·√(d_k/d), for d_k of d coordinates.
	SizeShares Sharing = "size"
)

// ParseSharing reads a sharing's name; the empty one is EqualShares.
func ParseSharing(s string) (Sharing, error) {
	switch r := Sharing(s); r {
	case "":
		return EqualShares, nil
	case EqualShares, SizeShares:
		return r, nil
	}
	return "", fmt.Errorf("unknown shares %q; there are equal and size", s)
}

// A Group is a set of parameters that are clipped by their common norm.
type Group struct {
	Name        string
	Parameters  []string // a tied weight is one, under its first name
	Coordinates int64
	// Share is C_k/C. It is a float32, rounded down, and Σ Share² ≤ 1 over all
	// groups: whatever each is clipped to, the whole stays within C.
	Share float64
}

// GroupFloor τ keeps rounding from being blown up. The gradient of some parameters is 0
// in exact arithmetic (a key projection's bias) and rounding, of about 1e-6 of the whole
// gradient, in single precision; clipped or normalised by itself it would become as long
// as C_k, and it depends on the records that it was computed together with. So a group is
// clipped by
//
//	√(‖g_k‖² + τ²‖g‖²) ≥ ‖g_k‖,
//
// which leaves it within C_k, and changes nothing for groups of a norm far above τ‖g‖.
const GroupFloor = 1e-3

// Places of parameters that belong to no layer, in the order of the groups.
const (
	groupEmbeddings = "embeddings" // first used before the layers
	groupLayer      = "layer.%d"
	groupBetween    = "between"    // between layers: an encoder's last norm, a shared table of positions
	groupFinalNorm  = "final_norm" // after the layers, scales and shifts before any product
	groupHead       = "head"       // the rest
)

// groups divides the trained parameters.
func (p *Prepared) groups(by Grouping, shares Sharing, trained []Parameter) ([]Group, error) {
	if by == Whole {
		return nil, nil
	}
	name := func(q Parameter) string { return q.Name }
	if by == PerLayer {
		s := newStack(p)
		if s.first < 0 {
			return nil, fmt.Errorf("%w: neither names nor nodes of this model tell layers; clip per parameter instead", ir.ErrInvalid)
		}
		name = s.group
		trained = slices.Clone(trained)
		slices.SortStableFunc(trained, func(a, b Parameter) int { return s.rank(a) - s.rank(b) })
	}
	var out []Group
	at := map[string]int{}
	for _, q := range trained {
		k, ok := at[name(q)]
		if !ok {
			k = len(out)
			at[name(q)], out = k, append(out, Group{Name: name(q)})
		}
		out[k].Parameters = append(out[k].Parameters, q.Name)
		out[k].Coordinates += q.Elements()
	}
	share(out, shares)
	return out, nil
}

// share sets the groups' shares of C.
func share(groups []Group, by Sharing) {
	total := int64(0)
	for _, g := range groups {
		total += g.Coordinates
	}
	for k := range groups {
		part := 1 / float64(len(groups))
		if by == SizeShares {
			part = float64(groups[k].Coordinates) / float64(total)
		}
		groups[k].Share = below(math.Sqrt(part))
	}
}

// below is the largest float32 that is not above x.
func below(x float64) float64 {
	f := float32(x)
	if float64(f) > x {
		f = math.Nextafter32(f, 0)
	}
	return float64(f)
}

// A stack says where in a model's order of execution its layers begin and end.
type stack struct {
	place       map[string]int // of nodes
	first, last int            // places of the first and the last use of a layer's parameter; −1 without layers
	product     int            // place of the first other parameter after the layers that is not a scale, a shift or a bias
}

func newStack(p *Prepared) *stack {
	s := &stack{place: map[string]int{}, first: -1, last: -1, product: math.MaxInt}
	for i, n := range p.Graph.Nodes {
		s.place[n.Name] = i
	}
	for _, q := range p.Parameters {
		if q.Layer == NoLayer {
			continue
		}
		at := s.of(q)
		if s.first < 0 || at < s.first {
			s.first = at
		}
		s.last = max(s.last, at)
	}
	for _, q := range p.Parameters {
		if at := s.of(q); q.Layer == NoLayer && at > s.last && !elementwise(q) {
			s.product = min(s.product, at)
		}
	}
	return s
}

// of is the place of a parameter's first use.
func (s *stack) of(p Parameter) int {
	at := math.MaxInt
	for _, u := range p.Uses {
		at = min(at, s.place[u.Node])
	}
	return at
}

// elementwise reports a parameter that only scales and shifts activations.
func elementwise(p Parameter) bool {
	return !slices.ContainsFunc(p.Uses, func(u ParameterUse) bool { return u.Kind != Scale && u.Kind != Shift && u.Kind != Bias })
}

// group names a parameter's group.
func (s *stack) group(p Parameter) string {
	at := s.of(p)
	switch {
	case p.Layer != NoLayer:
		return fmt.Sprintf(groupLayer, p.Layer)
	case at < s.first:
		return groupEmbeddings
	case at <= s.last:
		return groupBetween
	case at < s.product:
		return groupFinalNorm
	}
	return groupHead
}

// rank orders parameters by group: what comes before the layers, the layers, the
// others.
func (s *stack) rank(p Parameter) int {
	const layers = 1 << 20
	switch s.group(p) {
	case groupEmbeddings:
		return -1
	case groupBetween:
		return layers
	case groupFinalNorm:
		return layers + 1
	case groupHead:
		return layers + 2
	}
	return min(p.Layer, layers-1)
}
