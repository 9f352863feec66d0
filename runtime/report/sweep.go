package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// WriteFigures draws a sweep into its directory and returns the names of the files.
func WriteFigures(dir string, r *runtime.SweepResult) ([]string, error) {
	figure, err := SweepFigure(r)
	if figure == nil || err != nil {
		return nil, err
	}
	return figure.write(dir)
}

// SweepFigure draws the metric over the settings that vary: two numbers as a heat map, one as
// a line with error bars, none as a value for each cell. Settings that are not numbers give a
// panel, or a line, for each of their values. It is nil where there is nothing to compare.
func SweepFigure(r *runtime.SweepResult) (*Figure, error) {
	numbers, others := axesOf(r)
	measured := slices.ContainsFunc(r.Groups, func(g runtime.SweepGroup) bool { return g.Mean != nil })
	switch {
	case !measured || len(r.Groups) < 2:
		return nil, nil
	case len(numbers) == 0:
		return dotsOf(r)
	case len(numbers) == 1:
		return linesOf(r, numbers[0], others)
	}
	return heatsOf(r, numbers[0], numbers[1], append(numbers[2:], others...)), nil
}

// axesOf are the settings in which groups differ: those that are always numbers, in the
// grid's order, and the others.
func axesOf(r *runtime.SweepResult) (numbers, others []string) {
	names := slices.Clone(r.Axes)
	for _, g := range r.Groups {
		for name := range g.Settings {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	for _, name := range names {
		values, numeric := map[string]bool{}, true
		for _, g := range r.Groups {
			v := g.Settings[name]
			_, is := number(v)
			numeric = numeric && is
			values[runtime.SettingText(v)] = true
		}
		switch {
		case len(values) < 2:
		case numeric:
			numbers = append(numbers, name)
		default:
			others = append(others, name)
		}
	}
	return numbers, others
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	}
	return math.NaN(), false
}

// split puts the groups that agree in the named settings together, in the order in which they
// come.
func split(r *runtime.SweepResult, names []string) (labels []string, parts [][]*runtime.SweepGroup) {
	for i := range r.Groups {
		g := &r.Groups[i]
		var words []string
		for _, name := range names {
			if v, ok := g.Settings[name]; ok {
				words = append(words, described(name, v))
			}
		}
		text := strings.Join(words, ", ")
		at := slices.Index(labels, text)
		if at < 0 {
			at = len(labels)
			labels, parts = append(labels, text), append(parts, nil)
		}
		parts[at] = append(parts[at], g)
	}
	return labels, parts
}

// described is a setting in a title: an explicit cell by its name alone.
func described(name string, v any) string {
	if _, numeric := number(v); numeric {
		return name + " " + runtime.SettingText(v)
	}
	return runtime.SettingText(v)
}

// maxPanels are drawn at most.
const maxPanels = 12

func heatsOf(r *runtime.SweepResult, x, y string, rest []string) *Figure {
	labels, parts := split(r, rest)
	var heats []*heat
	for k, groups := range parts[:min(maxPanels, len(parts))] {
		h := &heat{title: strings.TrimPrefix(labels[k]+noteOf(r), ", "), x: x, y: y, best: [2]int{-1, -1}}
		columns, rows := valuesOf(groups, x), valuesOf(groups, y)
		h.columns, h.rows = texts(columns), texts(rows)
		for _, b := range rows {
			values, words := make([]float64, len(columns)), make([]string, len(columns))
			for j, a := range columns {
				values[j], words[j] = math.NaN(), "–"
				at := slices.IndexFunc(groups, func(g *runtime.SweepGroup) bool { return is(g, x, a) && is(g, y, b) })
				if at < 0 || groups[at].Mean == nil {
					continue
				}
				values[j], words[j] = *groups[at].Mean, short(*groups[at].Mean)
				if isBest(r, groups[at]) {
					h.best = [2]int{len(h.value), j}
				}
			}
			h.value, h.text = append(h.value, values), append(h.text, words)
		}
		heats = append(heats, h)
	}
	return heatFigure("heatmap", altOf(r, fmt.Sprintf("Heat map of %s over %s (across) and %s (up)", r.Metric, x, y), len(parts)), r.Metric, heats)
}

func linesOf(r *runtime.SweepResult, x string, rest []string) (*Figure, error) {
	labels, parts := split(r, rest)
	var lines []series
	var marked []float64
	for k, groups := range parts[:min(maxPanels, len(parts))] {
		s := series{name: labels[k], dots: true}
		for _, v := range valuesOf(groups, x) {
			for _, g := range groups {
				if is(g, x, v) && g.Mean != nil {
					s.points, s.spread = append(s.points, plotter.XY{X: v, Y: *g.Mean}), append(s.spread, spreadOf(g))
				}
			}
			if !slices.Contains(marked, v) {
				marked = append(marked, v)
			}
		}
		if len(s.points) > 0 {
			lines = append(lines, s)
		}
	}
	p, err := linePanel(strings.TrimPrefix(noteOf(r), ", "), x, r.Metric, marked, lines...)
	if err != nil {
		return nil, err
	}
	return panelsFigure("lines", altOf(r, fmt.Sprintf("%s over %s", r.Metric, x), len(parts)), p), nil
}

func dotsOf(r *runtime.SweepResult) (*Figure, error) {
	var names []string
	var values, by []float64
	for i := range r.Groups {
		g := &r.Groups[i]
		name := runtime.SettingText(g.Settings["cell"])
		if len(g.Settings) > 1 || name == "" {
			name = runtime.SettingsText(g.Settings)
		}
		value := math.NaN()
		if g.Mean != nil {
			value = *g.Mean
		}
		names, values, by = append(names, name), append(values, value), append(by, spreadOf(g))
	}
	p, err := dotPanel(strings.TrimPrefix(noteOf(r), ", "), r.Metric, names, values, by)
	if err != nil {
		return nil, err
	}
	f := panelsFigure("cells", altOf(r, r.Metric+" of each cell", 1), p)
	f.width, f.height = 16*vg.Centimeter, vg.Length(2.5+0.8*float64(len(names)))*vg.Centimeter
	return f, nil
}

// valuesOf are the values of a setting, ascending.
func valuesOf(groups []*runtime.SweepGroup, name string) (out []float64) {
	for _, g := range groups {
		if v, ok := number(g.Settings[name]); ok && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, cmp.Compare[float64])
	return out
}

func is(g *runtime.SweepGroup, name string, want float64) bool {
	v, ok := number(g.Settings[name])
	return ok && v == want
}

func isBest(r *runtime.SweepResult, g *runtime.SweepGroup) bool {
	return r.Best != nil && runtime.SettingsText(r.Best.Settings) == runtime.SettingsText(g.Settings)
}

func spreadOf(g *runtime.SweepGroup) float64 {
	if g.Spread == nil {
		return 0
	}
	return *g.Spread
}

func texts(values []float64) (out []string) {
	for _, v := range values {
		out = append(out, runtime.SettingText(v))
	}
	return out
}

// short is a value as it stands in a cell: four significant digits.
func short(v float64) string { return fmt.Sprintf("%.4g", v) }

// noteOf marks figures of data that are declared public.
func noteOf(r *runtime.SweepResult) string {
	if slices.ContainsFunc(r.Rows, func(row runtime.SweepRow) bool { return row.DataDeclared != "" }) {
		return ", data declared PUBLIC"
	}
	return ""
}

// altOf says what a figure shows.
func altOf(r *runtime.SweepResult, what string, panels int) string {
	text := what + noteOf(r) + "."
	if panels > maxPanels {
		text += fmt.Sprintf(" %d of %d panels are drawn.", maxPanels, panels)
	}
	if r.Best != nil {
		text += fmt.Sprintf(" The best is %s: %s %s.", runtime.SettingsText(r.Best.Settings), r.Metric, short(*r.Best.Mean))
	}
	if slices.ContainsFunc(r.Groups, func(g runtime.SweepGroup) bool { return g.Spread != nil }) {
		text += " Error bars are one standard deviation over the runs of a group."
	}
	return text + " The numbers are in the table."
}
