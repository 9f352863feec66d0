package runtime

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
)

// A SweepResult is what the cells of a sweep gave: the file sweep.json.
type SweepResult struct {
	Version int        `json:"version"`
	Axes    []string   `json:"axes"`   // of the grid
	Metric  string     `json:"metric"` // what cells are compared by; "" if none has a number
	Smaller bool       `json:"smaller_is_better"`
	Budget  string     `json:"budget,omitempty"` // the name of the file that the cells are charged to
	Notice  string     `json:"notice"`           // what choosing among the cells costs
	Rows    []SweepRow `json:"rows"`
	// Groups are the cells over which results are averaged: those that differ by seed or
	// repetition alone.
	Groups []SweepGroup `json:"groups"`
	Best   *SweepGroup  `json:"best"` // with the best mean; null if no cell has a number
}

// A SweepGroup is the metric over repetitions of one choice of settings.
type SweepGroup struct {
	Settings map[string]any `json:"settings"`
	Runs     int            `json:"runs"` // that have the metric
	Mean     *float64       `json:"mean"` // null without any
	// Spread is the sample standard deviation over runs; null for fewer than two.
	Spread *float64 `json:"standard_deviation"`
	Min    *float64 `json:"min"`
	Max    *float64 `json:"max"`

	DataDeclared string `json:"data_declared,omitempty"`
}

// What choosing the best cell costs.
const (
	noticeBudget = "The cells were charged to one budget. Choosing among them by results on the private data is covered by that budget as a whole, and by nothing less: " +
		"the epsilon of a cell counts the cell alone, and is not that of a model which was chosen because its result was the best."
	noticePublic = "DATA DECLARED PUBLIC: nothing was charged for choosing among the cells. If the data are in truth private, no epsilon here covers the choice."
	noticeMixed  = "Cells whose data are declared public were charged to nothing. For the others: " + noticeBudget
)

func (o *SweepOptions) notice() string {
	public := 0
	for _, c := range o.Cells {
		if c.Public {
			public++
		}
	}
	switch public {
	case 0:
		return noticeBudget
	case len(o.Cells):
		return noticePublic
	}
	return noticeMixed
}

// write writes the results so far.
func (s *sweep) write() (*SweepResult, error) {
	r := &SweepResult{Version: 1, Axes: s.Axes, Notice: s.notice(), Rows: []SweepRow{}}
	if b := s.budget(); b != "" {
		r.Budget = filepath.Base(b)
	}
	for _, c := range s.Cells {
		r.Rows = append(r.Rows, s.rows[c.Name])
	}
	if r.Metric = s.Metric; r.Metric == "" {
		r.Metric = firstMetric(r.Rows)
	}
	r.Smaller = SmallerIsBetter(r.Metric)
	r.group()
	lines, err := r.lines()
	if err != nil {
		return nil, err
	}
	for name, data := range map[string][]byte{"results.jsonl": lines, "results.csv": r.table(), "summary.csv": r.summary()} {
		if err := durable.WriteBytes(filepath.Join(s.Out, name), 0o644, data); err != nil {
			return nil, err
		}
	}
	return r, durable.WriteJSON(filepath.Join(s.Out, sweepFile), 0o644, r)
}

const sweepFile = "sweep.json"

// ReadSweep reads the results of a sweep's directory.
func ReadSweep(dir string) (*SweepResult, error) {
	path := filepath.Join(dir, sweepFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, usage("a sweep: %w", err)
	}
	r := &SweepResult{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, usage("%s: %w", path, err)
	}
	if r.Version != 1 {
		return nil, usage("%s: version %d is not one that this program reads (1)", path, r.Version)
	}
	return r, nil
}

// firstMetric is the most telling metric that a row has: of preferredMetrics, else the first by name.
func firstMetric(rows []SweepRow) string {
	have := map[string]bool{}
	for _, r := range rows {
		for name := range r.Metrics {
			have[name] = true
		}
	}
	for _, name := range preferredMetrics {
		if have[name] {
			return name
		}
	}
	if names := slices.Sorted(maps.Keys(have)); len(names) > 0 {
		return names[0]
	}
	return ""
}

// group puts repetitions together and finds the best of the means.
func (r *SweepResult) group() {
	at := map[string]int{}
	values := [][]float64{}
	r.Groups, r.Best = []SweepGroup{}, nil
	for _, row := range r.Rows {
		settings := maps.Clone(row.Settings)
		delete(settings, settingSeed)
		delete(settings, settingRepeat)
		key := SettingsText(settings)
		i, ok := at[key]
		if !ok {
			i = len(r.Groups)
			at[key] = i
			r.Groups, values = append(r.Groups, SweepGroup{Settings: settings, DataDeclared: row.DataDeclared}), append(values, nil)
		}
		if v, ok := row.Metrics[r.Metric]; ok {
			values[i] = append(values[i], v)
		}
	}
	for i := range r.Groups {
		g := &r.Groups[i]
		if g.of(values[i]); g.Mean == nil {
			continue
		}
		if r.Best == nil || r.Better(*g.Mean, *r.Best.Mean) {
			r.Best = g
		}
	}
}

// Better compares two values of the metric.
func (r *SweepResult) Better(a, b float64) bool {
	if r.Smaller {
		return a < b
	}
	return a > b
}

// of fills in the statistics.
func (g *SweepGroup) of(values []float64) {
	if g.Runs = len(values); g.Runs == 0 {
		return
	}
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	mean := sum / float64(len(values))
	low, high := slices.Min(values), slices.Max(values)
	g.Mean, g.Min, g.Max = &mean, &low, &high
	if len(values) > 1 {
		squares := 0.0
		for _, v := range values {
			squares += (v - mean) * (v - mean)
		}
		spread := math.Sqrt(squares / float64(len(values)-1))
		g.Spread = &spread
	}
}

// lines are the rows as JSON lines.
func (r *SweepResult) lines() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, row := range r.Rows {
		if err := enc.Encode(row); err != nil {
			return nil, fmt.Errorf("the results: %w", err)
		}
	}
	return b.Bytes(), nil
}

// Columns lists the names of settings and of metrics that any row has.
func (r *SweepResult) Columns() (settings, metrics []string) {
	set, measured := map[string]bool{}, map[string]bool{}
	for _, row := range r.Rows {
		for name := range row.Settings {
			set[name] = true
		}
		for name := range row.Metrics {
			measured[name] = true
		}
	}
	return slices.Sorted(maps.Keys(set)), slices.Sorted(maps.Keys(measured))
}

// table is the rows as csv: settings, then what every row has, then metrics.
func (r *SweepResult) table() []byte {
	names, measured := r.Columns()
	head := slices.Concat([]string{"cell", "status"}, names, []string{"steps", "planned_steps", "noise_multiplier", "epsilon", "nominal_epsilon", "delta", "data_declared", "not_private"}, measured)
	records := [][]string{head}
	for _, row := range r.Rows {
		line := []string{row.Cell, row.Status}
		for _, name := range names {
			line = append(line, SettingText(row.Settings[name]))
		}
		line = append(line, strconv.FormatInt(row.Steps, 10), strconv.FormatInt(row.Planned, 10), number(&row.NoiseMultiplier),
			number(row.Epsilon), number(row.NominalEpsilon), number(row.Delta), row.DataDeclared, row.NotPrivate)
		for _, name := range measured {
			v, ok := row.Metrics[name]
			line = append(line, map[bool]string{true: number(&v)}[ok])
		}
		records = append(records, line)
	}
	return csvOf(records)
}

// summary is the groups as csv.
func (r *SweepResult) summary() []byte {
	settings := map[string]bool{}
	for _, g := range r.Groups {
		for name := range g.Settings {
			settings[name] = true
		}
	}
	names := slices.Sorted(maps.Keys(settings))
	records := [][]string{slices.Concat(names, []string{"metric", "runs", "mean", "standard_deviation", "min", "max", "data_declared"})}
	for _, g := range r.Groups {
		var line []string
		for _, name := range names {
			line = append(line, SettingText(g.Settings[name]))
		}
		records = append(records, append(line, r.Metric, strconv.Itoa(g.Runs), number(g.Mean), number(g.Spread), number(g.Min), number(g.Max), g.DataDeclared))
	}
	return csvOf(records)
}

func csvOf(records [][]string) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.WriteAll(records) // a buffer does not fail
	return b.Bytes()
}

func number(x *float64) string {
	if x == nil {
		return ""
	}
	return strconv.FormatFloat(*x, 'g', -1, 64)
}

// SettingText is a setting as a person writes it.
func SettingText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1e15 {
			return strconv.FormatInt(int64(v), 10)
		}
		return strconv.FormatFloat(v, 'g', -1, 64)
	case []any:
		var parts []string
		for _, x := range v {
			parts = append(parts, SettingText(x))
		}
		return strings.Join(parts, " ")
	}
	return fmt.Sprint(v)
}

// SettingsText names settings, in the order of their names.
func SettingsText(settings map[string]any) string {
	var parts []string
	for _, name := range slices.SortedFunc(maps.Keys(settings), cmp.Compare[string]) {
		parts = append(parts, name+" "+SettingText(settings[name]))
	}
	return strings.Join(parts, ", ")
}
