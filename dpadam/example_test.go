package dpadam_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

// The noise multiplier that keeps ten epochs of E2E within epsilon = 8, and what half of the
// steps would cost.
func ExampleNewPlan() {
	plan, err := dpadam.NewPlan(dpadam.Config{
		Records: 42061, RecordsDeclared: true, ExpectedBatch: 1024, Epochs: 10,
		TargetEpsilon: 8, Delta: 1e-5, ClipNorm: 0.1, Rho: 1e-3,
		Dim: 124_439_808, Microbatch: 16, Optimizer: dpadam.Adam(2e-3),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	half, err := plan.Epsilon(dpadam.Charges{Steps: plan.Steps() / 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	s := plan.Spec()
	fmt.Printf("%d steps at q = %.5f, sigma = %.4f; half of them: epsilon <= %.3f\n", s.Steps, s.SampleRate, s.NoiseMultiplier, half.Epsilon)
	_, err = dpadam.NewPlan(dpadam.Config{Records: 100, ExpectedBatch: 10, Epochs: 1, TargetEpsilon: 1, ClipNorm: -1, Dim: 1, Optimizer: dpadam.Adam(1)})
	fmt.Println(err)
	// Output:
	// 411 steps at q = 0.02435, sigma = 0.6788; half of them: epsilon <= 6.081
	// clipping norm = -1: must be a finite number > 0
}

// One private step after another: charged, sampled, summed, noised, applied.
func ExampleStepper() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "run")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	plan, err := dpadam.NewPlan(dpadam.Config{Records: 1000, ExpectedBatch: 100, Steps: 5, NoiseMultiplier: 1.5,
		ClipNorm: 1, Rho: 1e-3, Dim: 3, Microbatch: 32, Optimizer: dpadam.Adam(1e-2)})
	if err != nil {
		fmt.Println(err)
		return
	}
	ledger, err := dpadam.CreateLedger(ctx, filepath.Join(dir, "ledger"), plan, dpadam.LedgerOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ledger.Close()
	stepper, err := dpadam.NewStepper(ledger, 1000, dpadam.StepperOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	optimizer, err := dpadam.NewOptimizer(plan, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	params, gradient := make([]float32, 3), make([]float32, 3)
	for n := int64(1); n <= plan.Steps(); n++ {
		step, err := stepper.Begin(ctx, n)
		if err != nil {
			fmt.Println(err)
			return
		}
		clippedSum := make([]float32, 3) // of step.Records(), computed by the model
		if err := step.Add(clippedSum, len(step.Records())); err != nil {
			fmt.Println(err)
			return
		}
		if err := step.Release(ctx, gradient); err != nil {
			fmt.Println(err)
			return
		}
		if err := optimizer.Update(params, gradient, plan.LearningRate(n, plan.Steps())); err != nil {
			fmt.Println(err)
			return
		}
	}
	spent, err := ledger.Epsilon()
	fmt.Printf("%d steps charged, epsilon <= %.3f, %v\n", ledger.Charged(), spent.Epsilon, err)
	// Output:
	// 5 steps charged, epsilon <= 0.592, <nil>
}
