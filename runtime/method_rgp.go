package runtime

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/adapt"
)

// Defaults of --method rgp: the rank of Li et al.'s runs on E2E, and every matrix of the layers, as Yu et al. do.
const (
	defaultRGPRank    = 1
	defaultRGPTargets = "part:" + ghost.PartLayers
)

// rgp reparametrises weights by low-rank gradient carriers: the carriers are trained, and what comes of it moves the
// weights (moved).
type rgp struct {
	options MethodOptions
	base    *ghost.Prepared // the model as it is
	updates []adapt.LowRank
	moved   *moved // of a run
}

func newRGP(o MethodOptions) (method, error) {
	if o.RGPRank == 0 {
		o.RGPRank = defaultRGPRank
	}
	if len(o.RGPTargets) == 0 {
		o.RGPTargets = []string{defaultRGPTargets}
	}
	return &rgp{options: o}, nil
}

func (r *rgp) prepare(_ context.Context, _ *Model, p *ghost.Prepared) (*ghost.Prepared, error) {
	if r.options.RGPTargets[0] == defaultRGPTargets && !hasPart(p, ghost.PartLayers) {
		return nil, usage("--method rgp: neither names nor nodes of this model tell layers; name weights with --rgp-targets")
	}
	weights, err := matricesOf(p, "rgp-targets", r.options.RGPTargets)
	if err != nil {
		return nil, err
	}
	r.base = p
	a := adapt.RGP{Rank: r.options.RGPRank, Source: func(name string) *rand.Rand { return r.carrierSource(name, 0) }}
	p, r.updates, err = withLowRank(p, "rgp", weights, a.Apply)
	return p, err
}

// carrierSource draws where the carriers that step n leaves begin: a function of public things, so that a resumed run
// finds the same ones.
func (r *rgp) carrierSource(name string, n int64) *rand.Rand {
	return publicSource(fmt.Sprintf("carriers %d", n), name, r.options.Seed)
}

func (r *rgp) trainable(p *ghost.Prepared) []string {
	return withHead(p, []string{"part:" + ghost.PartAdapter})
}

func (r *rgp) describe() string {
	return fmt.Sprintf("RGP of rank %d on %d weights (%s), carriers drawn from the public seed %d",
		r.options.RGPRank, len(r.updates), strings.Join(r.options.RGPTargets, " "), r.options.Seed)
}

// check refuses what would move the carriers themselves, or needs them elsewhere.
func (r *rgp) check(o *FinetuneOptions, ranks *ranks, onDevice bool) error {
	for what, is := range map[string]bool{"--ema averages what is trained": o.EMA > 0, "several processes share what is trained": ranks != nil, "a GPU holds what is not trained": onDevice} {
		if is {
			return usage("--method rgp trains carriers that are made anew in every step, and %s: leave that out, or take another method", what)
		}
	}
	return nil
}

// save writes the weights that the carriers moved.
func (r *rgp) save(m *Model, dir string, _ *Weights, metadata map[string]string) error {
	values := map[string][]float32{}
	for _, param := range r.moved.weights.Params() {
		values[param.Name] = r.moved.weights.Slice(param.Name)
	}
	return writeBack(m, dir, values, metadata)
}

// matricesOf are the matrices of products that patterns name.
func matricesOf(p *ghost.Prepared, flag string, patterns []string) ([]string, error) {
	chosen, err := p.Choose(flag, patterns)
	if err != nil {
		return nil, usage("%w%s", err, quantisedHint(p))
	}
	var names []string
	for _, q := range chosen {
		linear := slices.ContainsFunc(q.Uses, func(u ghost.ParameterUse) bool { return u.Kind == ghost.Linear })
		if linear && len(q.Shape) == 2 {
			names = append(names, q.Name)
		}
	}
	if len(names) == 0 {
		return nil, usage("--%s %s: none of the %d parameters that match is the matrix of a product; inspect lists them%s", flag, strings.Join(patterns, ","), len(chosen), quantisedHint(p))
	}
	return names, nil
}
