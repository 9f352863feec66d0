package tokenize

import "fmt"

// A Task says how a data file is laid out, and what its rows mean.
type Task string

// The tasks. GLUE's are tab-separated, E2E is csv, the last three are JSON lines.
const (
	TaskE2E      Task = "e2e"      // columns mr, ref
	TaskSST2     Task = "sst2"     // columns label, sentence in either order; or no header
	TaskQNLI     Task = "qnli"     // columns question, sentence, label
	TaskQQP      Task = "qqp"      // columns question1, question2, is_duplicate
	TaskMNLI     Task = "mnli"     // columns sentence1, sentence2, gold_label
	TaskLM       Task = "lm"       // {"text": string}
	TaskClassify Task = "classify" // {"text": string, "label": integer or string}
	TaskInstruct Task = "instruct" // {"prompt": string, "completion": string}
)

// A DataFormat is a task with what the rows' labels may be.
type DataFormat struct {
	Task Task
	// Classes is the number of classes of the model; a label outside 0 to Classes-1 is an error. 0 leaves labels
	// unchecked where the task does not fix their number.
	Classes int
	// LabelNames are the names of the classes of TaskClassify, in order, for labels that are strings.
	LabelNames []string
	// UnitColumn names a column of the header, or a field of JSON lines, that says whose record a row is; "" for none. Its
	// value is the record's Unit, an exact string: nothing is trimmed or folded. A row without a value is an error.
	UnitColumn string
}

// A Record is one row of a data file, as it stands there.
type Record struct {
	Row int // from 1, header and blank lines not counted
	// Source and Target are mr and ref, or prompt and completion.
	Source, Target string
	// Text and Pair are the text and, for tasks on two texts, the second one.
	Text, Pair string
	// Label is the class, -1 where the task has none.
	Label int
	// Unit is the value of DataFormat.UnitColumn, "" only where none is asked for.
	Unit string
}

// MaxRowBytes is the length of the longest row that a reader takes, in bytes of the file. Readers hold one row at a time,
// so this bounds their memory.
const MaxRowBytes = 1 << 20

// taskLabels are the class names of GLUE's tasks, in the order of their class numbers.
var taskLabels = map[Task][]string{
	TaskSST2: {"0", "1"},
	TaskQQP:  {"0", "1"},
	TaskQNLI: {"not_entailment", "entailment"},
	TaskMNLI: {"contradiction", "entailment", "neutral"},
}

// Labels gives the class names of a task in the order of their class numbers, nil where the data decide.
func (t Task) Labels() []string { return append([]string(nil), taskLabels[t]...) }

// classes is the number of classes that labels are checked against, 0 for none.
func (f DataFormat) classes() int {
	if n := len(taskLabels[f.Task]); n > 0 {
		return n
	}
	if f.Classes == 0 {
		return len(f.LabelNames)
	}
	return f.Classes
}

// check says what is wrong with the format itself.
func (f DataFormat) check() error {
	if f.Classes < 0 {
		return fmt.Errorf("number of classes is %d; it must be at least 0", f.Classes)
	}
	if n := len(taskLabels[f.Task]); n > 0 && f.Classes > 0 && f.Classes < n {
		return fmt.Errorf("task %s has %d classes, but the model has %d", f.Task, n, f.Classes)
	}
	if n := len(f.LabelNames); n > 0 && f.Classes > 0 && f.Classes < n {
		return fmt.Errorf("%d label names are given, but the model has %d classes", n, f.Classes)
	}
	seen := map[string]bool{}
	for _, name := range f.LabelNames {
		if seen[name] {
			return fmt.Errorf("label name %s is given twice", shown(name))
		}
		seen[name] = true
	}
	return f.checkUnit()
}
