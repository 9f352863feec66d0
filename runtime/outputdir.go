package runtime

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
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
)

// An outputDir is the directory of a run: the ledger, checkpoints, release/ and
// debug/, and at the end the model. It is laid out like a model directory.
type outputDir struct {
	path  string
	hook  durable.Hook
	stamp string // "NOT PRIVATE: …" of the run's plan, in every file that comes of its training; or empty
}

func (d outputDir) ledger() string { return filepath.Join(d.path, "ledger") }

// configFile holds the options of a run, for resuming it.
const configFile = "train.yaml"

// check refuses a directory that holds something else than the run to resume.
func (d outputDir) check(resume bool) error {
	entries, err := os.ReadDir(d.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if resume {
			return usage("--resume: %s does not exist", d.path)
		}
		return nil
	case err != nil:
		return usage("--out: %w", err)
	case resume:
		return nil
	case exists(d.ledger()):
		return usage("--out: %s holds a run already; go on with it by --resume, or choose another directory", d.path)
	}
	for _, e := range entries {
		if e.Name() != configFile && !leftover(e.Name()) { // what a run leaves that died before it began
			return usage("--out: %s is not empty (it holds %q); choose another directory", d.path, e.Name())
		}
	}
	return nil
}

// create makes the directory.
func (d outputDir) create() error {
	if err := os.MkdirAll(d.path, 0o755); err != nil {
		return usage("--out: %w", err)
	}
	return nil
}

// leftover recognises the temporary names of files and folders.
func leftover(name string) bool {
	return strings.HasPrefix(name, ".ledger-") || strings.HasPrefix(name, temporaryCheckpoint) ||
		strings.HasPrefix(name, checkpointPrefix) && strings.HasSuffix(name, ".old") ||
		strings.HasPrefix(name, ".") && strings.Contains(name, ".tmp-")
}

// clean removes what a killed run left half-written.
func (d outputDir) clean() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if leftover(e.Name()) {
			if err := os.RemoveAll(filepath.Join(d.path, e.Name())); err != nil {
				return fmt.Errorf("removing what an earlier run left: %w", err)
			}
		}
	}
	return nil
}

// writeConfig keeps the options, with absolute paths, so that `--resume --out
// DIR` needs no others.
func (d outputDir) writeConfig(o *FinetuneOptions) error {
	data, err := marshalOptions(o, d.stamp)
	if err != nil {
		return err
	}
	return durable.WriteBytes(filepath.Join(d.path, configFile), 0o600, data)
}

func marshalOptions(o *FinetuneOptions, stamp string) ([]byte, error) {
	c := *o
	if c.Ranks != nil {
		c.Threads = c.givenThreads
	}
	for _, p := range []*string{&c.Model, &c.Train, &c.Valid, &c.Out, &c.Tokenizer, &c.SamplePrompts, &c.Library, &c.Budget} {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return nil, err
		}
		*p = abs
	}
	data, err := yaml.Marshal(&c)
	if stamp != "" {
		data = append([]byte("# "+stamp+"\n"), data...)
	}
	return data, err
}

// SavedOptions returns the options of the run in dir, for resuming it.
func SavedOptions(dir string) (FinetuneOptions, error) {
	data, err := os.ReadFile(filepath.Join(dir, configFile))
	if err != nil {
		return FinetuneOptions{}, usage("--resume: %w", err)
	}
	return ParseOptions(data)
}

// A metric is a line of release/metrics.jsonl: functions of the plan, and, of
// public validation data only, a loss; of private ones a noised number.
type metric struct {
	Step          int64    `json:"step"`
	Epsilon       *float64 `json:"epsilon"`
	LearningRate  float64  `json:"learning_rate,omitempty"` // of a step's line
	ClipNorm      float64  `json:"clip_norm,omitempty"`     // where it adapts: a function of noised counts
	ValidLoss     *float64 `json:"valid_loss,omitempty"`
	ValidAccuracy *float64 `json:"valid_accuracy,omitempty"`
	NotPrivate    string   `json:"not_private,omitempty"` // the run's stamp

	// A noised evaluation of private data, paid for in the ledger.
	NoisedAccuracy *float64 `json:"noised_valid_accuracy,omitempty"`
	NoisedLoss     *float64 `json:"noised_valid_loss,omitempty"`
	NoiseStd       *float64 `json:"noise_std,omitempty"`
}

// nullable is x, or nil where JSON has no number for it.
func nullable(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}

func (d outputDir) writeMetrics(metrics []metric) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, m := range metrics {
		m.NotPrivate = d.stamp
		if err := enc.Encode(m); err != nil {
			return err
		}
	}
	return d.release("metrics.jsonl", b.Bytes())
}

// readMetrics returns the lines up to a step.
func (d outputDir) readMetrics(upTo int64) ([]metric, error) {
	file, err := os.Open(filepath.Join(d.path, "release", "metrics.jsonl"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var out []metric
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var m metric
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return nil, usage("%s: %v", file.Name(), err)
		}
		if m.Step <= upTo {
			out = append(out, m)
		}
	}
	return out, lines.Err()
}

// release writes a file that may be published.
func (d outputDir) release(name string, data []byte) error {
	dir := filepath.Join(d.path, "release")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return durable.WriteBytes(filepath.Join(dir, name), 0o644, data)
}

// companions are the files of a model directory beside the model.
var companions = []string{
	"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
	"vocab.json", "merges.txt", "vocab.txt", "vocab.bpe", "encoder.json", "preprocessor_config.json",
}

// copyCompanions copies what lies beside a model, so that the result can be
// served alone. from is a folder or one tokenizer file.
func (d outputDir) copyCompanions(from string) error {
	names := companions
	if !isDir(from) {
		from, names = filepath.Dir(from), []string{filepath.Base(from)}
	}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("copying what lies beside the model: %w", err)
		}
		if err := durable.WriteBytes(filepath.Join(d.path, name), 0o644, data); err != nil {
			return err
		}
	}
	return nil
}
