package tokenize

import (
	"fmt"
	"slices"
)

// A Task says how a data file is laid out, and what its rows mean.
type Task string

// The tasks. GLUE's are tab-separated, E2E is csv, the last four are JSON lines. DART, WebNLG and Persona-Chat come in
// several layouts, which are told apart by how a file begins.
const (
	TaskE2E      Task = "e2e"      // columns mr, ref
	TaskSST2     Task = "sst2"     // columns label, sentence in either order; or no header
	TaskQNLI     Task = "qnli"     // columns question, sentence, label
	TaskQQP      Task = "qqp"      // columns question1, question2, is_duplicate
	TaskMNLI     Task = "mnli"     // columns sentence1, sentence2, gold_label
	TaskDART     Task = "dart"     // sets of triples with texts: JSON or XML
	TaskWebNLG   Task = "webnlg"   // the same in WebNLG's own files
	TaskPersona  Task = "persona"  // dialogues between people with a persona: ParlAI's text or JSON
	TaskLM       Task = "lm"       // {"text": string}
	TaskMLM      Task = "mlm"      // {"text": string}, for masked language models
	TaskClassify Task = "classify" // {"text": string, "label": integer or string}
	TaskInstruct Task = "instruct" // {"prompt": string, "completion": string}
)

// A DataFormat is a task with what the rows' labels may be.
type DataFormat struct {
	Task Task
	// Classes is the number of classes of the model; a label outside 0 to Classes-1 is an error. 0 leaves labels
	// unchecked where the task does not fix their number.
	Classes int
	// LabelNames are the names of the classes in order: of TaskClassify for labels that are strings, of GLUE's tasks where
	// the model's order is not that of Task.Labels.
	LabelNames []string
	// UnitColumn names a column of the header, or a field of JSON lines, that says whose record a row is; "" for none. Its
	// value is the record's Unit, an exact string: nothing is trimmed or folded. A row without a value is an error.
	// For DART, WebNLG and Persona-Chat it may also be the number of the entry in its file: "entry", or "dialog".
	UnitColumn string
	// Sources and ExcludeSources choose records of DART and WebNLG by the corpus they come from ("e2e", "webnlg",
	// "WikiSQL_lily", or a pattern such as "Wiki*", in any case): those of Sources, if there are any, without those of
	// ExcludeSources. What is left out is no record; the others keep
	// the row numbers of the whole file.
	Sources, ExcludeSources []string
	// Split names the part to read of a file that holds several, as Persona-Chat's JSON does; "" means train.
	Split string
}

// A Record is one row of a data file, as it stands there.
type Record struct {
	Row int // from 1, header and blank lines not counted
	// Source and Target are mr and ref, triples (as one line: see NewTriplesToText) and text, or prompt and completion; of
	// a dialogue Target is the response.
	Source, Target string
	// Text and Pair are the text and, for tasks on two texts, the second one.
	Text, Pair string
	// Dialog is what precedes the response of a dialogue; nil for other tasks.
	Dialog *Dialog
	// Label is the class, -1 where the task has none.
	Label int
	// Unit is the value of DataFormat.UnitColumn, "" only where none is asked for.
	Unit string
}

// A Dialog is a conversation up to a response.
type Dialog struct {
	Persona []string // sentences that say who responds
	History []string // turns, the oldest first, the last being what is responded to
}

// MaxRowBytes is the length of the longest row that a reader takes, in bytes of the file. Readers hold one row at a time,
// so this bounds their memory.
const MaxRowBytes = 1 << 20

// taskLabels are the class names of GLUE's tasks, in the order of their class numbers: that of transformers' GLUE
// processors, which the public code of Li et al. takes over.
var taskLabels = map[Task][]string{
	TaskSST2: {"0", "1"},
	TaskQQP:  {"0", "1"},
	TaskQNLI: {"entailment", "not_entailment"},
	TaskMNLI: {"contradiction", "entailment", "neutral"},
}

// Labels gives the class names of a task in the order of their class numbers, nil where the data decide.
func (t Task) Labels() []string { return append([]string(nil), taskLabels[t]...) }

// Classifies says whether a task's records have a class.
func (t Task) Classifies() bool { return t == TaskClassify || len(taskLabels[t]) > 0 }

// labels are the names of the classes, by their numbers; nil for none.
func (f DataFormat) labels() []string {
	if len(f.LabelNames) > 0 {
		return f.LabelNames
	}
	return taskLabels[f.Task]
}

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
	for _, name := range taskLabels[f.Task] {
		if len(f.LabelNames) > 0 && !slices.Contains(f.LabelNames, name) {
			return fmt.Errorf("task %s has the class %s, which the %d label names lack", f.Task, name, len(f.LabelNames))
		}
	}
	seen := map[string]bool{}
	for _, name := range f.LabelNames {
		if seen[name] {
			return fmt.Errorf("label name %s is given twice", shown(name))
		}
		seen[name] = true
	}
	if err := f.checkSources(); err != nil {
		return err
	}
	return f.checkUnit()
}
