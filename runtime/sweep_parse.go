package runtime

import (
	"cmp"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// alternatives are names of which a run takes one: where a cell or the grid sets one of
// them, the others are dropped that the file gives for all runs.
var alternatives = [][]string{
	{"target-epsilon", "noise-multiplier", "no-privacy", "budget-share"},
	{"epochs", "steps"},
	{"expected-batch", "sample-rate"},
}

// ofSweep are names that belong to the whole sweep, not to a cell or the grid.
var ofSweep = []string{"out", "budget", "cells", "metric"}

// A sweepSection is the file of a sweep, or one of its explicit cells. What a cell leaves out
// is the file's.
type sweepSection struct {
	name    string // of a cell
	options []setting
	grid    []axis // nil: not given
	repeats int    // 0: not given
	public  *bool

	evaluate *SweepEvaluation

	cells  []*sweepSection // of the file
	metric string
}

// A setting is one of train's names with its value.
type setting struct {
	name  string
	value *yaml.Node
}

// ParseSweep reads a sweep from YAML: train's names for all runs, and
//
//	grid: {NAME: [VALUE, …], …}     every combination of the values is a run
//	cells: [{name: N, NAME: VALUE, …}, …]   explicit runs, each by every combination of the grid
//	repeats: K                      every run K times, each with other random numbers
//	public-data: true               the data are public: nothing is charged for them
//	evaluate: {data: FILE, …}       what every trained model is evaluated on (SweepEvaluation)
//	metric: M                       what the runs are compared by
//
// A cell may have a grid, repeats, public-data and evaluate of its own, and its model may be
// @N: the model that the cell N trains.
func ParseSweep(data []byte) (SweepOptions, error) {
	var o SweepOptions
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return o, usage("the sweep: %w", err)
	}
	if len(doc.Content) != 1 {
		return o, usage("the sweep: must be a YAML mapping of train's names")
	}
	tree, err := expandAnchors(doc.Content[0])
	if err != nil {
		return o, usage("the sweep: %w", err)
	}
	file, err := parseSection(tree, true)
	if err != nil {
		return o, usage("the sweep: %w", err)
	}
	o.Metric = file.metric
	if out := file.take("out"); out != nil {
		o.Out = out.Value
	}
	explicit := file.cells
	if len(explicit) == 0 {
		explicit = []*sweepSection{{}}
	}
	for _, cell := range explicit {
		axes, err := o.expand(file, cell)
		if err != nil {
			return o, usage("the sweep: %w", err)
		}
		for _, a := range axes {
			if !slices.Contains(o.Axes, a.name) {
				o.Axes = append(o.Axes, a.name)
			}
		}
	}
	if file.take("budget") != nil && !slices.ContainsFunc(o.Cells, func(c SweepCell) bool { return !c.Public }) {
		return o, usage("the sweep: budget: all data are declared public, and nothing is charged for them; leave out budget or public-data")
	}
	return o, nil
}

// parseSection reads a mapping.
func parseSection(node *yaml.Node, whole bool) (*sweepSection, error) {
	if node.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: must be a mapping of train's names", node.Line)
	}
	s := &sweepSection{}
	for i := 0; i < len(node.Content); i += 2 {
		name, value := node.Content[i].Value, node.Content[i+1]
		if !whole && slices.Contains(ofSweep, name) {
			return nil, fmt.Errorf("line %d: %s belongs to the whole sweep, not to a cell", value.Line, name)
		}
		if err := s.set(name, value); err != nil {
			return nil, fmt.Errorf("line %d: %s: %w", value.Line, name, err)
		}
	}
	return s, nil
}

func (s *sweepSection) set(name string, value *yaml.Node) (err error) {
	switch name {
	case "name":
		if s.name = value.Value; !cellNames.MatchString(s.name) {
			err = fmt.Errorf("%q: a cell's name is that of a folder: letters, digits, and - + . _ after the first", s.name)
		}
	case "grid":
		s.grid, err = parseGrid(value)
	case "repeats":
		if err = value.Decode(&s.repeats); err == nil && s.repeats < 1 {
			err = fmt.Errorf("%d must be at least 1", s.repeats)
		}
	case "public-data":
		err = value.Decode(&s.public)
	case "metric":
		s.metric = value.Value
	case "evaluate":
		s.evaluate, err = parseEvaluation(value)
	case "cells":
		s.cells, err = parseCells(value)
	default:
		if slices.ContainsFunc(s.options, func(o setting) bool { return o.name == name }) {
			return fmt.Errorf("is given twice")
		}
		s.options = append(s.options, setting{name, value})
	}
	return err
}

var cellNames = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,80}$`)

func parseCells(node *yaml.Node) (out []*sweepSection, err error) {
	if node.Kind != yaml.SequenceNode || len(node.Content) == 0 {
		return nil, fmt.Errorf("must be a list of cells, each with a name")
	}
	for _, c := range node.Content {
		cell, err := parseSection(c, false)
		switch {
		case err != nil:
			return nil, err
		case cell.name == "":
			return nil, fmt.Errorf("line %d: a cell has no name", c.Line)
		case slices.ContainsFunc(out, func(other *sweepSection) bool { return other.name == cell.name }):
			return nil, fmt.Errorf("line %d: there are two cells of the name %s", c.Line, cell.name)
		}
		out = append(out, cell)
	}
	return out, nil
}

// parseGrid reads names with lists of values.
func parseGrid(node *yaml.Node) ([]axis, error) {
	if node.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("must be a mapping of names to lists of values")
	}
	out := []axis{}
	for i := 0; i < len(node.Content); i += 2 {
		a := axis{node.Content[i].Value, node.Content[i+1].Content}
		switch {
		case slices.Contains(ofSweep, a.name), slices.Contains([]string{"grid", "repeats", "public-data", "evaluate", "name"}, a.name):
			return nil, fmt.Errorf("%s can't vary over the grid", a.name)
		case node.Content[i+1].Kind != yaml.SequenceNode || len(a.values) == 0:
			return nil, fmt.Errorf("%s must have a list of values", a.name)
		}
		seen := map[string]bool{}
		for _, v := range a.values {
			text := valueText(v)
			if seen[text] {
				return nil, fmt.Errorf("%s has the value %s twice", a.name, text)
			}
			seen[text] = true
		}
		out = append(out, a)
	}
	return out, nil
}

// take removes an option and returns its value, nil if it is not given.
func (s *sweepSection) take(name string) *yaml.Node {
	i := slices.IndexFunc(s.options, func(o setting) bool { return o.name == name })
	if i < 0 {
		return nil
	}
	v := s.options[i].value
	s.options = slices.Delete(s.options, i, i+1)
	return v
}

// expand adds the runs of an explicit cell, or of a file that has none, to the sweep.
func (o *SweepOptions) expand(file, cell *sweepSection) (axes []axis, err error) {
	axes = cell.grid
	if axes == nil {
		axes = file.grid
	}
	repeats := cmp.Or(cell.repeats, file.repeats, 1)
	total := repeats
	for _, a := range axes {
		total = min(total*len(a.values), maxGrid+1)
	}
	if len(o.Cells)+total > maxGrid {
		return nil, fmt.Errorf("more than %d cells", maxGrid)
	}
	taken := map[string]bool{}
	for _, c := range o.Cells {
		taken[c.Name] = true
	}
	for n := range total / repeats {
		chosen := combination(axes, n)
		for r := range repeats {
			c, err := newCell(file, cell, chosen, r, repeats)
			if err != nil {
				return nil, err
			}
			for base, k := c.Name, 2; taken[c.Name]; k++ {
				c.Name = base + "." + strconv.Itoa(k)
			}
			taken[c.Name] = true
			o.Cells = append(o.Cells, *c)
		}
	}
	return axes, nil
}

// combination n of the axes' values; the last name changes fastest.
func combination(axes []axis, n int) []setting {
	out := make([]setting, len(axes))
	for i := len(axes) - 1; i >= 0; i-- {
		out[i] = setting{axes[i].name, axes[i].values[n%len(axes[i].values)]}
		n /= len(axes[i].values)
	}
	return out
}

// newCell lays the cell's options and those of the grid over the file's.
func newCell(file, cell *sweepSection, chosen []setting, repeat, repeats int) (*SweepCell, error) {
	c := &SweepCell{Settings: map[string]any{}}
	var names []string
	if cell.name != "" {
		names, c.Settings[settingCell] = append(names, cell.name), cell.name
	}
	if cell.public != nil {
		c.Public = *cell.public
	} else if file.public != nil {
		c.Public = *file.public
	}
	if c.Evaluate = cell.evaluate; c.Evaluate == nil {
		c.Evaluate = file.evaluate
	}
	options := overlay(overlay(file.options, cell.options), chosen)
	if c.Public { // the budget is for the other cells
		options = slices.DeleteFunc(options, func(s setting) bool { return s.name == "budget" })
	}
	var err error
	if c.Options, err = parseSettings(options); err != nil {
		return nil, err
	}
	for _, s := range chosen {
		var v any
		if err := s.value.Decode(&v); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		c.Settings[s.name] = v
		names = append(names, s.name+"-"+fileText(valueText(s.value)))
	}
	if repeats > 1 {
		if c.Options.Seed != nil {
			return nil, fmt.Errorf("repeats: a seeded run gives the same every time; list seeds in the grid instead")
		}
		c.Settings[settingRepeat] = repeat + 1
		names = append(names, fmt.Sprintf("repeat-%d", repeat+1))
	}
	if from, is := strings.CutPrefix(c.Options.Model, modelOfCell); is {
		c.from = from
	}
	c.Name = strings.Join(names, "_")
	if len(c.Name) > 200 { // a file's name can't be longer than 255
		c.Name = c.Name[:200]
	}
	c.Name = cmp.Or(c.Name, "run")
	return c, nil
}

// overlay lays settings over others. One of several alternatives drops the others, unless it
// is switched off.
func overlay(base, over []setting) []setting {
	var gone []string
	for _, s := range over {
		gone = append(gone, s.name)
		for _, group := range alternatives {
			if slices.Contains(group, s.name) && s.value.Value != "false" {
				gone = append(gone, group...)
			}
		}
	}
	out := slices.DeleteFunc(slices.Clone(base), func(o setting) bool { return slices.Contains(gone, o.name) })
	return append(out, over...)
}

func parseSettings(settings []setting) (FinetuneOptions, error) {
	node, like := &yaml.Node{Kind: yaml.MappingNode}, FinetuneOptions{}
	for _, s := range settings {
		if field := like.field(s.name); s.value.Kind == yaml.ScalarNode && field.IsValid() && field.Kind() == reflect.Slice { // one of a list
			s.value = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{s.value}}
		}
		node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: s.name}, s.value)
	}
	data, err := yaml.Marshal(node)
	if err != nil {
		return FinetuneOptions{}, err
	}
	return ParseOptions(data)
}

// valueText is a value as the file has it.
func valueText(v *yaml.Node) string {
	if v.Kind == yaml.ScalarNode {
		return v.Value
	}
	var parts []string
	for _, c := range v.Content {
		parts = append(parts, valueText(c))
	}
	return strings.Join(parts, "+")
}

var notInFileNames = regexp.MustCompile(`[^A-Za-z0-9.+@-]+`)

// fileText makes a value a part of a file's name: of a path only the last element.
func fileText(value string) string {
	return cmp.Or(strings.Trim(notInFileNames.ReplaceAllString(filepath.Base(value), "-"), "-"), "none")
}
