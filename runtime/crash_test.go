package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/runtime/safetensors"
)

// The run of these tests: a small classifier on records made up here.
const (
	crashSteps   = 8
	crashRecords = 48
	crashChild   = "GHOSTWRITER_TEST_CRASH" // "OUT resume POINT COUNT [variant]": the child's orders
	withAverage  = "average"                // as variant: with an average of the weights and a clipping norm that adapts
	withEvaluate = "evaluate"               // as variant: with noised evaluations, the best of them kept
	withBudget   = "budget"                 // as variant: drawing on the budget that lies in the folder
	withLoRA     = "lora"                   // as variant: with low-rank updates
	withDefaults = "defaults"               // as variant: with the default accountant
	fileLimit    = "file-limit"             // as POINT: no file may grow beyond COUNT bytes
)

// TestCrashChild is not a test: it is the process that the tests below kill. It
// tells of every noise that is about to be drawn on file descriptor 3, so that
// the parent counts what was spent without believing the ledger.
func TestCrashChild(t *testing.T) {
	orders := strings.Fields(os.Getenv(crashChild))
	if len(orders) == 0 {
		t.Skip("a helper of the tests that kill processes")
	}
	count, err := strconv.Atoi(orders[3])
	if err != nil {
		t.Fatal(err)
	}
	observer := os.NewFile(3, "observer")
	if orders[2] == fileLimit { // writes beyond count bytes fail, as on a full disk
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: uint64(count), Max: uint64(count)}); err != nil {
			t.Fatal(err)
		}
	}
	o := crashOptions(orders[0])
	switch orders[len(orders)-1] {
	case withEvaluate:
		o = evaluatedOptions(orders[0])
		o.Keep = KeepBest
	case withBudget:
		o.Budget = filepath.Join(orders[0], "budget")
	case withLoRA:
		o.Method = "lora"
	case withAverage:
		o.EMA, o.ClipQuantile = 0.9, 0.5
	}
	if orders[len(orders)-1] != withDefaults {
		o.Accountant = "rdp" // pricing takes half of so short a run, and what is charged does not depend on it
	}
	o.Resume = orders[1] == "true"
	o.Hook = func(point string) {
		if point == dpadam.PointNoiseBefore {
			if _, err := observer.Write([]byte{'n'}); err != nil {
				panic(err)
			}
		}
		if point == dpadam.PointEvaluationBefore {
			if _, err := observer.Write([]byte{'e'}); err != nil {
				panic(err)
			}
		}
		if point == orders[2] {
			if count--; count == 0 {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}
	}
	if _, err := Finetune(t.Context(), o); err != nil {
		fmt.Println(err)
		os.Exit(ExitCode(err))
	}
	os.Exit(0)
}

func crashOptions(dir string) FinetuneOptions {
	return FinetuneOptions{
		Accountant: testAccountant,
		Model:      filepath.Join(dir, "model"), Task: "classify", Train: filepath.Join(dir, "train.jsonl"), Out: filepath.Join(dir, "out"),
		TargetEpsilon: 3, Steps: crashSteps, ExpectedBatch: 8, LearningRate: 1e-3, MaxLength: 16, Microbatch: 8, Threads: 1, CheckpointEvery: 1,
	}
}

// crashDir makes a folder with a model, its vocabulary and data.
func crashDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	model := filepath.Join(dir, "model")
	if err := os.Mkdir(model, 0o755); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(models, "distilbert-optimum", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	vocabulary := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
	for c := 'a'; c <= 'z'; c++ {
		vocabulary = append(vocabulary, string(c), "##"+string(c))
	}
	var rows strings.Builder
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range crashRecords {
		var text strings.Builder
		for range 1 + rng.IntN(9) {
			text.WriteByte(byte('a' + rng.IntN(25))) // never z
		}
		fmt.Fprintf(&rows, "{\"text\": %q, \"label\": %d}\n", text.String(), i%3)
	}
	for path, content := range map[string][]byte{
		filepath.Join(model, "model.onnx"): data, filepath.Join(model, "vocab.txt"): []byte(strings.Join(vocabulary, "\n") + "\n"),
		filepath.Join(dir, "train.jsonl"): []byte(rows.String()),
	} {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A victim is a run that is killed and resumed. spent is what the observer saw.
type victim struct {
	dir              string
	spent, evaluated int64  // steps and evaluations
	variant          string // withAverage, withEvaluate, or none
}

// start runs the child. It kills itself at the count-th time it passes point, or
// is killed after the delay, if there is one. The exit code is −1 for a kill.
func (v *victim) start(t *testing.T, point string, count int, delay time.Duration) (code int, output string) {
	t.Helper()
	_, err := os.Stat(filepath.Join(v.dir, "out", "ledger"))
	resume := err == nil
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	c := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	c.Env = append(os.Environ(), fmt.Sprintf("%s=%s %v %s %d %s", crashChild, v.dir, resume, point, count, v.variant))
	c.Stdout, c.Stderr, c.ExtraFiles = &text, &text, []*os.File{w}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if delay > 0 {
		defer time.AfterFunc(delay, func() { _ = c.Process.Kill() }).Stop()
	}
	seen, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	v.spent += int64(bytes.Count(seen, []byte{'n'}))
	v.evaluated += int64(bytes.Count(seen, []byte{'e'}))
	err = c.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), text.String()
}

// check holds what lies in the directory after a kill to what must be true.
func (v *victim) check(t *testing.T, when string) {
	t.Helper()
	out := outputDir{path: filepath.Join(v.dir, "out")}
	points, err := out.checkpoints()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%s: %v", when, err)
	}
	for _, c := range points {
		if _, err := readCheckpointFiles(c); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
	}
	charged := int64(0)
	if exists(out.ledger()) {
		record, err := dpadam.ReadLedger(out.ledger())
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		charged = record.Charged()
		for _, c := range points {
			if !record.Extends(c.Ledger) {
				t.Fatalf("%s: the ledger does not go on from checkpoint %d", when, c.Step)
			}
		}
	}
	if charged < v.spent {
		t.Fatalf("%s: the ledger charges %d steps, the observer saw %d noises", when, charged, v.spent)
	}
	if exists(filepath.Join(out.path, "model.onnx")) {
		m, err := Open(out.path, Options{Threads: 1})
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		m.Close()
	}
}

// readCheckpointFiles reads every tensor of a checkpoint.
func readCheckpointFiles(c checkpoint) (int, error) {
	n := 0
	for _, name := range []string{"weights.safetensors", "optimizer.safetensors"} {
		data, err := os.ReadFile(filepath.Join(c.path, name))
		if err != nil {
			return n, err
		}
		tensors, err := safetensors.Parse(data)
		if err != nil {
			return n, err
		}
		n += len(tensors)
	}
	if n == 0 {
		return 0, fmt.Errorf("%s holds no tensor", c.path)
	}
	return n, nil
}

// finish resumes until the run ends, and holds its statement to the observer.
func (v *victim) finish(t *testing.T, when string) {
	t.Helper()
	code, text := v.start(t, "none", 1, 0)
	if code != 0 && code != ExitBudget {
		t.Fatalf("%s: resuming ended with %d: %s", when, code, text)
	}
	v.check(t, when+", resumed")
	out := filepath.Join(v.dir, "out")
	if !exists(filepath.Join(out, "model.onnx")) || !exists(filepath.Join(out, "release", "privacy.json")) {
		t.Fatalf("%s: the resumed run left no model (code %d): %s", when, code, text)
	}
	record, err := dpadam.ReadLedger(filepath.Join(out, "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	said, err := dpadam.NewStatement(record)
	if err != nil {
		t.Fatal(err)
	}
	spent, err := record.Plan().Epsilon(dpadam.Charges{Steps: v.spent, Evaluations: v.evaluated})
	if err != nil {
		t.Fatal(err)
	}
	if said.Epsilon == nil || *said.Epsilon < spent.Epsilon {
		t.Fatalf("%s: the statement says %v, the observer counted %d noises: %g", when, said.Epsilon, v.spent, spent.Epsilon)
	}
	if *said.Epsilon > 3 {
		t.Fatalf("%s: epsilon %g exceeds the target of 3", when, *said.Epsilon)
	}
}

// A process that dies at any fault point leaves a directory that can be resumed
// and a ledger that charges whatever was drawn.
func TestKilledAtEveryFaultPoint(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	points := []string{
		dpadam.PointLedgerBeforeWrite, dpadam.PointLedgerAfterWrite, dpadam.PointLedgerBeforeSync, dpadam.PointLedgerAfterSync,
		dpadam.PointNoiseBefore, dpadam.PointNoiseAfter, dpadam.PointUpdateBefore, dpadam.PointUpdateAfter,
		"checkpoint.before-write", "checkpoint.after-write", "checkpoint.before-sync", "checkpoint.after-sync",
		"checkpoint.before-rename", "checkpoint.after-rename",
	}
	for i, point := range points {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			v := &victim{dir: crashDir(t)}
			count := 2 + i%3*3 // the ledger's points pass for its first line too
			if code, text := v.start(t, point, count, 0); code != -1 {
				t.Fatalf("the child ended with %d instead of being killed: %s", code, text)
			}
			v.check(t, "killed")
			v.finish(t, "killed at "+point)
		})
	}
}

// A run with an average of the weights and a clipping norm that adapts is killed where these are
// written, and goes on.
func TestKilledWithAverage(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	for _, point := range []string{dpadam.PointUpdateAfter, "checkpoint.after-write", "checkpoint.before-rename", "checkpoint.after-rename"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			v := &victim{dir: crashDir(t), variant: withAverage}
			if code, text := v.start(t, point, 4, 0); code != -1 {
				t.Fatalf("the child ended with %d instead of being killed: %s", code, text)
			}
			v.check(t, "killed")
			v.finish(t, "killed at "+point)
			out := filepath.Join(v.dir, "out")
			points, err := outputDir{path: out}.checkpoints()
			if err != nil || len(points) == 0 {
				t.Fatal(err)
			}
			for _, c := range points {
				if c.ClipNorm == 0 || !exists(filepath.Join(c.path, averageFile)) {
					t.Errorf("checkpoint %d has clipping norm %g, or no average", c.Step, c.ClipNorm)
				}
			}
		})
	}
}

// A disk that fills up while a checkpoint, or the model, is written ends the run
// with an error and leaves nothing half-written; with room again it is resumed.
func TestFullDisk(t *testing.T) {
	for what, limit := range map[string]int{"weights": 20_000, "optimizer": 50_000, "model": 75_000} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			v := &victim{dir: crashDir(t)}
			code, text := v.start(t, fileLimit, limit, 0)
			if code != ExitFailed || !strings.Contains(text, "file too large") {
				t.Fatalf("the run ended with %d: %s", code, text)
			}
			v.check(t, "disk full")
			for _, name := range filesOf(t, filepath.Join(v.dir, "out")) {
				if leftover(filepath.Base(name)) || strings.HasSuffix(name, "model.onnx") || strings.HasPrefix(name, temporaryCheckpoint) {
					t.Errorf("%s was left", name)
				}
			}
			v.finish(t, "disk full")
		})
	}
}

// SIGKILL at random moments, again and again, on one run.
func TestKilledAtRandomMoments(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	v := &victim{dir: crashDir(t), variant: withDefaults}
	begun := time.Now()
	if code, text := v.start(t, "none", 1, 0); code != 0 {
		t.Fatalf("the undisturbed run ended with %d: %s", code, text)
	}
	whole := time.Since(begun)
	for done := 0; done < randomKills; {
		v = &victim{dir: crashDir(t), variant: withDefaults}
		for range 4 {
			delay := time.Duration(rng.Int64N(int64(whole)))
			if code, _ := v.start(t, "none", 1, max(delay, time.Millisecond)); code != -1 {
				break
			}
			done++
			v.check(t, fmt.Sprintf("killed after %v", delay))
		}
		v.finish(t, "after the kills") // four kills cost at most four of the eight steps
	}
}
