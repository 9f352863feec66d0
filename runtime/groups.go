package runtime

import (
	"math"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// GroupNorms are the norms and factors of the parameters that are clipped together.
type GroupNorms struct {
	ghost.Group
	ClipNorm float64   // C_k, the group's share of C
	Norm     []float64 // [B]
	Factor   []float64 // [B]
}

// planGroups are the groups as a plan records them.
func planGroups(groups []ghost.Group) []dpadam.ClipGroup {
	out := make([]dpadam.ClipGroup, len(groups))
	for k, g := range groups {
		out[k] = dpadam.ClipGroup{Name: g.Name, Coordinates: g.Coordinates, Share: g.Share}
	}
	return out
}

// columns cuts a value [B,K] into K columns.
func columns(t *ort.Tensor, k int) ([][]float64, error) {
	v, err := floats(t)
	if err != nil {
		return nil, err
	}
	out := make([][]float64, k)
	for i, x := range v {
		out[i%k] = append(out[i%k], x)
	}
	return out, nil
}

// groupNorms gives each group its norms, and the factors that these have under o beside the whole
// gradients' norms.
func (o GradNormsOptions) groupNorms(groups []ghost.Group, norms [][]float64, whole []float64, counts []bool) []GroupNorms {
	var out []GroupNorms
	for k, g := range groups {
		own := o
		own.ClipNorm *= g.Share
		out = append(out, GroupNorms{Group: g, ClipNorm: own.ClipNorm, Norm: norms[k], Factor: own.factors(floored(norms[k], whole), counts)})
	}
	return out
}

// floored are the norms by which a group is clipped; see ghost.GroupFloor.
func floored(norms, whole []float64) []float64 {
	out := make([]float64, len(norms))
	for i, n := range norms {
		out[i] = math.Hypot(n, ghost.GroupFloor*whole[i])
	}
	return out
}

// groupsOf are the groups' norms of one record whose gradients by parameter have the given norms.
func groupsOf(groups []ghost.Group, norm func(parameter string) float64) [][]float64 {
	out := make([][]float64, len(groups))
	for k, g := range groups {
		square := 0.0
		for _, name := range g.Parameters {
			square += norm(name) * norm(name)
		}
		out[k] = []float64{math.Sqrt(square)}
	}
	return out
}

// checkGrouping refuses what gradients can't be clipped by.
func (o *GradNormsOptions) checkGrouping() error {
	var err error
	if o.ClipPer, err = ghost.ParseGrouping(string(o.ClipPer)); err != nil {
		return usage("%w", err)
	}
	if o.ClipPer == ghost.Whole && o.ClipShares != "" {
		return usage("--clip-shares %s belongs to --clip-per", o.ClipShares)
	}
	if o.ClipShares, err = ghost.ParseSharing(string(o.ClipShares)); err != nil {
		return usage("%w", err)
	}
	if o.ClipPer != ghost.Whole && o.TwoPass {
		return usage("--clip-per %s needs one pass: the second of --two-pass weighs each record's whole gradient", o.ClipPer)
	}
	return nil
}
