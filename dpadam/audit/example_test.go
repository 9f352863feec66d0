package audit_test

import (
	"context"
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/dpadam/audit"
)

// An attacker guessed of 100 canaries whether they were in, and was right in 95. No mechanism
// that is (2, 1e-5)-private lets that happen with probability 5 %.
func ExampleOneRun() {
	o := audit.OneRun{Canaries: 100, Guesses: 100, Correct: 95, Delta: 1e-5}
	bound, err := o.Epsilon(0.05)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := o.PValue(2)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("epsilon is at least %.3f; p-value of epsilon = 2: %.3f\n", bound, p)
	// Output: epsilon is at least 2.172; p-value of epsilon = 2: 0.016
}

// An audit of private training's own steps. The seed is for the example: it makes the run NOT
// PRIVATE, and the audit a function of it.
func ExampleWhiteBox() {
	seed := uint64(1)
	w := audit.WhiteBox{Canaries: 10000, Epsilon: 2, NoiseMultiplier: 2, Delta: 1e-5, Steps: 1, Seed: &seed, Options: audit.Options{Significance: 0.05}}
	honest, err := w.Run(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	w.NoiseMultiplier = 0.5
	broken, err := w.Run(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("sigma = 2: %s\nsigma = 1/2: %s, at most %d guesses could have been right and %d were\n",
		honest.Verdict(), broken.Verdict(), broken.Guesses, broken.Correct)
	// Output:
	// sigma = 2: not refuted
	// sigma = 1/2: refuted, at most 650 guesses could have been right and 648 were
}

// How many canaries does it take to refute epsilon = 4?
func ExampleSize_Fewest() {
	m, err := audit.Size{Epsilon: 4, Delta: 1e-6, Significance: 0.05}.Fewest()
	fmt.Println(m, err)
	// Output: 166 <nil>
}
