package report

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// A table has a head and rows; the first column names a row.
type table struct {
	Caption string
	Head    []string
	Rows    [][]string
	Marked  int // the row that stands out; -1 for none
}

// comparison puts runs beside each other. A column in which no run has anything is left out.
func comparison(runs []*run) *table {
	columns := []struct {
		name string
		of   func(*run) string
	}{
		{"run", func(r *run) string { return r.Name }},
		{"task", func(r *run) string { return r.given("task") }},
		{"model", func(r *run) string { return r.given("model") }},
		{"method", func(r *run) string { return r.given("method") }},
		{"N", func(r *run) string { return fmt.Sprint(r.Spec.Records) }},
		{"expected batch", func(r *run) string { return plain(r.Spec.ExpectedBatch) }},
		{"learning rate", func(r *run) string { return plain(r.Spec.Optimizer.LearningRate) }},
		{"clipping norm", func(r *run) string { return positive(r.Spec.ClipNorm) }},
		{"steps taken", func(r *run) string { return r.taken() }},
		{"noise multiplier", func(r *run) string { return positive(r.Spec.NoiseMultiplier) }},
		{"ε", func(r *run) string {
			if r.Statement.Epsilon == nil {
				return "NOT PRIVATE"
			}
			return upward(*r.Statement.Epsilon)
		}},
		{"δ", func(r *run) string { return pointer(r.Statement.Delta) }},
		{"seed", func(r *run) string { return r.given("seed") }},
	}
	for _, c := range releasedCurves[:4] {
		columns = append(columns, struct {
			name string
			of   func(*run) string
		}{strings.ToLower(c.title[:1]) + c.title[1:], func(r *run) string { return pointer(r.last(c.value)) }})
	}
	t := &table{Caption: "The runs beside each other", Marked: -1, Rows: make([][]string, len(runs))}
	for _, c := range columns {
		values, any := make([]string, len(runs)), false
		for i, r := range runs {
			values[i] = c.of(r)
			any = any || values[i] != ""
		}
		if !any {
			continue
		}
		t.Head = append(t.Head, c.name)
		for i := range runs {
			t.Rows[i] = append(t.Rows[i], values[i])
		}
	}
	return t
}

// last is the last value of a number that the run released.
func (r *run) last(value func(metric) *float64) (out *float64) {
	for _, m := range r.metrics {
		if v := value(m); v != nil {
			out = v
		}
	}
	return out
}

func (r *run) taken() string {
	if r.Statement.StepsTaken == nil {
		return fmt.Sprintf("%d charged, not ended", r.Statement.StepsCharged)
	}
	return fmt.Sprintf("%d of %d", *r.Statement.StepsTaken, r.Statement.StepsPlanned)
}

func pointer(x *float64) string {
	if x == nil {
		return ""
	}
	return plain(*x)
}

func positive(x float64) string {
	if x == 0 {
		return ""
	}
	return plain(x)
}

// Numbers lists what the run released of its scores, and epsilon after them.
func (r *run) Numbers() *table {
	t := &table{Caption: "Scores that the run released", Head: []string{"step", "ε"}, Marked: -1}
	for _, c := range releasedCurves[:4] {
		if r.last(c.value) != nil {
			t.Head = append(t.Head, strings.ToLower(c.title[:1])+c.title[1:])
		}
	}
	for _, m := range r.metrics {
		row, any := []string{fmt.Sprint(m.Step), pointer(m.Epsilon)}, false
		for _, c := range releasedCurves[:4] {
			if r.last(c.value) == nil {
				continue
			}
			v := c.value(m)
			row, any = append(row, pointer(v)), any || v != nil
		}
		if any {
			t.Rows = append(t.Rows, row)
		}
	}
	if len(t.Rows) == 0 {
		return nil
	}
	return t
}

// sampledRows is how many steps a table of a curve has.
const sampledRows = 25

// sampled picks steps evenly, the first and the last among them.
func sampled[T any](lines []T) []T {
	if len(lines) <= sampledRows {
		return lines
	}
	out := make([]T, sampledRows)
	for k := range out {
		out[k] = lines[k*(len(lines)-1)/(sampledRows-1)]
	}
	return out
}

// Spent is the curve of epsilon in numbers; nil where there is none.
func (r *run) Spent() *table {
	if len(r.spent) == 0 {
		return nil
	}
	t := &table{Caption: "Privacy spent, from the ledger", Head: []string{"steps charged", "ε"}, Marked: -1}
	for _, p := range sampled(r.spent) {
		t.Rows = append(t.Rows, []string{plain(p.X), upward(p.Y)})
	}
	return t
}

// DebugNumbers are steps of debug/; nil without them.
func (r *run) DebugNumbers() *table {
	if len(r.steps) == 0 {
		return nil
	}
	t := &table{Caption: "NOT COVERED BY ε: steps of debug/steps.jsonl", Marked: -1,
		Head: []string{"step", "loss", "records", "fraction clipped", "mean norm", "largest norm", "norms at 10, 25, 50, 75, 90 %"}}
	for _, s := range sampled(r.steps) {
		var quantiles []string
		for _, q := range s.NormQuantiles {
			quantiles = append(quantiles, plain(q))
		}
		t.Rows = append(t.Rows, []string{fmt.Sprint(s.Step), pointer(s.Loss), fmt.Sprint(*s.Records), plain(s.Clipped), plain(s.NormMean), plain(s.NormMax), strings.Join(quantiles, ", ")})
	}
	return t
}

// results is the table of a sweep's cells.
func results(r *runtime.SweepResult, seconds map[string]float64) *table {
	names, measured := r.Columns()
	t := &table{Caption: "Every cell", Marked: -1, Head: slices.Concat([]string{"cell", "what became of it"}, names, []string{"steps", "noise multiplier", "ε of the run alone", "δ", "data"}, measured)}
	if seconds != nil {
		t.Head = append(t.Head, "seconds")
	}
	for _, row := range r.Rows {
		line := []string{row.Cell, row.Status}
		for _, name := range names {
			line = append(line, settingText(name, row.Settings[name]))
		}
		epsilon := pointer(row.Epsilon)
		switch {
		case row.Epsilon != nil:
			epsilon = upward(*row.Epsilon)
		case row.NominalEpsilon != nil:
			epsilon = fmt.Sprintf("NOT PRIVATE (nominal %s)", upward(*row.NominalEpsilon))
		case row.NotPrivate != "":
			epsilon = "NOT PRIVATE"
		}
		data := "charged to the budget"
		if row.DataDeclared != "" {
			data = "declared PUBLIC"
		}
		line = append(line, fmt.Sprintf("%d of %d", row.Steps, row.Planned), positive(row.NoiseMultiplier), epsilon, pointer(row.Delta), data)
		for _, name := range measured {
			if v, ok := row.Metrics[name]; ok {
				line = append(line, plain(v))
			} else {
				line = append(line, "")
			}
		}
		if s, ok := seconds[row.Cell]; ok {
			line = append(line, fmt.Sprintf("%.1f", s))
		} else if seconds != nil {
			line = append(line, "")
		}
		t.Rows = append(t.Rows, line)
	}
	return t
}

// groups is the table of means over seeds and repetitions.
func groups(r *runtime.SweepResult) *table {
	t := &table{Caption: "Means over seeds and repetitions; the best is marked", Head: []string{"settings", "runs", r.Metric, "standard deviation", "least", "largest"}, Marked: -1}
	for i := range r.Groups {
		g := &r.Groups[i]
		settings := map[string]any{}
		for name, v := range g.Settings {
			settings[name] = settingText(name, v)
		}
		if isBest(r, g) {
			t.Marked = i
		}
		t.Rows = append(t.Rows, []string{runtime.SettingsText(settings), fmt.Sprint(g.Runs), pointer(g.Mean), pointer(g.Spread), pointer(g.Min), pointer(g.Max)})
	}
	return t
}

// settingText is a setting's value; of a path its last element.
func settingText(name string, v any) string {
	text := runtime.SettingText(v)
	if slices.Contains(paths, name) && text != "" {
		return filepath.Base(text)
	}
	return text
}
