package ghost

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// A Match is what one pattern of --trainable or --freeze matched.
type Match struct {
	Flag    string // "trainable" or "freeze"
	Pattern string
	// Names of parameters, and of quantised weights, which can only be frozen.
	Names    []string
	Elements int64 // their numbers
}

// String says what was matched, in a line.
func (m Match) String() string {
	names := m.Names
	rest := ""
	if len(names) > 3 {
		names, rest = names[:3], fmt.Sprintf(" and %d more", len(m.Names)-3)
	}
	return fmt.Sprintf("--%s %s: %d parameters with %d numbers: %s%s", m.Flag, m.Pattern, len(m.Names), m.Elements, strings.Join(names, ", "), rest)
}

// A Selection says which parameters are trained, and why.
type Selection struct {
	Trained []bool // by parameter
	Matches []Match
	// Left are the quantised weights about which no pattern says anything: they
	// stay as they are, and whoever asked for everything should know.
	Left []Constant
}

// Lines says in words what patterns matched, and what stays as it is unasked.
func (s *Selection) Lines() []string {
	var out []string
	for _, m := range s.Matches {
		out = append(out, m.String())
	}
	if n := len(s.Left); n > 0 {
		out = append(out, fmt.Sprintf("%d quantised weights stay as they are, the first is %s; --freeze kind:quantised says that this is meant", n, s.Left[0].Name))
	}
	return out
}

// choose marks the parameters to train: those that match a trainable pattern
// (all, when there is none) and no freeze pattern. A pattern is
//
//	kind:bias     a kind of use, or several: kind:bias+shift (kind:quantised are
//	              weights that can only be frozen)
//	layers:8-11   a range of layers; layers:11 is one, layers:8- goes to the last,
//	              layers:top2 are the last two
//	part:head     where it stands, or several: part:final_norm+head, see AllParts
//	attention:q+v what it does for attention, see AttentionRoles; attention: for any
//	*.h.11.*      a name, in which * stands for any characters and ? for one
//
// A pattern that matches nothing is an error, and so is training nothing but
// quantised weights.
func (p *Prepared) choose(trainable, freeze []string) (*Selection, error) {
	s := &Selection{Trained: make([]bool, len(p.Parameters))}
	for i := range s.Trained {
		s.Trained[i] = len(trainable) == 0
	}
	if len(trainable) == 0 {
		s.Left = slices.Clone(p.Quantised)
	}
	for _, set := range []struct {
		flag     string
		patterns []string
		train    bool
	}{{"trainable", trainable, true}, {"freeze", freeze, false}} {
		for _, text := range set.patterns {
			if err := p.apply(s, set.flag, text, set.train); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// apply applies one pattern to a selection.
func (p *Prepared) apply(s *Selection, flag, text string, train bool) error {
	matches, err := p.pattern(text)
	if err != nil {
		return fmt.Errorf("%w: --%s: %w", ir.ErrInvalid, flag, err)
	}
	m := Match{Flag: flag, Pattern: text}
	for i, param := range p.Parameters {
		if matches(param) {
			s.Trained[i] = train
			m.Names, m.Elements = append(m.Names, param.Name), m.Elements+param.Elements()
		}
	}
	found := len(m.Names)
	for _, q := range p.Quantised {
		as := Parameter{Name: q.Name, Shape: q.Shape, Uses: []ParameterUse{{Kind: Quantised}}, Layer: NoLayer}
		switch {
		case !matches(as):
		case !train:
			s.Left = slices.DeleteFunc(s.Left, func(c Constant) bool { return c.Name == q.Name })
			m.Names, m.Elements = append(m.Names, q.Name), m.Elements+as.Elements()
		case found == 0:
			return fmt.Errorf("%w: --%s %s: %q is quantised (%s) and can't be trained; export the model in floating point", ir.ErrUnsupported, flag, text, q.Name, p.Graph.Inits[q.Name].DType)
		}
	}
	if len(m.Names) == 0 {
		return noMatch(text, p.Parameters)
	}
	s.Matches = append(s.Matches, m)
	return nil
}

// Choose returns the parameters that match any of the patterns; see choose. A pattern of
// names may also be that of a node that reads the parameter, for exporters lose names.
func (p *Prepared) Choose(flag string, patterns []string) ([]Parameter, error) {
	chosen := map[string]bool{}
	for _, text := range patterns {
		matches, err := p.pattern(text)
		if err != nil {
			return nil, fmt.Errorf("%w: --%s: %w", ir.ErrInvalid, flag, err)
		}
		found := false
		for _, q := range p.Parameters {
			byNode := slices.ContainsFunc(q.Uses, func(u ParameterUse) bool { return matches(Parameter{Name: u.Node, Layer: NoLayer}) })
			if matches(q) || byNode {
				chosen[q.Name], found = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("--%s: %w", flag, noMatch(text, p.Parameters))
		}
	}
	return slices.DeleteFunc(slices.Clone(p.Parameters), func(q Parameter) bool { return !chosen[q.Name] }), nil
}

// pattern compiles a pattern.
func (p *Prepared) pattern(text string) (func(Parameter) bool, error) {
	if kinds, ok := strings.CutPrefix(text, "kind:"); ok {
		wanted := map[Kind]bool{}
		for kind := range strings.SplitSeq(kinds, "+") {
			if !slices.Contains(Kinds, Kind(kind)) {
				return nil, fmt.Errorf("%q is no kind; there are %v", kind, Kinds)
			}
			wanted[Kind(kind)] = true
		}
		return func(p Parameter) bool {
			return slices.ContainsFunc(p.Uses, func(u ParameterUse) bool { return wanted[u.Kind] })
		}, nil
	}
	if parts, ok := strings.CutPrefix(text, "part:"); ok {
		wanted, err := listed("part", parts, AllParts)
		return func(p Parameter) bool {
			return slices.ContainsFunc(p.Parts, func(part string) bool { return wanted[part] })
		}, err
	}
	if roles, ok := strings.CutPrefix(text, "attention:"); ok {
		wanted, err := listed("role in attention", cmp.Or(roles, strings.Join(AttentionRoles, "+")), AttentionRoles)
		return func(p Parameter) bool {
			return slices.ContainsFunc(p.Attention, func(r string) bool { return wanted[r] })
		}, err
	}
	if layers, ok := strings.CutPrefix(text, "layers:"); ok {
		first, last, err := p.layerRange(layers)
		return func(p Parameter) bool { return p.Layer >= first && p.Layer <= last }, err
	}
	expr := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(text))
	name, err := regexp.Compile("^(?s:" + expr + ")$")
	return func(p Parameter) bool { return name.MatchString(p.Name) }, err
}

// listed reads names joined by +, of those that there are.
func listed(what, text string, all []string) (map[string]bool, error) {
	wanted := map[string]bool{}
	for name := range strings.SplitSeq(text, "+") {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("%q is no %s; there are %s", name, what, strings.Join(all, ", "))
		}
		wanted[name] = true
	}
	return wanted, nil
}

// layerRange reads "3", "3-5", "3-" or "top2".
func (p *Prepared) layerRange(text string) (first, last int, err error) {
	const unbounded = 1<<31 - 1
	if count, ok := strings.CutPrefix(text, "top"); ok {
		n, err := strconv.Atoi(count)
		if err != nil || n < 1 {
			return 0, 0, fmt.Errorf("%q is no number of layers; write top2", text)
		}
		for _, q := range p.Parameters {
			last = max(last, q.Layer)
		}
		return max(last-n+1, 0), last, nil
	}
	from, to, isRange := strings.Cut(text, "-")
	first, err = strconv.Atoi(from)
	last = first
	if isRange && err == nil {
		if last = unbounded; to != "" {
			last, err = strconv.Atoi(to)
		}
	}
	if err != nil || first < 0 || last < first {
		return 0, 0, fmt.Errorf("%q is no range of layers; write 3, 3-5, 3- or top2", text)
	}
	return first, last, nil
}

// noMatch is the error for a pattern that matches nothing.
func noMatch(text string, params []Parameter) error {
	if strings.HasPrefix(text, "layers:") {
		seen := NoLayer
		for _, p := range params {
			seen = max(seen, p.Layer)
		}
		if seen == NoLayer {
			return fmt.Errorf("pattern %q matches no parameter: neither names nor nodes of this model tell layers; match names, as inspect lists them", text)
		}
		return fmt.Errorf("pattern %q matches no parameter; the layers are 0 to %d", text, seen)
	}
	names := make([]string, 0, 3)
	for _, p := range params[:min(3, len(params))] {
		names = append(names, p.Name)
	}
	return fmt.Errorf("pattern %q matches no parameter; there are %d, such as %q", text, len(params), names)
}
