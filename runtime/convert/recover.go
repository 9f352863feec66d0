package convert

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// Evidence is how a parameter's place in a graph was found.
type Evidence string

// The kinds of evidence, from the strongest.
const (
	ByScope   Evidence = "scope"   // the module path that the exporter gave the node
	ByName    Evidence = "name"    // the initializer's name
	ByStem    Evidence = "stem"    // the initializer's name with something behind it
	BySibling Evidence = "sibling" // the bias, or the weight, of the same linear layer
	ByContent Evidence = "content" // equal numbers in the checkpoint given by --like
	ByOrder   Evidence = "order"   // the order in which the forward pass reads parameters of one shape; only with a comparison of outputs
	ByAbsence Evidence = "absence" // a bias of zeros that the exporter left out; only with a comparison of outputs
	FromLike  Evidence = "like"    // not in the graph: taken from the checkpoint given by --like
)

// A match is where a parameter lies.
type match struct {
	use      *paramUse
	evidence Evidence
}

// A recovery assigns a graph's tensors to a class's parameters.
type recovery struct {
	class *expectedClass
	uses  []*paramUse
	found map[string]match
	taken map[*paramUse]bool
	like  Weights // nil for none
	// unread are the sizes of floating tensors that the graph reads in a way that
	// is not known: they may be parameters.
	unread map[int64]bool
}

func newRecovery(class *expectedClass, uses []*paramUse, like Weights) *recovery {
	return &recovery{class: class, uses: uses, found: map[string]match{}, taken: map[*paramUse]bool{}, like: like}
}

// run tries the kinds of evidence in their order. An ambiguity is an error; what
// is not found is left to the caller.
func (r *recovery) run() error {
	claims := []struct {
		by Evidence
		of func(u *paramUse) (*expectation, bool)
	}{{ByScope, r.byScope}, {ByName, r.byName}, {ByStem, r.byStem}, {BySibling, r.bySibling}}
	for _, c := range claims {
		if err := r.claim(c.by, c.of); err != nil {
			return err
		}
	}
	if err := r.byContent(); err != nil {
		return err
	}
	if err := r.markCopies(); err != nil {
		return err
	}
	r.byOrder()
	r.byAbsence()
	return r.markCopies()
}

// claim assigns every free use to the parameter that of names, where it fits and
// stronger evidence has not found the parameter elsewhere.
func (r *recovery) claim(by Evidence, of func(u *paramUse) (*expectation, bool)) error {
	claimed := map[string][]*paramUse{}
	for _, u := range r.uses {
		if r.taken[u] {
			continue
		}
		if p, ok := of(u); ok && p.fits(u) {
			claimed[p.name] = append(claimed[p.name], u)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(claimed)) {
		p, list := r.class.byName[name], claimed[name]
		if m, ok := r.found[name]; ok {
			list = append([]*paramUse{m.use}, list...)
		}
		for _, u := range list[1:] {
			same, err := r.equal(p, list[0], u)
			if err != nil {
				return err
			}
			if !same && r.found[name].use == nil {
				return bad("two tensors of the model stand for %q and hold different numbers: %q and %q%s", name, list[0].tensor.Name, u.tensor.Name, r.tiedHint(name))
			}
			if same {
				r.taken[u] = true
			}
		}
		if r.found[name].use == nil {
			r.found[name] = match{list[0], by}
		}
		r.taken[list[0]] = true
	}
	return nil
}

func (r *recovery) tiedHint(name string) string {
	for alias, root := range r.class.tied {
		if root == name {
			return fmt.Sprintf("; config.json ties %q to it: if the two were trained apart, set \"tie_word_embeddings\": false there", alias)
		}
	}
	return ""
}

// equal reports that two uses hold the same numbers for a parameter.
func (r *recovery) equal(p *expectation, a, b *paramUse) (bool, error) {
	if a.tensor == b.tensor && a.from == b.from && a.to == b.to && p.flipped(a) == p.flipped(b) {
		return true, nil
	}
	x, err := p.floatsOf(a)
	if err != nil {
		return false, err
	}
	y, err := p.floatsOf(b)
	if err != nil {
		return false, err
	}
	return slices.EqualFunc(x, y, sameFloat), nil
}

func sameFloat(a, b float32) bool { return a == b || a != a && b != b }

// lookup finds the parameter that a name within the use's file means.
func (r *recovery) lookup(u *paramUse, name string) (*expectation, bool) {
	return r.class.lookup(u.partOf(name))
}

func (r *recovery) byScope(u *paramUse) (*expectation, bool) {
	if u.module == "" {
		return nil, false
	}
	for _, module := range spelled(u.module) {
		if p, ok := r.lookup(u, module+"."+u.role.leaf()); ok {
			return p, true
		}
	}
	return nil, false
}

func (r *recovery) byName(u *paramUse) (*expectation, bool) {
	for _, n := range slices.Backward(u.names) { // the initializer's own first
		for _, s := range spelled(n) {
			if p, ok := r.lookup(u, s); ok {
				return p, true
			}
		}
	}
	return nil, false
}

func (r *recovery) byStem(u *paramUse) (*expectation, bool) {
	for _, n := range u.names {
		for _, s := range spelled(n) {
			if p, ok := r.class.decorated(u.partOf(s)); ok {
				return p, true
			}
		}
	}
	return nil, false
}

// bySibling names a weight after its bias and a bias after its weight.
func (r *recovery) bySibling(u *paramUse) (*expectation, bool) {
	owner := map[*paramUse]string{}
	for name, m := range r.found {
		owner[m.use] = name
	}
	if u.role == roleBias && u.of != nil {
		module, ok := strings.CutSuffix(owner[u.of], ".weight")
		if !ok {
			return nil, false
		}
		return r.class.exact(module + ".bias")
	}
	for _, b := range r.uses {
		if b.of != u {
			continue
		}
		if module, ok := strings.CutSuffix(owner[b], ".bias"); ok {
			return r.class.exact(module + ".weight")
		}
	}
	return nil, false
}

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
			v, err := p.floatsOf(u)
			if err != nil {
				return err
			}
			if same := want[hashFloats(v)]; len(same) == 1 && same[0] == p {
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

// missing lists the parameters that are not found, in the order of the class.
func (r *recovery) missing() []*expectation {
	var out []*expectation
	for _, p := range r.class.parameters {
		if _, ok := r.found[p.name]; !ok {
			out = append(out, p)
		}
	}
	return out
}

// markCopies takes the uses that hold the numbers of a parameter that was found
// elsewhere, as exports untie weights.
func (r *recovery) markCopies() error {
	for _, u := range r.free() {
		copied, err := r.isCopy(u)
		if err != nil {
			return err
		}
		r.taken[u] = copied
	}
	return nil
}

// free lists matrices that no parameter was found for.
func (r *recovery) free() []*paramUse {
	var out []*paramUse
	for _, u := range r.uses {
		if !r.taken[u] && (u.role == roleLinear || u.role == roleTable) {
			out = append(out, u)
		}
	}
	return out
}

func (r *recovery) isCopy(u *paramUse) (bool, error) {
	for _, p := range r.class.parameters {
		m, ok := r.found[p.name]
		if !ok || !p.fits(u) {
			continue
		}
		same, err := r.equal(p, m.use, u)
		if err != nil || same {
			return same, err
		}
	}
	return false, nil
}
