//go:build mpi && slow

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// mpirun starts ghostwriter the way a user does. It needs mpirun, and the demonstration's model.
type mpirun struct {
	t       *testing.T
	command string
	dir     string
}

func newMPIRun(t *testing.T) *mpirun {
	t.Helper()
	if _, err := exec.LookPath("mpirun"); err != nil {
		t.Skip("there is no mpirun")
	}
	m := &mpirun{t: t, dir: t.TempDir()}
	m.command = filepath.Join(m.dir, "ghostwriter")
	if out, err := exec.Command("go", "build", "-tags", "mpi", "-o", m.command, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return m
}

func (m *mpirun) out(name string) string { return filepath.Join(m.dir, name) }

// train are the arguments of a run of some steps, three seconds long.
func (m *mpirun) train(out string, more ...string) []string {
	demo := filepath.Join("..", "..", "testdata", "demo")
	return append([]string{m.command, "train", "--model", filepath.Join(demo, "pretrained"), "--task", "e2e", "--train", filepath.Join(demo, "private-train.csv"),
		"--noise-multiplier", "1", "--accountant", "rdp", "--expected-batch", "40", "--microbatch", "8", "--threads", "1", "--checkpoint-every", "2", "--json", "--out", m.out(out)}, more...)
}

// start runs a command line on some ranks; 0 means without mpirun.
func (m *mpirun) start(size int, args []string) (*exec.Cmd, *bytes.Buffer) {
	m.t.Helper()
	if size > 0 {
		args = append([]string{"mpirun", "--oversubscribe", "--allow-run-as-root", "-np", strconv.Itoa(size)}, args...)
	}
	c, text := exec.Command(args[0], args[1:]...), &bytes.Buffer{}
	c.Stdout, c.Stderr = text, text
	if err := c.Start(); err != nil {
		m.t.Fatal(err)
	}
	return c, text
}

// must runs a command line that has to succeed.
func (m *mpirun) must(size int, args []string) string {
	m.t.Helper()
	c, text := m.start(size, args)
	if err := c.Wait(); err != nil {
		m.t.Fatalf("%d ranks: %v\n%s", size, err, text)
	}
	return text.String()
}

// awaitCheckpoint waits for the first one and returns the processes that mpirun has started.
func (m *mpirun) awaitCheckpoint(c *exec.Cmd, out string) []int {
	m.t.Helper()
	for range 600 {
		if found, _ := filepath.Glob(filepath.Join(m.out(out), "checkpoint-*", "state.json")); len(found) > 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", c.Process.Pid, c.Process.Pid))
	if err != nil {
		m.t.Skip(err)
	}
	var pids []int
	for _, f := range strings.Fields(string(data)) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			m.t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

func exitOf(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

// The model is the same, to the last byte, with one process and with 1, 2 and 4 ranks.
func TestMPITrainsTheSameModel(t *testing.T) {
	m := newMPIRun(t)
	m.must(0, m.train("alone", "--seed", "9", "--steps", "4"))
	want, err := os.ReadFile(filepath.Join(m.out("alone"), "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 2, 4} {
		name := strconv.Itoa(size)
		text := m.must(size, m.train(name, "--seed", "9", "--steps", "4"))
		if strings.Count(text, `{"steps":4`) != 1 {
			t.Errorf("%d ranks: not one result\n%s", size, text)
		}
		got, err := os.ReadFile(filepath.Join(m.out(name), "model.onnx"))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d ranks write another model (%v)", size, err)
		}
	}
}

// A rank that is killed ends the job; the ledger has charged every step of the checkpoint, and three ranks go on.
func TestMPILostRank(t *testing.T) {
	m := newMPIRun(t)
	c, text := m.start(2, m.train("lost", "--steps", "16"))
	ranks := m.awaitCheckpoint(c, "lost")
	if len(ranks) != 2 {
		t.Fatalf("%d ranks\n%s", len(ranks), text)
	}
	if err := syscall.Kill(ranks[1], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := c.Wait(); exitOf(err) == 0 || time.Since(begun) > time.Minute {
		t.Fatalf("the job ended with %v after %v\n%s", err, time.Since(begun), text)
	}
	record, err := dpadam.ReadLedger(filepath.Join(m.out("lost"), "ledger"))
	if err != nil || record.Charged() < 2 || record.Charged() >= 16 {
		t.Fatalf("%d steps are charged, %v", record.Charged(), err)
	}
	m.must(3, []string{m.command, "train", "--resume", "--out", m.out("lost"), "--checkpoint-every", "10"})
	again, err := dpadam.ReadLedger(filepath.Join(m.out("lost"), "ledger"))
	if err != nil || again.Charged() != 16 {
		t.Errorf("%d steps are charged, %v", again.Charged(), err)
	}
	said, err := dpadam.NewStatement(again)
	if err != nil || said.Epsilon == nil || said.StepsTaken == nil || *said.StepsTaken > 16 || *said.StepsTaken < 2 {
		t.Errorf("%+v, %v", said, err)
	}
}

// SIGUSR1, which mpirun passes on, and SIGTERM, after which it kills when its time is over, end the job with a
// checkpoint of the last step.
func TestMPIStops(t *testing.T) {
	m := newMPIRun(t)
	patient := []string{"--mca", "odls_base_sigkill_timeout", "5"} // mpirun waits so long whatever happens
	for name, c := range map[string]struct {
		signal  syscall.Signal
		options []string
	}{"usr1": {syscall.SIGUSR1, nil}, "term": {syscall.SIGTERM, patient}} {
		job, text := m.start(2, append(c.options, m.train(name, "--steps", "300")...))
		m.awaitCheckpoint(job, name)
		if err := job.Process.Signal(c.signal); err != nil {
			t.Fatal(err)
		}
		if err := job.Wait(); exitOf(err) != 1 || strings.Count(text.String(), "ghostwriter: interrupted") != 1 {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
		record, err := dpadam.ReadLedger(filepath.Join(m.out(name), "ledger"))
		if err != nil {
			t.Fatal(err)
		}
		last := filepath.Join(m.out(name), fmt.Sprintf("checkpoint-%d", record.Charged()), "state.json")
		if _, err := os.Stat(last); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Ranks with other data are refused before anything is written, and so is a command that isn't a run of several.
func TestMPIRefuses(t *testing.T) {
	m := newMPIRun(t)
	data, err := os.ReadFile(filepath.Join("..", "..", "testdata", "demo", "private-train.csv"))
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(m.dir, "other.csv")
	if err := os.WriteFile(other, bytes.Replace(data, []byte("a"), []byte("e"), 40), 0o644); err != nil {
		t.Fatal(err)
	}
	two := append(m.train("other", "--steps", "3"), ":", "-np", "1")
	c, text := m.start(1, append(two, m.train("other", "--steps", "3", "--train", other)...))
	if err := c.Wait(); exitOf(err) != 2 || !strings.Contains(text.String(), "rank 1 has another data set than rank 0") {
		t.Errorf("other data: %v\n%s", err, text)
	}
	if _, err := os.Stat(m.out("other")); err == nil {
		t.Error("the output directory was made")
	}
	c, text = m.start(2, []string{m.command, "privacy", "statement", m.dir})
	if err := c.Wait(); exitOf(err) != 2 || !strings.Contains(text.String(), "runs in one process") {
		t.Errorf("another verb: %v\n%s", err, text)
	}
}
