package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// A scalingLine is one model at one microbatch over lengths, or one of a report of
// several microbatches.
type scalingLine struct {
	model      string
	microbatch int
}

// writeScaling draws the private step's time for a token, and its ratio to the
// step that is not private, over the length, for every model and microbatch that
// was measured at two lengths or more: a flat line is a cost that is linear in
// tokens.
func writeScaling(dir string, r *runtime.BenchReport) error {
	times, ratios := map[scalingLine]plotter.XYs{}, map[scalingLine]plotter.XYs{}
	for _, c := range r.Cells {
		for _, m := range c.Variants {
			if m.Name == "dp" {
				at := scalingLine{c.Model, c.Microbatch}
				times[at] = append(times[at], plotter.XY{X: float64(c.Length), Y: 1e3 * m.PerToken})
				ratios[at] = append(ratios[at], plotter.XY{X: float64(c.Length), Y: m.TimeRatio})
			}
		}
	}
	var lines []scalingLine
	for at, points := range times {
		if len(points) > 1 {
			lines = append(lines, at)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	slices.SortFunc(lines, func(a, b scalingLine) int {
		return cmp.Or(cmp.Compare(a.model, b.model), a.microbatch-b.microbatch)
	})
	left, err := linePanel("Private step", "ms per token", lines, times)
	if err != nil {
		return err
	}
	right, err := linePanel("Private / not private", "time ratio", lines, ratios)
	if err != nil {
		return err
	}
	return saveFigure(filepath.Join(dir, "scaling"), []*plot.Plot{left, right}, 26*vg.Centimeter)
}

func linePanel(title, axis string, lines []scalingLine, points map[scalingLine]plotter.XYs) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, "length, tokens", axis
	p.Y.Min = 0
	for k, at := range lines {
		slices.SortFunc(points[at], func(a, b plotter.XY) int { return cmp.Compare(a.X, b.X) })
		line, dots, err := plotter.NewLinePoints(points[at])
		if err != nil {
			return nil, fmt.Errorf("the figure: %w", err)
		}
		line.Color, dots.Color = benchColours[k%len(benchColours)], benchColours[k%len(benchColours)]
		p.Add(line, dots)
		p.Legend.Add(fmt.Sprintf("%s, microbatch %d", at.model, at.microbatch), line, dots)
		for _, xy := range points[at] {
			p.Y.Max = max(p.Y.Max, 1.4*xy.Y)
		}
	}
	p.Legend.Top = true
	return p, nil
}
