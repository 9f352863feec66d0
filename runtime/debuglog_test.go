package runtime

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Every process of a run writes an event file of its own into debug/, for its owner alone,
// with what the step was and what it cost; without debug output there is none.
func TestDebugWritesEventFiles(t *testing.T) {
	o := crashOptions(crashDir(t))
	o.Debug, o.Valid = true, o.Train
	stop := make(chan struct{})
	close(stop)
	o.Stop = stop
	if _, err := Finetune(t.Context(), o); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	o.Stop, o.Resume = nil, true
	if _, err := Finetune(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(o.Out, "debug", "tensorboard", "events.out.tfevents.*"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	steps := 0
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
		steps += bytes.Count(data, []byte("train/loss"))
		for _, tag := range []string{"norm/p50", "norm/p90", "norm/max", "clip/fraction", "train/records", "train/learning_rate", "privacy/epsilon", "valid/loss", "valid/accuracy", "NOT COVERED BY THE PRIVACY GUARANTEE"} {
			if !bytes.Contains(data, []byte(tag)) {
				t.Errorf("%s: no %s", path, tag)
			}
		}
	}
	if steps != crashSteps {
		t.Errorf("%d steps in the event files, want %d", steps, crashSteps)
	}
	err = filepath.WalkDir(o.Out, func(path string, _ os.DirEntry, err error) error {
		if strings.Contains(path, "tfevents") && !strings.Contains(path, string(filepath.Separator)+"debug"+string(filepath.Separator)) {
			t.Errorf("an event file outside debug/: %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNormQuantiles(t *testing.T) {
	for _, c := range []struct {
		norms []float64
		want  [len(normQuantiles)]float64
	}{
		{nil, [len(normQuantiles)]float64{}},
		{[]float64{3}, [...]float64{3, 3, 3, 3, 3}},
		{[]float64{10, 9, 8, 7, 6, 5, 4, 3, 2, 1}, [...]float64{1, 3, 5, 8, 9}},
		{[]float64{math.MaxFloat64, 0}, [...]float64{0, 0, 0, math.MaxFloat64, math.MaxFloat64}},
	} {
		var s stepStats
		for _, n := range c.norms {
			s.addNorm(n)
		}
		if s.quantiles(); s.NormQuantiles != c.want {
			t.Errorf("%v: %v, want %v", c.norms, s.NormQuantiles, c.want)
		}
	}
}

// A resumed run does not score its weights as those before the first step.
func TestResumedRunIsNotScoredAtStepZero(t *testing.T) {
	o := crashOptions(crashDir(t))
	o.Valid, o.ValidPublic = o.Train, true
	stop := make(chan struct{})
	close(stop)
	o.Stop = stop
	if _, err := Finetune(t.Context(), o); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	o.Stop, o.Resume = nil, true
	if _, err := Finetune(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	var scored []int64
	for _, m := range readMetricLines(t, o.Out) {
		if m.ValidLoss != nil {
			scored = append(scored, m.Step)
		}
	}
	if !slices.Equal(scored, []int64{0, crashSteps}) {
		t.Errorf("scored after steps %v", scored)
	}
}
