package runtime

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime/metrics"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// ReferenceTasks lists the tasks whose data files hold sources with references.
func ReferenceTasks() []string {
	return slices.DeleteFunc(Tasks(), func(task string) bool { return !hasReferences(tokenize.Task(task)) })
}

// hasReferences says whether a task's records are a source and a text about it.
func hasReferences(task tokenize.Task) bool {
	return task == tokenize.TaskE2E || task == tokenize.TaskInstruct || task == tokenize.TaskPersona || task.Triples()
}

// ReadReferences reads the references of a task's data file, a group a record; split is the part of a file that has
// several. E2E's may be any table that e2e-metrics reads.
func ReadReferences(ctx context.Context, task, path, split string) ([]metrics.Group, error) {
	switch t := tokenize.Task(task); {
	case t == tokenize.TaskE2E:
		groups, err := metrics.ReadE2EReferences(path)
		if err != nil {
			return nil, usage("%w", err)
		}
		return groups, nil
	case !slices.Contains(ReferenceTasks(), task):
		return nil, usage("task %q has no references; there are %s", task, strings.Join(ReferenceTasks(), ", "))
	}
	format := tokenize.DataFormat{Task: tokenize.Task(task), Split: split}
	if format.Task.Triples() {
		format.UnitColumn = "entry"
	}
	records, err := tokenize.ReadFile(ctx, path, format)
	if err != nil {
		return nil, dataError(path, err)
	}
	groups := make([]metrics.Group, len(records))
	for i, r := range records {
		groups[i] = metrics.Group{Source: sourceText(r), References: []string{r.Target}, Row: r.Row, Entry: r.Unit}
	}
	return groups, nil
}

// ReadLabels reads the classes of a classification task's data file by name, "" for none.
func ReadLabels(ctx context.Context, task, path string) ([]string, error) {
	names := tokenize.Task(task).Labels()
	if names == nil {
		return nil, usage("task %q has no classes of its own; there are mnli, qnli, qqp, sst2, or give files with a class a line", task)
	}
	records, err := tokenize.ReadFile(ctx, path, tokenize.DataFormat{Task: tokenize.Task(task)})
	if err != nil {
		return nil, dataError(path, err)
	}
	out := make([]string, len(records))
	for i, r := range records {
		if r.Label < 0 || r.Label >= len(names) {
			return nil, usage("%s: row %d has no label", path, r.Row)
		}
		out[i] = names[r.Label]
	}
	return out, nil
}

// LabelNames gives classes of a task that are written as numbers their names.
func LabelNames(task string, labels []string) []string {
	names := tokenize.Task(task).Labels()
	out := slices.Clone(labels)
	for i, l := range out {
		if k, err := strconv.Atoi(l); err == nil && !slices.Contains(names, l) && k >= 0 && k < len(names) {
			out[i] = names[k]
		}
	}
	return out
}

// sourceText is a record's source as one line, as files of outputs have it: of a dialogue, persona and turns.
func sourceText(r tokenize.Record) string {
	s := r.Source
	if r.Dialog != nil {
		s = strings.Join(append(slices.Clone(r.Dialog.Persona), r.Dialog.History...), " | ")
	}
	return strings.TrimSpace(strings.NewReplacer("\r", " ", "\n", " ", "\t", " ").Replace(s))
}

// isMetricsError recognises errors about what is scored.
func isMetricsError(err error) bool { return errors.Is(err, metrics.ErrInput) }
