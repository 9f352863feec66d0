package convert

import (
	"crypto/sha256"
	"fmt"
	"maps"
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
	hashes map[reading][sha256.Size]byte
}

func newRecovery(class *expectedClass, uses []*paramUse, like Weights) *recovery {
	return &recovery{class: class, uses: uses, found: map[string]match{}, taken: map[*paramUse]bool{}, like: like, hashes: map[reading][sha256.Size]byte{}}
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
	x, err := r.hash(p, a)
	if err != nil {
		return false, err
	}
	y, err := r.hash(p, b)
	return x == y, err
}

// A reading is a tensor as a parameter is read from it.
type reading struct {
	tensor  *ir.Tensor
	from    int64
	flipped bool
	offset  float32
}

// hash is that of the parameter's numbers as a use holds them, computed once.
func (r *recovery) hash(p *expectation, u *paramUse) ([sha256.Size]byte, error) {
	key := reading{u.tensor, u.from, p.flipped(u), u.offset - p.offset}
	if h, ok := r.hashes[key]; ok {
		return h, nil
	}
	v, err := p.floatsOf(u)
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	h := hashFloats(v)
	r.hashes[key] = h
	return h, nil
}

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
