package runtime

import (
	"errors"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
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

// gpuProblem says why there is no GPU.
func gpuProblem(f *fixture) error {
	env, err := f.model.Env()
	if err != nil {
		return err
	}
	return env.CheckDevice(ort.CUDA(0))
}

// On a GPU (make gpu-test): losses, norms and clipped sums are the processor's within what single precision leaves,
// and weights that are trained there too.
func TestGPUGradNorms(t *testing.T) {
	for _, f := range fixtures(t) {
		if err := gpuProblem(f); err != nil {
			t.Skip("no GPU: ", err)
		}
		t.Run(f.name, func(t *testing.T) {
			there, err := Open(f.model.File().Path, Options{Device: "cuda", Output: f.model.options.Output, Head: f.model.options.Head})
			if err != nil {
				t.Fatal(err)
			}
			defer there.Close()
			for _, name := range f.info.Cases {
				c := f.load(t, name)
				const clipNorm = 0.1
				o := GradNormsOptions{Loss: c.Loss, Sum: true, Clip: ghost.Abadi, ClipNorm: clipNorm}
				want, err := f.model.GradNorms(t.Context(), f.batch(t, c), o)
				if err != nil {
					t.Fatal(err)
				}
				got, err := there.GradNorms(t.Context(), f.batch(t, c), o)
				if err != nil {
					t.Fatal(err)
				}
				closeTo(t, name+" loss", got.Loss, want.Loss)
				closeTo(t, name+" norm", got.Norm, want.Norm)
				if d := sumDistance(got.Sum, want.Sum); !(d <= rho/10*clipNorm*float64(len(want.Norm))) {
					t.Errorf("%s: the sums are %g apart", name, d)
				}
			}
		})
	}
}

func closeTo(t *testing.T, what string, got, want []float64) {
	t.Helper()
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= 1e-4*math.Abs(want[i])+1e-6) {
			t.Errorf("%s of record %d: %g on the GPU, %g on the processor", what, i, got[i], want[i])
		}
	}
}

func TestGPUFinetune(t *testing.T) {
	if err := gpuProblem(fixtures(t)[0]); err != nil {
		t.Skip("no GPU: ", err)
	}
	dir, seed := crashDir(t), uint64(5)
	var weights [2]map[string][]float32
	for i, device := range []string{"cpu", "cuda"} {
		o := crashOptions(dir)
		o.Out, o.Seed, o.Device = filepath.Join(dir, device), &seed, device
		o.Optimizer, o.LearningRate = "sgd", 0.01 // Adam divides by what can be rounding alone
		if _, err := Finetune(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		weights[i] = weightsOf(t, filepath.Join(o.Out, "model.onnx"))
	}
	for name, want := range weights[0] {
		got := weights[1][name]
		for k := range want {
			if !(math.Abs(float64(got[k]-want[k])) <= 1e-5) {
				t.Errorf("%s[%d]: %g on the GPU, %g on the processor", name, k, got[k], want[k])
				break
			}
		}
	}
}
