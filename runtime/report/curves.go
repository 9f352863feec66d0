package report

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// curvePoints is how often a curve of epsilon is priced; the accountant prv is slow.
const (
	curvePoints     = 33
	curvePointsSlow = 5
)

// epsilonCurve prices what the ledger charged, from nothing to all of it. Noised evaluations
// are spread evenly over the steps; the last point is exact. It is nil where nothing is
// guaranteed, or the price is that of a whole search, whatever was charged.
func (r *run) epsilonCurve() (plotter.XYs, error) {
	if r.spent != nil || !r.plan.Private() || r.Spec.Search != nil || r.charges.Steps == 0 {
		return r.spent, nil
	}
	n := int64(curvePoints)
	if r.Spec.Accountant == "prv" {
		n = curvePointsSlow
	}
	n = min(n, r.charges.Steps+1)
	out := plotter.XYs{}
	for k := range n {
		c := dpadam.Charges{Steps: r.charges.Steps * k / (n - 1), Evaluations: r.charges.Evaluations * k / (n - 1)}
		epsilon := 0.0
		if k > 0 {
			var err error
			if epsilon, err = r.plan.Bound(c); err != nil {
				return nil, err
			}
		}
		out = append(out, plotter.XY{X: float64(c.Steps), Y: epsilon})
	}
	r.spent = out
	return out, nil
}

// curve collects a number over steps.
func curve[T any](lines []T, step func(T) int64, value func(T) *float64) plotter.XYs {
	var out plotter.XYs
	for _, l := range lines {
		if v := value(l); v != nil && !math.IsNaN(*v) && !math.IsInf(*v, 0) {
			out = append(out, plotter.XY{X: float64(step(l)), Y: *v})
		}
	}
	return out
}

// A released curve is a number of release/metrics.jsonl over steps.
type releasedCurve struct {
	title, axis string
	value       func(metric) *float64
}

var releasedCurves = []releasedCurve{
	{"Validation loss (public data)", "loss", func(m metric) *float64 { return m.ValidLoss }},
	{"Validation accuracy (public data)", "accuracy", func(m metric) *float64 { return m.ValidAccuracy }},
	{"Validation loss, noised and paid for", "loss", func(m metric) *float64 { return m.NoisedLoss }},
	{"Validation accuracy, noised and paid for", "accuracy", func(m metric) *float64 { return m.NoisedAccuracy }},
	{"Clipping norm, from noised counts", "C", func(m metric) *float64 { return m.ClipNorm }},
	{"Learning rate", "rate", func(m metric) *float64 {
		if m.ValidLoss != nil || m.ValidAccuracy != nil {
			return nil
		}
		return m.LearningRate
	}},
}

// A debugCurve is a number of debug/steps.jsonl over steps.
type debugCurve struct {
	title, axis string
	value       func(debugStep) *float64
}

var debugCurves = []debugCurve{
	{"Training loss", "loss", func(s debugStep) *float64 { return s.Loss }},
	{"Fraction of records clipped", "fraction", func(s debugStep) *float64 { return &s.Clipped }},
	{"Records in the batch", "records", func(s debugStep) *float64 { n := float64(*s.Records); return &n }},
}

// releasedFigure draws what the runs released, and epsilon.
func releasedFigure(runs []*run) (*Figure, error) {
	panels, shown, err := epsilonPanel(runs)
	if err != nil {
		return nil, err
	}
	for _, c := range releasedCurves {
		p, err := panelOf(runs, c.title, c.axis, func(r *run) plotter.XYs {
			return curve(r.metrics, func(m metric) int64 { return m.Step }, c.value)
		})
		if err != nil {
			return nil, err
		}
		if p != nil {
			panels, shown = append(panels, p), append(shown, c.title)
		}
	}
	return curvesFigure("curves", "Curves over steps", panels, shown), nil
}

// debugFigure draws what was computed from private records; nil without debug output.
func debugFigure(runs []*run) (*Figure, error) {
	var panels []*plot.Plot
	var shown []string
	for _, c := range debugCurves {
		p, err := panelOf(runs, c.title, c.axis, func(r *run) plotter.XYs {
			return curve(r.steps, func(s debugStep) int64 { return s.Step }, c.value)
		})
		if err != nil {
			return nil, err
		}
		if p != nil {
			panels, shown = append(panels, p), append(shown, c.title)
		}
	}
	if p, err := normPanel(runs); err != nil || p != nil {
		if err != nil {
			return nil, err
		}
		panels, shown = append(panels, p), append(shown, "Norms of the gradients")
	}
	if len(panels) == 0 {
		return nil, nil
	}
	return curvesFigure("debug", "NOT COVERED BY EPSILON: curves over steps", panels, shown), nil
}

// epsilonPanel draws what was spent, against what may be.
func epsilonPanel(runs []*run) ([]*plot.Plot, []string, error) {
	var lines []series
	for _, r := range runs {
		points, err := r.epsilonCurve()
		if err != nil {
			return nil, nil, err
		}
		if points == nil {
			continue
		}
		lines = append(lines, series{name: r.Name, points: points})
		target, end := r.Spec.TargetEpsilon, points[len(points)-1].X
		if target > 0 && len(runs) == 1 {
			lines = append(lines, series{name: "target", points: plotter.XYs{{X: 0, Y: target}, {X: max(end, float64(r.Spec.Steps)), Y: target}}, dashed: true})
		}
	}
	if len(lines) == 0 {
		return nil, nil, nil
	}
	p, err := linePanel("Privacy spent, from the ledger", "step", "ε", nil, lines...)
	return []*plot.Plot{p}, []string{"privacy spent, from the ledger"}, err
}

// panelOf draws a number of every run that has it at two steps or more; nil if none does.
func panelOf(runs []*run, title, axis string, of func(*run) plotter.XYs) (*plot.Plot, error) {
	var lines []series
	for _, r := range runs {
		if points := of(r); len(points) > 1 {
			lines = append(lines, series{name: r.Name, points: points, dots: len(points) <= 30})
		}
	}
	if len(lines) == 0 {
		return nil, nil
	}
	return linePanel(title, "step", axis, nil, lines...)
}

// normPanel draws the quantiles of a single run's gradient norms, or the medians of several.
func normPanel(runs []*run) (*plot.Plot, error) {
	var lines []series
	names := []string{"10 %", "25 %", "median", "75 %", "90 %"}
	for _, r := range runs {
		for i, name := range names {
			if len(runs) > 1 && name != "median" {
				continue
			}
			points := curve(r.steps, func(s debugStep) int64 { return s.Step }, func(s debugStep) *float64 {
				if len(s.NormQuantiles) != len(names) || s.NormMax == 0 {
					return nil
				}
				return &s.NormQuantiles[i]
			})
			if len(runs) > 1 {
				name = r.Name
			}
			if len(points) > 1 {
				lines = append(lines, series{name: name, points: points})
			}
		}
	}
	if len(lines) == 0 {
		return nil, nil
	}
	slices.Reverse(lines)
	title := "Norms of the gradients"
	if len(runs) > 1 {
		title = "Median norm of the gradients"
	}
	return linePanel(title, "step", "norm", nil, lines...)
}

func curvesFigure(name, what string, panels []*plot.Plot, shown []string) *Figure {
	if len(panels) == 0 {
		return nil
	}
	alt := what + ":"
	for i, s := range shown {
		alt += fmt.Sprintf(" (%d) %s;", i+1, s)
	}
	return panelsFigure(name, alt[:len(alt)-1]+". The numbers are in the tables.", panels...)
}
