package convert

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// byContent finds parameters whose numbers in the --like checkpoint are those of
// exactly one free use: weights that training left alone.
func (r *recovery) byContent() error {
	if r.like == nil {
		return nil
	}
	want := map[[sha256.Size]byte][]*expectation{}
	for _, p := range r.missing() {
		name, info, ok := findIn(r.like, r.class.arch, p.name)
		if !ok || !slices.Equal(info.Shape, p.shape) {
			continue
		}
		b, err := r.like.Bytes(name)
		if err != nil {
			return err
		}
		if b, err = converted(b, info.DType, ir.Float32); err != nil {
			return err
		}
		want[sha256.Sum256(b)] = append(want[sha256.Sum256(b)], p)
	}
	matches := map[*expectation][]*paramUse{}
	for _, u := range r.uses {
		if r.taken[u] {
			continue
		}
		seen := map[*expectation]bool{}
		for _, p := range r.missing() {
			if !p.fits(u) || seen[p] {
				continue
			}
			h, err := r.hash(p, u)
			if err != nil {
				return err
			}
			if same := want[h]; len(same) == 1 && same[0] == p {
				matches[p] = append(matches[p], u)
			}
		}
	}
	for p, list := range matches {
		if len(list) == 1 {
			r.found[p.name] = match{list[0], ByContent}
			r.taken[list[0]] = true
		}
	}
	return nil
}

func hashFloats(v []float32) [sha256.Size]byte {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return sha256.Sum256(b)
}

// findIn looks a parameter up in a checkpoint under the names that it may have
// there.
func findIn(w Weights, a *Architecture, name string) (string, TensorInfo, bool) {
	return newSource(w, a, Options{}).find(name)
}

// byOrder pairs what is left, where as many parameters of a role and shape are
// missing as uses of them are free: exporters write a graph in the order of the
// forward pass. It is a guess, which a comparison of outputs must confirm.
func (r *recovery) byOrder() {
	free := map[string][]*paramUse{}
	assigned := map[*ir.Tensor]bool{}
	for _, m := range r.found {
		assigned[m.use.tensor] = true
	}
	for _, u := range r.uses {
		key := fmt.Sprint(u.role, u.shape())
		again := slices.ContainsFunc(free[key], func(f *paramUse) bool { return f.tensor == u.tensor && f.from == u.from })
		if !r.taken[u] && !assigned[u.tensor] && !again {
			free[key] = append(free[key], u)
		}
	}
	missing := map[string][]*expectation{}
	for _, p := range r.missing() {
		key := fmt.Sprint(p.role, p.form())
		missing[key] = append(missing[key], p)
	}
	for key, list := range missing {
		if len(list) != len(free[key]) {
			continue
		}
		for i, p := range list {
			r.found[p.name] = match{free[key][i], ByOrder}
			r.taken[free[key][i]] = true
		}
	}
}

// byAbsence takes a bias for zeros where the graph adds nothing to the product of
// its weight: exporters leave out what adds nothing.
func (r *recovery) byAbsence() {
	biased := map[*paramUse]bool{}
	for _, u := range r.uses {
		biased[u.of] = true
	}
	for _, p := range r.missing() {
		module, ok := strings.CutSuffix(p.name, ".bias")
		if !ok || p.role != roleBias {
			continue
		}
		w, ok := r.class.exact(module + ".weight")
		if !ok || r.found[w.name].use == nil || r.found[w.name].use.role != roleLinear || biased[r.found[w.name].use] {
			continue
		}
		zeros := ir.NewFloat32(p.name, p.shape, make([]float32, p.shape[0]))
		r.found[p.name] = match{&paramUse{tensor: zeros, role: roleBias}, ByAbsence}
	}
}
