package metrics

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Group is the references of one source: a meaning representation, a set of triples, a dialogue so far.
type Group struct {
	Source     string
	References []string
	Row        int // of the first in its file, from 1
	// Entry names the set of texts that a file puts the references into, "" where it has no such sets. Sets may have equal
	// sources.
	Entry string
}

// Outputs are the texts of one system, one for each group.
type Outputs struct {
	Name    string   // of the file, for errors
	Sources []string // of each text; nil where the file has none
	Texts   []string
}

// readFile reads a text file without a byte order mark.
func readFile(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", inputError("%w", err)
	}
	s := strings.TrimPrefix(string(data), "\ufeff")
	if s == "" {
		return "", inputError("%s is empty", path)
	}
	if !utf8.ValidString(s) {
		for i, line := range strings.Split(s, "\n") {
			if !utf8.ValidString(line) {
				return "", inputError("%s: line %d is not UTF-8", path, i+1)
			}
		}
	}
	return s, nil
}

// ReadLines reads a file of one text a line, white space around it dropped. An empty line is an empty text.
func ReadLines(path string) ([]string, error) {
	s, err := readFile(path)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimFunc(l, isSpace)
	}
	return lines, nil
}

// TextItems pairs a file of outputs, one a line, with their references: one file in e2e-metrics' form, where a line is a
// reference and an empty one ends an output's, or where there is none a line is an output's only reference; or several
// files with a line for each output, an empty one where that file has no reference for it.
func TextItems(outputs string, references ...string) ([]Item, error) {
	texts, err := ReadLines(outputs)
	if err != nil {
		return nil, err
	}
	if len(references) == 0 {
		return nil, inputError("there are no references")
	}
	items := make([]Item, len(texts))
	for i, t := range texts {
		items[i].Output = t
	}
	if len(references) == 1 {
		return items, groupLines(items, outputs, references[0])
	}
	for _, path := range references {
		lines, err := ReadLines(path)
		if err != nil {
			return nil, err
		}
		if len(lines) != len(items) {
			return nil, inputError("%s has %d lines, %s has %d: with several files of references each has a line for every output",
				path, len(lines), outputs, len(items))
		}
		for i, l := range lines {
			if l != "" {
				items[i].References = append(items[i].References, l)
			}
		}
	}
	for i, item := range items {
		if len(item.References) == 0 {
			return nil, inputError("line %d of %s is empty in all: it has no reference", i+1, strings.Join(references, ", "))
		}
	}
	return items, nil
}

// groupLines gives items the references of one file.
func groupLines(items []Item, outputs, path string) error {
	lines, err := ReadLines(path)
	if err != nil {
		return err
	}
	groups := [][]string{nil}
	for _, l := range lines {
		if l == "" {
			groups = append(groups, nil)
			continue
		}
		last := len(groups) - 1
		groups[last] = append(groups[last], l)
	}
	if last := len(groups) - 1; groups[last] == nil {
		groups = groups[:last]
	}
	if len(groups) == 1 && len(items) != 1 { // no empty line: a reference for each
		groups = nil
		for _, l := range lines {
			groups = append(groups, []string{l})
		}
	}
	if len(groups) != len(items) {
		return inputError("%s has references for %d outputs, %s has %d: an empty line ends the references of one output; "+
			"without any there is a reference for each", path, len(groups), outputs, len(items))
	}
	for i, g := range groups {
		if len(g) == 0 {
			return inputError("%s has no reference for output %d: two empty lines follow each other", path, i+1)
		}
		items[i].References = g
	}
	return nil
}

// Pair gives every output its references. Outputs with sources find them by their source, wherever it stands; the
// references of equal sources belong together. Outputs without take the references in their order: those of an entry, or
// of equal sources next to each other, as e2e-metrics does, or if their number does not fit those of all equal sources.
// name names the file of the references in errors.
func Pair(groups []Group, name string, o Outputs) ([]Item, error) {
	if len(groups) == 0 {
		return nil, inputError("%s has no references", name)
	}
	merged := mergeGroups(groups)
	if o.Sources == nil {
		adjacent := adjacentGroups(groups, func(a, b Group) bool { return a.Source == b.Source })
		lists := [][]Group{adjacent, merged}
		if groups[0].Entry != "" {
			lists = [][]Group{adjacentGroups(groups, func(a, b Group) bool { return a.Entry == b.Entry }), adjacent, merged}
		}
		for _, list := range lists {
			if len(list) == len(o.Texts) {
				items := make([]Item, len(list))
				for i, g := range list {
					items[i] = Item{o.Texts[i], g.References}
				}
				return items, nil
			}
		}
		in := ""
		if groups[0].Entry != "" {
			in = fmt.Sprintf(" in %d entries", len(lists[0]))
		}
		return nil, inputError("%s has %d lines, %s has references for %d different sources%s: there must be one output for each",
			o.Name, len(o.Texts), name, len(merged), in)
	}
	bySource := map[string]int{}
	for i, g := range merged {
		bySource[g.Source] = i
	}
	items := make([]Item, len(o.Texts))
	seen := make([]bool, len(merged))
	for i, source := range o.Sources {
		k, ok := bySource[source]
		if !ok {
			return nil, inputError("%s: row %d: %s has no reference for its source", o.Name, i+1, name)
		}
		seen[k] = true
		items[i] = Item{o.Texts[i], merged[k].References}
	}
	for k, g := range merged {
		if !seen[k] {
			return nil, inputError("%s: the source of row %d has no output in %s", name, g.Row, o.Name)
		}
	}
	return items, nil
}

// mergeGroups joins the groups of equal sources, in the order of the first.
func mergeGroups(groups []Group) []Group {
	var out []Group
	at := map[string]int{}
	for _, g := range groups {
		k, ok := at[g.Source]
		if !ok {
			k = len(out)
			at[g.Source] = k
			out = append(out, Group{Source: g.Source, Row: g.Row})
		}
		out[k].References = append(out[k].References, g.References...)
	}
	return out
}

// adjacentGroups joins groups that follow each other and belong together.
func adjacentGroups(groups []Group, together func(a, b Group) bool) []Group {
	var out []Group
	for _, g := range groups {
		if n := len(out); n > 0 && together(out[n-1], g) {
			out[n-1].References = append(out[n-1].References, g.References...)
			continue
		}
		out = append(out, Group{Source: g.Source, Row: g.Row, Entry: g.Entry, References: slices.Clone(g.References)})
	}
	return out
}

// rowError names a row of a file.
func rowError(path string, row int, format string, args ...any) error {
	return inputError("%s: row %d: %s", path, row, fmt.Sprintf(format, args...))
}
