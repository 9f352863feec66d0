package convert

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// A source gives an architecture's parameters their numbers and keeps account of
// what was missing, misshapen or left over.
type source struct {
	weights Weights // nil: everything is drawn from the seed
	arch    *Architecture
	options Options
	newHead bool // the caller asked for a head: what the checkpoint lacks of it is drawn

	used     map[string]bool   // names of the checkpoint
	names    map[string]string // parameter → its name in the checkpoint, where they differ
	fresh    []string          // parameters drawn from the seed beside a checkpoint
	problems []string
}

func newSource(w Weights, a *Architecture, o Options) *source {
	return &source{weights: w, arch: a, options: o, newHead: o.Head != "" || o.Labels > 0, used: map[string]bool{}, names: map[string]string{}}
}

// tensor returns the initializer of p, its data still to be read. head parameters
// may be missing when a new head was asked for: they are drawn.
func (s *source) tensor(p Parameter, head bool) *ir.Tensor {
	if _, ok := p.elements(); !ok {
		s.problem("parameter %q: shape %v is out of range", p.Name, p.Shape)
		return ir.NewRaw(p.Name, ir.Float32, []int64{0}, nil)
	}
	if s.weights == nil {
		return s.drawn(p)
	}
	name, info, ok := s.find(p.Name)
	fits := ok && slices.Equal(info.Shape, p.Shape)
	switch {
	case head && s.newHead && !fits:
		s.fresh = append(s.fresh, p.Name)
		if ok {
			s.used[name] = true
		}
		return s.drawn(p)
	case !ok:
		s.problem("tensor %q %v is missing", p.Name, p.Shape)
		return s.drawn(p)
	}
	s.used[name] = true
	if name != p.Name {
		s.names[p.Name] = name
	}
	as, err := storedType(info.DType, s.options.DType)
	switch {
	case !fits:
		s.problem("tensor %q has the shape %v, config.json asks for %v", name, info.Shape, p.Shape)
		return s.drawn(p)
	case err != nil:
		s.problem("tensor %q: %v", name, err)
		return s.drawn(p)
	}
	n, _ := p.elements()
	return p.filled(as, func(w io.Writer) error {
		r, err := openTensor(s.weights, name)
		if err != nil {
			return err
		}
		return copyConverted(w, r, n, info.DType, as)
	})
}

func (s *source) drawn(p Parameter) *ir.Tensor {
	as := s.options.DType
	if as == ir.Undefined {
		as = ir.Float32
	}
	return p.filled(as, func(w io.Writer) error { return p.draw(w, s.options.Seed, as) })
}

// filled is an initializer over write, which gives the checkpoint's layout.
func (p Parameter) filled(as ir.DType, write func(io.Writer) error) *ir.Tensor {
	if !p.Transposed {
		return ir.NewFilled(p.Name, as, p.graphShape(), write)
	}
	return ir.NewFilled(p.Name, as, p.graphShape(), func(w io.Writer) error {
		var whole bytes.Buffer
		n, _ := p.elements()
		whole.Grow(int(n) * formats[as].Size)
		if err := write(&whole); err != nil {
			return err
		}
		return writeTransposed(w, whole.Bytes(), p.Shape[0], p.Shape[1], int64(formats[as].Size))
	})
}

// find looks a parameter up under the names that checkpoints give it: its own,
// and without the prefix of the base model, as a base model saves itself.
func (s *source) find(name string) (string, TensorInfo, bool) {
	for _, n := range s.candidates(name) {
		if info, ok := s.weights.Info(n); ok {
			return n, info, true
		}
	}
	return "", TensorInfo{}, false
}

func (s *source) candidates(name string) []string {
	out := []string{name}
	if rest, ok := strings.CutPrefix(name, s.arch.Base+"."); ok && s.arch.Base != "" {
		out = append(out, rest)
	}
	if s.arch.Renamed != nil {
		for _, n := range slices.Clone(out) {
			out = append(out, s.arch.Renamed(n)...)
		}
	}
	return out
}

// has reports that the checkpoint holds a parameter that architectures have at
// will.
func (s *source) has(name string) bool {
	if s.weights == nil {
		return false
	}
	_, _, ok := s.find(name)
	return ok
}

// tied notes that the checkpoint may hold name too, as a copy of the parameter
// root. A copy with other numbers is a problem: transformers would read one of
// the two.
func (s *source) tied(name, root string) error {
	if s.weights == nil {
		return nil
	}
	copied, _, ok := s.find(name)
	origin, _, known := s.find(root)
	if !ok || !known {
		return nil
	}
	s.used[copied] = true
	equal, err := s.equal(copied, origin)
	if err == nil && !equal {
		s.problem("tensors %q and %q differ, but config.json ties them; set \"tie_word_embeddings\": false to keep both", copied, origin)
	}
	return err
}

// equal compares two tensors of the checkpoint, a piece at a time.
func (s *source) equal(a, b string) (bool, error) {
	ra, err := openTensor(s.weights, a)
	if err != nil {
		return false, err
	}
	rb, err := openTensor(s.weights, b)
	if err != nil || ra.Size() != rb.Size() {
		return false, err
	}
	pa, pb := make([]byte, 1<<20), make([]byte, 1<<20)
	for left := ra.Size(); left > 0; left -= int64(len(pa)) {
		n := min(left, int64(len(pa)))
		pa, pb = pa[:n], pb[:n]
		if _, err := io.ReadFull(ra, pa); err != nil {
			return false, err
		}
		if _, err := io.ReadFull(rb, pb); err != nil {
			return false, err
		}
		if !bytes.Equal(pa, pb) {
			return false, nil
		}
	}
	return true, nil
}

func (s *source) problem(format string, args ...any) {
	s.problems = append(s.problems, fmt.Sprintf(format, args...))
}

// unused lists tensors of the checkpoint that no parameter took, without the
// buffers that the architecture is known to save.
func (s *source) unused() []string {
	if s.weights == nil {
		return nil
	}
	var out []string
	for _, n := range s.weights.Names() {
		ignored := slices.ContainsFunc(s.arch.Buffers, func(suffix string) bool { return strings.HasSuffix(n, suffix) })
		if !s.used[n] && !ignored {
			out = append(out, n)
		}
	}
	return out
}

// err reports the problems, all at once.
func (s *source) err() error {
	if len(s.problems) == 0 {
		return nil
	}
	const shown = 8
	list := s.problems
	more := ""
	if len(list) > shown {
		more = fmt.Sprintf("; and %d more", len(list)-shown)
		list = list[:shown]
	}
	hint := ""
	if s.weights != nil {
		hint = fmt.Sprintf("; the checkpoint holds %d tensors", len(s.weights.Names()))
		if left := s.unused(); len(left) > 0 {
			hint += fmt.Sprintf(", %d of them of no use here, such as %q", len(left), left[0])
		}
	}
	return bad("the checkpoint is not a %s as config.json describes it: %s%s%s", s.arch.ModelType, strings.Join(list, "; "), more, hint)
}
