package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
	"gonum.org/v1/plot/plotter"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// A run is what the directory of one training run says.
type run struct {
	Name      string
	Given     []pair // the options as they were given; nil where they are not kept
	Spec      dpadam.Spec
	Statement *dpadam.Statement
	Text      string // of the statement
	Card      string
	Samples   []sample
	Hidden    int // samples that are not shown

	metrics []metric
	plan    *dpadam.Plan
	charges dpadam.Charges
	spent   plotter.XYs // epsilon over the steps charged, once it is priced
	steps   []debugStep // nil without debug/
	valids  []debugStep
}

// A pair is a name with its value.
type pair struct{ Name, Value string }

// A sample is a line of release/samples.jsonl.
type sample struct {
	Prompt string `json:"prompt"`
	Text   string `json:"text"`
}

// A metric is a line of release/metrics.jsonl.
type metric struct {
	Step           int64    `json:"step"`
	Epsilon        *float64 `json:"epsilon"`
	LearningRate   *float64 `json:"learning_rate"`
	ClipNorm       *float64 `json:"clip_norm"`
	ValidLoss      *float64 `json:"valid_loss"`
	ValidAccuracy  *float64 `json:"valid_accuracy"`
	NoisedAccuracy *float64 `json:"noised_valid_accuracy"`
	NoisedLoss     *float64 `json:"noised_valid_loss"`
	NoiseStd       *float64 `json:"noise_std"`
}

// A debugStep is a line of debug/steps.jsonl: nothing in it is covered by epsilon.
type debugStep struct {
	Step          int64     `json:"step"`
	Records       *int      `json:"records"` // nil in the line of a validation
	Loss          *float64  `json:"loss"`
	NormMax       float64   `json:"norm_max"`
	NormMean      float64   `json:"norm_mean"`
	NormQuantiles []float64 `json:"norm_quantiles"`
	Clipped       float64   `json:"clipped_fraction"`
	ValidLoss     *float64  `json:"valid_loss"`
	ValidAccuracy *float64  `json:"valid_accuracy"`
}

// Samples that a page shows, and the characters of each.
const (
	maxSamples    = 50
	maxSampleText = 4000
)

// readRun reads a run's directory. What is proven comes from the ledger, as `privacy
// statement` reads it; debug/ is read only where it is asked for.
func readRun(dir string, debug bool) (*run, error) {
	record, err := dpadam.ReadLedger(filepath.Join(dir, "ledger"))
	if err != nil {
		return nil, err
	}
	r := &run{Name: filepath.Base(filepath.Clean(dir)), plan: record.Plan(), Spec: record.Plan().Spec(), charges: record.Charges()}
	if abs, err := filepath.Abs(dir); err == nil {
		r.Name = filepath.Base(abs)
	}
	if r.Statement, err = dpadam.NewStatement(record); err != nil {
		return nil, err
	}
	r.Text = r.Statement.Text()
	if r.Given, err = readOptions(dir); err != nil {
		return nil, err
	}
	if r.metrics, err = readLines[metric](filepath.Join(dir, "release", "metrics.jsonl")); err != nil {
		return nil, err
	}
	if r.Samples, err = readLines[sample](filepath.Join(dir, "release", "samples.jsonl")); err != nil {
		return nil, err
	}
	r.cutSamples()
	card, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	r.Card = string(card)
	if debug {
		lines, err := readLines[debugStep](filepath.Join(dir, "debug", "steps.jsonl"))
		if err != nil {
			return nil, err
		}
		r.steps, r.valids = takenOver(lines)
	}
	return r, nil
}

// readLines reads a file of JSON lines; a file that is not there has none.
func readLines[T any](path string) (out []T, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, len(data)+1)
	for n := 1; lines.Scan(); n++ {
		var line T
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("%w: %s: line %d is not one that training writes", runtime.ErrUsage, path, n) // its content may be private
		}
		out = append(out, line)
	}
	return out, lines.Err()
}

// takenOver drops what a killed process wrote of steps that the one after it took again, and
// separates steps from validations.
func takenOver(lines []debugStep) (steps, valids []debugStep) {
	for _, l := range lines {
		kind := &steps
		if l.Records == nil {
			kind = &valids
		}
		for n := len(*kind); n > 0 && (*kind)[n-1].Step >= l.Step; n-- {
			*kind = (*kind)[:n-1]
		}
		*kind = append(*kind, l)
	}
	return steps, valids
}

func (r *run) cutSamples() {
	if n := len(r.Samples) - maxSamples; n > 0 {
		r.Samples, r.Hidden = r.Samples[:maxSamples], n
	}
	for i := range r.Samples {
		s := &r.Samples[i]
		s.Prompt, s.Text = cut(s.Prompt), cut(s.Text)
	}
}

func cut(s string) string {
	if r := []rune(s); len(r) > maxSampleText {
		return string(r[:maxSampleText]) + " …"
	}
	return s
}

// paths are options that name files: a page shows their last element only.
var paths = []string{"model", "train", "valid", "out", "tokenizer", "sample-prompts", "ort-lib", "budget"}

// readOptions reads the options of a run, in the order of the file.
func readOptions(dir string) ([]pair, error) {
	path := filepath.Join(dir, "train.yaml")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // the chosen run of a search
	}
	if err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%w: %s is not the options of a run", runtime.ErrUsage, path)
	}
	var out []pair
	for i := 0; i < len(doc.Content[0].Content); i += 2 {
		name, node := doc.Content[0].Content[i].Value, doc.Content[0].Content[i+1]
		var v any
		if err := node.Decode(&v); err != nil {
			return nil, fmt.Errorf("%w: %s: %s: %v", runtime.ErrUsage, path, name, err)
		}
		value := runtime.SettingText(v)
		if slices.Contains(paths, name) {
			value = filepath.Base(value)
		}
		out = append(out, pair{name, value})
	}
	return out, nil
}

// given is an option as it was given; "" if it was not.
func (r *run) given(name string) string {
	for _, p := range r.Given {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// Resolved is the plan in rows: every value that training used.
func (r *run) Resolved() []pair {
	s := &r.Spec
	public := "counted and treated as public"
	if s.RecordsDeclared {
		public = "declared"
	}
	rows := []pair{
		{"unit of privacy", s.Unit}, {"N", fmt.Sprintf("%d (%s)", s.Records, public)},
		{"expected batch", plain(s.ExpectedBatch)}, {"sampling rate", plain(s.SampleRate)}, {"steps planned", fmt.Sprint(s.Steps)},
		{"noise multiplier", plain(s.NoiseMultiplier)}, {"clipping norm", plain(s.ClipNorm)},
		{"optimizer", s.Optimizer.Name}, {"learning rate", plain(s.Optimizer.LearningRate)}, {"schedule", s.Schedule.Name},
		{"trained coordinates", fmt.Sprint(s.Dim)}, {"accountant", s.Accountant}, {"relation", string(s.Relation)}, {"delta", plain(s.Delta)},
	}
	if s.ClipNorm > 0 {
		rows = append(rows, pair{"clipping", s.Clipping.String()})
	}
	if s.AverageDecay > 0 {
		rows = append(rows, pair{"average of the weights, decay", plain(s.AverageDecay)})
	}
	if s.Budget != nil {
		rows = append(rows, pair{"budget", fmt.Sprintf("%s: epsilon %s at delta %s for all runs together", s.Budget.Name, plain(s.Budget.Epsilon), plain(s.Budget.Delta))})
	}
	if s.TargetEpsilon > 0 {
		rows = append(rows, pair{"target epsilon", plain(s.TargetEpsilon)})
	}
	return rows
}

// Guarantee is the run's promise in a few words.
func (r *run) Guarantee() string {
	switch st := r.Statement; {
	case !st.Private:
		return st.NotPrivate
	default:
		return fmt.Sprintf("(ε = %s, δ = %s), %s", upward(*st.Epsilon), plain(*st.Delta), st.Unit)
	}
}

// upward is an upper bound in six digits, never below it.
func upward(x float64) string {
	s := plain(x)
	if v, err := strconv.ParseFloat(s, 64); err == nil && v < x {
		unit := math.Pow(10, math.Floor(math.Log10(x))-5)
		s = plain(x + unit/2)
	}
	return s
}

// plain is a number without superfluous digits.
func plain(x float64) string { return fmt.Sprintf("%.6g", x) }
