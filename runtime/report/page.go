package report

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// A Page is the report of runs and sweeps. Every text on it is escaped where it stands: texts
// that models generated, and names that someone chose, may be hostile.
type Page struct {
	Title  string
	Debug  bool     // it holds values that epsilon does not cover
	Stamps []string // "NOT PRIVATE: …" of its runs, and declarations of public data

	Sweeps  []*sweepPart
	Runs    []*runPart
	Compare *comparePart // of several runs; nil otherwise
}

type runPart struct {
	*run
	Curves *picture
	Debug  *picture
}

type sweepPart struct {
	Name    string
	Result  *runtime.SweepResult
	Figure  *picture
	Groups  *table
	Results *table
	Cells   []*run // that have a ledger
}

type comparePart struct {
	Table  *table
	Curves *picture
	Debug  *picture
	Notice string
}

// A picture is a figure within the page.
type picture struct {
	Alt    string
	Source template.URL // of its own SVG, so that nothing is loaded
}

// What a comparison of runs says about choosing one of them.
const (
	noticeOneBudget = "The runs draw on one budget. Choosing among them by results on the private data is covered by that budget as a whole, not by the epsilon of the run that is chosen."
	noticeApart     = "The epsilon of each run counts that run alone. Choosing among them by results on the private data is not covered by any number here; only runs that draw on one budget, or a search, pay for it."
)

// Read reads directories of runs and of sweeps for a page. With debug the page holds what
// their debug/ folders hold, and must be kept like them.
func Read(dirs []string, debug bool) (*Page, error) {
	p := &Page{}
	var runs []*run
	var names []string
	for _, dir := range dirs {
		if isFile(filepath.Join(dir, "sweep.json")) {
			s, err := readSweep(dir, debug)
			if err != nil {
				return nil, err
			}
			p.Sweeps, names = append(p.Sweeps, s), append(names, s.Name)
			continue
		}
		if !isFile(filepath.Join(dir, "ledger")) {
			return nil, fmt.Errorf("%w: %s holds neither a run (a ledger) nor a sweep (sweep.json)", runtime.ErrUsage, dir)
		}
		r, err := readRun(dir, debug)
		if err != nil {
			return nil, err
		}
		runs, names = append(runs, r), append(names, r.Name)
	}
	distinct(runs)
	p.Title = strings.Join(names, ", ")
	if err := p.add(runs); err != nil {
		return nil, err
	}
	p.mark(runs)
	return p, nil
}

// distinct gives runs of the same name numbers.
func distinct(runs []*run) {
	seen := map[string]int{}
	for _, r := range runs {
		if seen[r.Name]++; seen[r.Name] > 1 {
			r.Name = fmt.Sprintf("%s (%d)", r.Name, seen[r.Name])
		}
	}
}

func (p *Page) add(runs []*run) (err error) {
	for _, r := range runs {
		part := &runPart{run: r}
		if part.Curves, part.Debug, err = pictures([]*run{r}); err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
		p.Runs = append(p.Runs, part)
	}
	if len(runs) < 2 {
		return nil
	}
	p.Compare = &comparePart{Table: comparison(runs), Notice: noticeOneBudget}
	for _, r := range runs {
		if r.Spec.Budget == nil || runs[0].Spec.Budget == nil || r.Spec.Budget.ID != runs[0].Spec.Budget.ID {
			p.Compare.Notice = noticeApart
		}
	}
	p.Compare.Curves, p.Compare.Debug, err = pictures(runs)
	return err
}

// mark collects what stands at the top of the page.
func (p *Page) mark(runs []*run) {
	add := func(stamp string) {
		if stamp != "" && !slices.Contains(p.Stamps, stamp) {
			p.Stamps = append(p.Stamps, stamp)
		}
	}
	for _, r := range runs {
		p.Debug = p.Debug || r.steps != nil || r.valids != nil
		if r.Statement.NotPrivate != "" {
			add(r.Name + ": " + r.Statement.NotPrivate)
		}
	}
	for _, s := range p.Sweeps {
		p.Debug = p.Debug || slices.Contains(s.Results.Head, "seconds")
		for _, row := range s.Result.Rows {
			if row.DataDeclared != "" {
				add(s.Name + ": DATA DECLARED PUBLIC: cells were charged to no budget")
			}
			if row.NotPrivate != "" {
				add(s.Name + ": " + row.NotPrivate)
			}
		}
	}
}

func pictures(runs []*run) (curves, debug *picture, err error) {
	f, err := releasedFigure(runs)
	if err != nil {
		return nil, nil, err
	}
	if curves, err = f.picture(); err != nil {
		return nil, nil, err
	}
	if f, err = debugFigure(runs); err != nil {
		return nil, nil, err
	}
	debug, err = f.picture()
	return curves, debug, err
}

// picture is the figure as a part of the page; nil for no figure.
func (f *Figure) picture() (*picture, error) {
	if f == nil {
		return nil, nil
	}
	svg, err := f.SVG()
	if err != nil {
		return nil, err
	}
	// An image's SVG runs no script and loads nothing, whatever it says.
	return &picture{f.Alt, template.URL("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(svg))}, nil
}

func readSweep(dir string, debug bool) (*sweepPart, error) {
	r, err := runtime.ReadSweep(dir)
	if err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s := &sweepPart{Name: filepath.Base(abs), Result: r, Groups: groups(r)}
	var seconds map[string]float64
	if debug {
		if seconds, err = readTimes(dir); err != nil {
			return nil, err
		}
	}
	s.Results = results(r, seconds)
	figure, err := SweepFigure(r)
	if err != nil {
		return nil, err
	}
	if s.Figure, err = figure.picture(); err != nil {
		return nil, err
	}
	for _, row := range r.Rows {
		cell := filepath.Join(dir, "cells", filepath.Base(row.Cell))
		if row.Status != runtime.CellDone || !isFile(filepath.Join(cell, "ledger")) {
			continue
		}
		c, err := readRun(cell, false)
		if err != nil {
			return nil, err
		}
		s.Cells = append(s.Cells, c)
	}
	return s, nil
}

// readTimes adds up how long each cell took.
func readTimes(dir string) (map[string]float64, error) {
	type line struct {
		Cell    string  `json:"cell"`
		Seconds float64 `json:"seconds"`
	}
	lines, err := readLines[line](filepath.Join(dir, "debug", "times.jsonl"))
	if err != nil || lines == nil {
		return nil, err
	}
	out := map[string]float64{}
	for _, l := range lines {
		out[l.Cell] += l.Seconds
	}
	return out, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// HasDebug reports whether a run's directory holds debug output.
func HasDebug(dir string) bool { return isFile(filepath.Join(dir, "debug", "steps.jsonl")) }

//go:embed page.gohtml
var pageSource string

var pageTemplate = template.Must(template.New("page").Parse(pageSource))

// HTML is the page: one file that loads nothing.
func (p *Page) HTML() ([]byte, error) {
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p); err != nil {
		return nil, fmt.Errorf("the page: %w", err)
	}
	return b.Bytes(), nil
}
