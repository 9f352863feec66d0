package runtime

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// A run whose weights lie in a device's memory, here the runtime's own, trains the same model as an ordinary one, bit
// for bit: whatever is updated is copied before it is read, also for what is evaluated between steps.
func TestResidentWeights(t *testing.T) {
	for name, change := range map[string]func(*FinetuneOptions){
		"one pass": func(*FinetuneOptions) {},
		"two passes": func(o *FinetuneOptions) {
			o.TwoPass = true
		},
		"average and evaluation": func(o *FinetuneOptions) {
			o.EMA, o.Valid, o.ValidPublic, o.CheckpointEvery = 0.9, o.Train, true, 2
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, seed := crashDir(t), uint64(5)
			run := func(out string, resident bool) string {
				o := crashOptions(dir)
				change(&o)
				o.Out, o.Seed, o.Steps, o.Epochs, o.resident = filepath.Join(dir, out), &seed, 3, 0, resident
				if _, err := Finetune(t.Context(), o); err != nil {
					t.Fatal(err)
				}
				return filepath.Join(o.Out, "model.onnx")
			}
			plain, resident := run("plain", false), run("resident", true)
			if !equalWeights(t, plain, resident) {
				t.Error("the weights differ")
			}
			if equalWeights(t, resident, filepath.Join(crashOptions(dir).Model, "model.onnx")) {
				t.Error("nothing was trained")
			}
		})
	}
}

func TestDeviceRefused(t *testing.T) {
	o := crashOptions(crashDir(t))
	o.Device = "gpu"
	if _, err := Finetune(t.Context(), o); ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), `--device: unknown device "gpu": there are cpu, cuda and cuda:N`) {
		t.Errorf("got %v", err)
	}
	f := fixtures(t)[0]
	if gpuProblem(f) == nil {
		t.Skip("there is a GPU")
	}
	o.Device = "cuda:1"
	_, trainErr := Finetune(t.Context(), o)
	m, err := Open(f.model.File().Path, Options{Device: "cuda:1"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	c := f.load(t, f.info.Cases[0])
	b := f.batch(t, c)
	_, runErr := m.Run(t.Context(), b.Inputs)
	_, normErr := m.GradNorms(t.Context(), b, GradNormsOptions{Loss: c.Loss})
	for verb, err := range map[string]error{"train": trainErr, "run": runErr, "gradnorms": normErr} {
		var device *ort.DeviceError
		if !errors.As(err, &device) || device.Device != ort.CUDA(1) || ExitCode(err) != ExitUsage {
			t.Errorf("%s: %v", verb, err)
		}
	}
}
