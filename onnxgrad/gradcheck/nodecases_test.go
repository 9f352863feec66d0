package gradcheck

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/canon"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/gradcheck/nodecases"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// nodeTests is a selection of ONNX's own operator tests, where it exists.
const nodeTests = "../../../shared/data/onnx-node"

// passed is the number of cases whose gradient is checked and right. It may
// only grow.
const passed = 350

// An outcome is what became of one case.
type outcome struct {
	class  string // one of the classes below
	detail string // a reason, or the numbers of a wrong gradient
}

const (
	right     = "checked and right"
	unmoved   = "no float input reaches a float output (checked: the derivative is 0)"
	noFloats  = "no float input or no float output"
	refused   = "refused"
	cantRun   = "the runtime can't run it"
	wrong     = "wrong"
	undecided = "undecided: at a kink wherever it was moved"
	empty     = "without elements: only shapes are checked"
)

// Every operator test with float inputs and outputs is differentiated, or is
// refused with a reason.
func TestOperatorTests(t *testing.T) {
	if _, err := os.Stat(nodeTests); err != nil {
		t.Skipf("skipped: the folder %s is absent", nodeTests)
	}
	if testing.Short() {
		t.Skip("skipped: -short")
	}
	env, err := ort.Load("")
	if err != nil {
		t.Fatal(err)
	}
	names, err := nodecases.Names(nodeTests)
	if err != nil {
		t.Fatal(err)
	}
	classes := map[string]map[string][]string{} // class → reason → cases
	count := map[string]int{}
	for _, name := range names {
		o := differentiateCase(t.Context(), env, name)
		if classes[o.class] == nil {
			classes[o.class] = map[string][]string{}
		}
		classes[o.class][o.detail] = append(classes[o.class][o.detail], name)
		count[o.class]++
	}
	report(t, classes, count)
	if count[wrong]+count[undecided] > 0 {
		t.Errorf("%d cases are wrong, %d undecided", count[wrong], count[undecided])
	}
	if count[right] < passed {
		t.Errorf("%d cases are right, %d were", count[right], passed)
	}
}

func report(t *testing.T, classes map[string]map[string][]string, count map[string]int) {
	t.Helper()
	for _, class := range sorted(classes) {
		t.Logf("%4d %s", count[class], class)
		if class == right || class == noFloats {
			continue
		}
		for _, reason := range sorted(classes[class]) {
			cases := classes[class][reason]
			t.Logf("       %3d %s: %s", len(cases), reason, strings.Join(cases, " "))
		}
	}
}

func sorted[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// differentiateCase checks the gradient of one case with respect to all its
// float inputs.
func differentiateCase(ctx context.Context, env *ort.Env, name string) outcome {
	c, err := nodecases.Read(nodeTests, name)
	if err != nil {
		return outcome{refused, "unreadable: " + err.Error()}
	}
	if c.Feeds == nil {
		return outcome{noFloats, c.Why}
	}
	if err := runs(ctx, env, c); err != nil {
		return outcome{cantRun, shorten(err.Error())}
	}
	m, err := ir.Parse(c.Model)
	if err != nil {
		return outcome{refused, shorten(err.Error())}
	}
	g, err := canon.Canonical(m.Graph())
	if err != nil {
		if f, ferr := frozen(m.Graph(), c.Feeds); ferr == nil {
			g, err = &canon.Graph{Graph: f}, nil
		}
	}
	if err != nil {
		return outcome{refused, shorten(err.Error())}
	}
	params, feeds, err := floatInputs(g.Graph, c.Feeds)
	if err != nil {
		return outcome{refused, err.Error()}
	}
	o := differentiateInputs(ctx, env, g.Graph, params, feeds)
	if o.class != refused {
		return o
	}
	// What exporters write as a constant (axes, shapes, pads) is an input here.
	f, err := frozen(m.Graph(), c.Feeds)
	if err != nil {
		return outcome{refused, shorten(err.Error())}
	}
	return differentiateInputs(ctx, env, f, params, feeds)
}

// frozen returns the canonical graph with all inputs but floating ones constant.
func frozen(g *ir.Graph, feeds map[string]*ort.Tensor) (*ir.Graph, error) {
	g.Inputs = slices.DeleteFunc(g.Inputs, func(in *ir.ValueInfo) bool {
		if in.DType.IsFloat() {
			return false
		}
		x := feeds[in.Name]
		g.AddInit(ir.NewRaw(in.Name, in.DType, x.Shape(), x.Bytes()))
		g.Lifted[in.Name] = true
		return true
	})
	c, err := canon.Canonical(g)
	if err != nil {
		return nil, err
	}
	return c.Graph, nil
}

// differentiateInputs checks the gradients of the named inputs of a canonical
// graph.
func differentiateInputs(ctx context.Context, env *ort.Env, g *ir.Graph, params []string, feeds map[string]*ort.Tensor) outcome {
	floats := slices.ContainsFunc(g.Outputs, func(v *ir.ValueInfo) bool { return v.DType.IsFloat() })
	if len(params) == 0 || !floats {
		return outcome{class: noFloats}
	}
	return compareCase(ctx, env, g, feeds, params)
}

// runs reports whether the runtime runs the case as it is.
func runs(ctx context.Context, env *ort.Env, c *nodecases.Case) error {
	s, err := env.NewSession(c.Model, ort.Options{Name: c.Name, Threads: 1})
	if err != nil {
		return err
	}
	defer s.Close()
	var names []string
	for _, o := range s.Outputs() {
		names = append(names, o.Name)
	}
	_, err = s.Run(ctx, c.Feeds, ort.Outputs(names...)...)
	return err
}

// floatInputs names the inputs to differentiate and widens their numbers.
func floatInputs(g *ir.Graph, feeds map[string]*ort.Tensor) (params []string, wide map[string]*ort.Tensor, err error) {
	wide = map[string]*ort.Tensor{}
	for _, in := range g.Inputs {
		if wide[in.Name], err = nodecases.Widened(feeds[in.Name]); err != nil {
			return nil, nil, err
		}
		if in.DType.IsFloat() {
			params = append(params, in.Name)
		}
	}
	return params, wide, nil
}

// An attempt is a precision with the tolerance, the step and how far the point
// is moved away from ties.
type attempt struct {
	precision             Precision
	step, move, tolerance float64
}

// Kinks and ties lie within a step of a random point with a probability in
// proportion to the step: in double it can be tiny.
var attempts = []attempt{{Double, 1e-5, 0.05, 1e-6}, {Single, 0.02, 0.05, 3e-3}}

func compareCase(ctx context.Context, env *ort.Env, g *ir.Graph, feeds map[string]*ort.Tensor, params []string) outcome {
	given := map[string]*ort.Tensor{}
	for _, in := range g.Inputs {
		given[in.Name] = feeds[in.Name]
	}
	var err error
	for _, a := range attempts {
		var c *Checker
		if c, err = New(env, g.Clone(), given, params, a.precision); err == nil {
			defer c.Close()
			return comparePoints(ctx, c, a)
		}
		if !errors.Is(err, ErrRuntime) {
			break
		}
	}
	return outcome{refused, shorten(err.Error())}
}

// comparePoints compares at random points until one has no kink near it. It
// moves less and less, for a domain may end near (the logarithm's at 0).
func comparePoints(ctx context.Context, c *Checker, a attempt) outcome {
	move, last := a.move, Result{}
	for seed := range uint64(20) {
		r, err := c.Compare(ctx, rand.New(rand.NewPCG(seed, 1)), move, a.step)
		if errors.Is(err, ErrKink) {
			continue
		}
		if err != nil {
			return outcome{wrong, shorten(err.Error())}
		}
		last = r
		switch {
		case c.Elements() == 0:
			return outcome{class: empty}
		case !c.Reaches() && r.Scale < 1e-9:
			return outcome{class: unmoved}
		case r.Scale > 1e-9 && r.Error() < a.tolerance:
			return outcome{class: right}
		case r.Scale > 1e-9 && r.Kink < a.tolerance*r.Scale:
			return outcome{wrong, fmt.Sprintf("vjp %g, numeric %g, scale %g", r.VJP, r.Numeric, r.Scale)}
		}
		if seed%4 == 3 {
			move /= 2
		}
	}
	return outcome{undecided, fmt.Sprintf("vjp %g, numeric %g, scale %g, kink %g", last.VJP, last.Numeric, last.Scale, last.Kink)}
}

var quoted = regexp.MustCompile(`"[^"]*"|node [^ ]+ |/[^ ]*|\d{4}-[^ ]* [^ ]* `)

// shorten drops names from an error, so that equal reasons group.
func shorten(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	s = quoted.ReplaceAllString(s, "…")
	if len(s) > 220 {
		s = s[:220] + "…"
	}
	return s
}
