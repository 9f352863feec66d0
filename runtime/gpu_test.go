package runtime

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// Tests on a GPU (make gpu-test): what it computes is what the processor does, within what single precision leaves. Where
// there is none they say what is missing and are skipped.

// gpuProblem says why there is no GPU.
func gpuProblem(f *fixture) error {
	env, err := f.model.Env()
	if err != nil {
		return err
	}
	return env.CheckDevice(ort.CUDA(0))
}

// onGPU is a fixture's model on the first GPU.
func onGPU(t *testing.T, f *fixture) *fixture {
	t.Helper()
	if err := gpuProblem(f); err != nil {
		t.Skip("no GPU: ", err)
	}
	o := f.model.options
	o.Device = "cuda"
	m, err := Open(f.model.File().Path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	there := *f
	there.model = m
	return &there
}

func TestGPUGradNorms(t *testing.T) {
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			there := onGPU(t, f)
			for _, name := range []string{caseWith(t, f, "-b2-t5"), caseWith(t, f, "-b7-t33")} {
				const clipNorm = 0.1
				c := f.load(t, name)
				o := GradNormsOptions{Loss: c.Loss, Sum: true, Clip: ghost.Abadi, ClipNorm: clipNorm}
				want, err := f.model.GradNorms(t.Context(), f.batch(t, c), o)
				if err != nil {
					t.Fatal(err)
				}
				got, err := there.model.GradNorms(t.Context(), f.batch(t, c), o)
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

// The allowance ρ holds on the GPU as on the processor (rho_test.go), and in half precisions.
func TestGPURho(t *testing.T) {
	var sums, steps largest
	for _, name := range []string{"gpt2-optimum", "bert-optimum", "distilbert-ts17", "roberta-dyn18"} {
		f := onGPU(t, openFixture(t, name))
		for _, length := range rhoLengths() {
			where := fmt.Sprintf("%s, %d tokens", name, length)
			sums.add(errorOfSum(t, f.model, randomRecords(t, f, 16, length), GradNormsOptions{Loss: textLoss(f)}), where)
			steps.add(errorOfRepacking(t, f, rhoRecords, length), where)
		}
		if textLoss(f) == "classify" {
			continue
		}
		for _, p := range []ghost.Precision{ghost.Half, ghost.Brain} {
			steps.add(errorOfHalfRepacking(t, f, 64, 24, GradNormsOptions{Loss: textLoss(f), Precision: p}), fmt.Sprintf("%s in %s", name, p))
		}
	}
	sums.check(t, "‖S₃₂ − S₆₄‖ of a microbatch on the GPU")
	steps.check(t, "‖(S − S′) − g‖ of a step on the GPU")
}

// In a half precision the GPU does what the processor emulates, within the rounding.
func TestGPUHalfPrecision(t *testing.T) {
	f := openFixture(t, "gpt2-optimum")
	there := onGPU(t, f)
	b := randomRecords(t, f, 8, 24)
	for p, tolerance := range halfTolerance {
		want, err := f.model.GradNorms(t.Context(), b, halfOptions(textLoss(f), p))
		if err != nil {
			t.Fatal(err)
		}
		got, err := there.model.GradNorms(t.Context(), b, GradNormsOptions{Loss: textLoss(f), Precision: p})
		if err != nil {
			t.Fatal(err)
		}
		for i := range want.Norm {
			if !(math.Abs(got.Norm[i]-want.Norm[i]) <= tolerance*want.Norm[i]) {
				t.Errorf("%s: record %d has norm %g, emulated %g", p, i, got.Norm[i], want.Norm[i])
			}
		}
	}
}

// Weights that are trained on the GPU are those that are trained on the processor; in bf16 the run's own checks pass.
func TestGPUFinetune(t *testing.T) {
	if err := gpuProblem(fixtures(t)[0]); err != nil {
		t.Skip("no GPU: ", err)
	}
	dir, seed := crashDir(t), uint64(5)
	train := func(device string, p ghost.Precision) map[string][]float32 {
		o := crashOptions(dir)
		o.Out, o.Seed, o.Device, o.Precision = filepath.Join(dir, device+string(p)), &seed, device, string(p)
		o.Optimizer, o.LearningRate = "sgd", 0.01 // Adam divides by what can be rounding alone
		if _, err := Finetune(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		return weightsOf(t, filepath.Join(o.Out, "model.onnx"))
	}
	want, got := train("cpu", ghost.Single), train("cuda", ghost.Single)
	if d := sumDistance(got, want); !(d <= 1e-5) {
		t.Errorf("the weights are %g apart", d)
	}
	train("cuda", ghost.Brain)
}

// Generation with a cache gives the same tokens.
func TestGPUGenerate(t *testing.T) {
	f := openFixture(t, "gpt2-optimum")
	there := onGPU(t, f)
	prompt := make([]int32, 6)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range prompt {
		prompt[i] = 5 + rng.Int32N(80)
	}
	o := GenerateOptions{MaxNewTokens: 8}
	want, err := f.model.Generate(t.Context(), [][]int32{prompt}, o)
	if err != nil {
		t.Fatal(err)
	}
	got, err := there.model.Generate(t.Context(), [][]int32{prompt}, o)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, on the processor %v", got, want)
	}
}
