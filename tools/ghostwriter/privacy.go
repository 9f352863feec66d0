package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

func (a *app) privacyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "privacy epsilon|sigma|delta|steps|statement",
		Short: "Account for privacy before a run, and state it after",
		Long: "Privacy prices runs by the Poisson-subsampled Gaussian mechanism: every record is in a step's batch independently\n" +
			"with probability q. Its figures say nothing about shuffled batches. Batches cut off at a largest size, or drawn\n" +
			"without replacement, are priced by --sampler; ghostwriter itself never samples so.",
		Example: "  ghostwriter privacy epsilon --sample-rate 0.0243 --steps 411 --noise-multiplier 0.9 --delta 1e-5\n" +
			"  ghostwriter privacy statement tuned/",
		Args: cobra.ArbitraryArgs, // so that a wrong sub-command gets the error below, not the help and exit code 0
		RunE: func(_ *cobra.Command, args []string) error {
			return fmt.Errorf("%w: privacy %q: give one of epsilon, sigma, delta, steps and statement; see ghostwriter privacy --help", errCommandLine, args)
		},
	}
	for _, q := range accountingQuestions() {
		c.AddCommand(a.accountingCommand(q))
	}
	c.AddCommand(a.statementCommand())
	return c
}

// An accountingQuestion is a sub-command that asks an accountant.
type accountingQuestion struct {
	name, short, long, example string

	needs    []string          // flags that have to be given
	refuses  map[string]string // flags that contradict the question, and why
	minSteps int64
	rigorous bool // no answer without a proof: the approximation gdp is refused
	answer   func(ctx context.Context, in *accountingInput) (dpadam.Result, error)
	text     func(r accountingReport) string // the answer in a line
}

// phaseFlags describe a run of one phase; --phases stands for all of them.
var phaseFlags = [...]string{"sample-rate", "steps", "noise-multiplier"}

func accountingQuestions() []*accountingQuestion {
	return []*accountingQuestion{{
		name: "epsilon", short: "The epsilon of a run at a given delta",
		long: "Epsilon prints the rigorous upper bound of epsilon at --delta. A run that has not taken a step has epsilon 0.",
		example: "  ghostwriter privacy epsilon --sample-rate 0.0243 --steps 411 --noise-multiplier 0.9 --delta 1e-5\n" +
			"  ghostwriter privacy epsilon --phases phases.json --delta 1e-5 --json",
		needs:   []string{"sample-rate", "steps", "noise-multiplier", "delta"},
		refuses: map[string]string{"target-epsilon": "epsilon is what is computed; leave it out, or ask privacy sigma or privacy delta"},
		answer:  epsilonAtDelta,
		text: func(r accountingReport) string {
			return fmt.Sprintf("epsilon = %s at delta = %s", above(r.Epsilon), exact(r.Delta))
		},
	}, {
		name: "sigma", short: "The smallest noise multiplier that keeps to a target epsilon",
		long: "Sigma prints the smallest noise multiplier, rounded up to seven digits, at which the upper bound of epsilon at\n" +
			"--delta does not exceed --target-epsilon, and that bound.",
		example: "  ghostwriter privacy sigma --sample-rate 0.0243 --steps 411 --delta 1e-5 --target-epsilon 3",
		needs:   []string{"sample-rate", "steps", "delta", "target-epsilon"},
		refuses: map[string]string{
			"noise-multiplier": "the noise multiplier is what is computed; leave it out, or ask privacy epsilon",
			"phases":           "phases have noise multipliers of their own; give --sample-rate and --steps, or ask privacy epsilon",
		},
		minSteps: 1,
		rigorous: true,
		answer:   sigmaForTarget,
		text: func(r accountingReport) string {
			return fmt.Sprintf("noise multiplier = %s gives epsilon = %s at delta = %s", exact(r.NoiseMultiplier), above(r.Epsilon), exact(r.Delta))
		},
	}, {
		name: "delta", short: "The delta of a run at a given epsilon",
		long:     "Delta prints the rigorous upper bound of delta at the epsilon of --target-epsilon.",
		example:  "  ghostwriter privacy delta --sample-rate 0.0243 --steps 411 --noise-multiplier 0.9 --target-epsilon 3",
		needs:    []string{"sample-rate", "steps", "noise-multiplier", "target-epsilon"},
		refuses:  map[string]string{"delta": "delta is what is computed; leave it out, or ask privacy epsilon"},
		rigorous: true,
		answer:   deltaAtEpsilon,
		text: func(r accountingReport) string {
			return fmt.Sprintf("delta = %s at epsilon = %s", above(r.Delta), exact(r.Epsilon))
		},
	}, {
		name: "steps", short: "The largest number of steps that keeps to a target epsilon",
		long: "Steps prints the largest number of steps whose upper bound of epsilon at --delta does not exceed --target-epsilon,\n" +
			"and that bound. It may be 0.",
		example: "  ghostwriter privacy steps --sample-rate 0.0243 --noise-multiplier 0.9 --delta 1e-5 --target-epsilon 3",
		needs:   []string{"sample-rate", "noise-multiplier", "delta", "target-epsilon"},
		refuses: map[string]string{
			"steps":   "the number of steps is what is computed; leave it out, or ask privacy epsilon",
			"phases":  "phases have numbers of steps of their own; give --sample-rate and --noise-multiplier, or ask privacy epsilon",
			"sampler": "the number of steps is computed for Poisson sampling; ask privacy epsilon",
		},
		rigorous: true,
		answer:   stepsForTarget,
		text: func(r accountingReport) string {
			return fmt.Sprintf("%d steps give epsilon = %s at delta = %s", *r.Steps, above(r.Epsilon), exact(r.Delta))
		},
	}}
}

func (a *app) accountingCommand(q *accountingQuestion) *cobra.Command {
	var in accountingInput
	c := &cobra.Command{
		Use:     q.name + " " + q.usage(),
		Short:   q.short,
		Long:    q.long,
		Example: q.example,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := q.check(&in, cmd.Flags().Changed); err != nil {
				return err
			}
			if err := in.resolve(q, cmd.Flags().Changed); err != nil {
				return err
			}
			r, err := q.answer(cmd.Context(), &in)
			if err != nil {
				return err
			}
			return a.printAccounting(q, in.report(r))
		},
	}
	in.add(c.Flags())
	for name := range q.refuses {
		c.Flags().Lookup(name).Hidden = true
	}
	return c
}

// usage is the question's flags, for the first line of the help.
func (q *accountingQuestion) usage() string {
	letters := map[string]string{"sample-rate": "Q", "steps": "T", "noise-multiplier": "S", "delta": "D", "target-epsilon": "E"}
	var words []string
	for _, name := range q.needs {
		words = append(words, "--"+name, letters[name])
	}
	return strings.Join(words, " ")
}

// check refuses flags that are missing, contradict each other or are out of bounds.
func (q *accountingQuestion) check(in *accountingInput, given func(string) bool) error {
	if err := q.contradictions(given); err != nil {
		return err
	}
	var missing []string
	for _, name := range in.sampler.needs(q.needs) {
		if !given(name) && !(given("phases") && isPhaseFlag(name)) {
			missing = append(missing, "--"+name)
		}
	}
	if missing != nil {
		return fmt.Errorf("%w: missing: %s; see ghostwriter privacy %s --help", errCommandLine, strings.Join(missing, ", "), q.name)
	}
	for _, b := range in.bounds(q.minSteps) {
		if given(b.flag) && !b.ok {
			return fmt.Errorf("%w: --%s %v: must be %s", errCommandLine, b.flag, b.value, b.bound)
		}
	}
	return nil
}

// contradictions refuses what would otherwise have to be ignored.
func (q *accountingQuestion) contradictions(given func(string) bool) error {
	for _, name := range append([]string{"delta", "target-epsilon", "phases"}, phaseFlags[:]...) {
		if !given(name) {
			continue
		}
		if why := q.refuses[name]; why != "" {
			return fmt.Errorf("%w: privacy %s with --%s: %s", errCommandLine, q.name, name, why)
		}
		if given("phases") && isPhaseFlag(name) {
			return fmt.Errorf("%w: --phases and --%s: the file has it for every phase; give one of the two", errCommandLine, name)
		}
	}
	return nil
}

func isPhaseFlag(name string) bool { return slices.Contains(phaseFlags[:], name) }

// An accountingInput is what the flags say about a run.
type accountingInput struct {
	sampleRate, noiseMultiplier, delta, epsilon float64
	steps                                       int64
	accountantName, relationName, phasesFile    string
	sampler                                     samplerInput

	accountant dpadam.Accountant
	relation   dpadam.Relation
	phases     []dpadam.Phase
}

func (in *accountingInput) add(fl *pflag.FlagSet) {
	fl.Float64Var(&in.sampleRate, "sample-rate", 0, "q, the probability of a record to be in a batch")
	fl.Int64Var(&in.steps, "steps", 0, "T, the number of steps")
	fl.Float64Var(&in.noiseMultiplier, "noise-multiplier", 0, "sigma, the standard deviation of the noise over the clipping norm")
	fl.Float64Var(&in.delta, "delta", 0, "delta")
	fl.Float64Var(&in.epsilon, "target-epsilon", 0, "epsilon to ask for; --epsilon is the same")
	fl.StringVar(&in.accountantName, "accountant", dpadam.DefaultAccountant, "pld (tight), rdp, prv (for comparison), or gdp, an approximation\nthat guarantees nothing")
	fl.StringVar(&in.relationName, "relation", string(dpadam.AddRemove), "neighbouring data sets: add-remove or replace-one")
	fl.StringVar(&in.phasesFile, "phases", "", "a JSON file of several phases, instead of --sample-rate, --steps and --noise-multiplier:\n"+
		`[{"sample_rate":q,"noise_multiplier":s,"steps":t}, …]`)
	in.sampler.add(fl)
	fl.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "epsilon" {
			name = "target-epsilon"
		}
		return pflag.NormalizedName(name)
	})
}

type flagBound struct {
	flag  string
	value any
	ok    bool
	bound string
}

// bounds are those of the flags. They are narrower than the accountant's, which
// has a price for a sample rate of 0: on the command line that is a slip.
func (in *accountingInput) bounds(minSteps int64) []flagBound {
	positive := func(x float64) bool { return x > 0 && !math.IsInf(x, 0) } // false for NaN
	return []flagBound{
		{"sample-rate", in.sampleRate, in.sampleRate > 0 && in.sampleRate <= 1, "in (0, 1]"},
		{"steps", in.steps, in.steps >= minSteps, fmt.Sprintf(">= %d", minSteps)},
		{"noise-multiplier", in.noiseMultiplier, positive(in.noiseMultiplier), "a finite number > 0"},
		{"delta", in.delta, in.delta > 0 && in.delta < 1, "in (0, 1)"},
		{"target-epsilon", in.epsilon, positive(in.epsilon), "a finite number > 0"},
	}
}

// resolve makes the accountant and reads the phases.
func (in *accountingInput) resolve(q *accountingQuestion, given func(string) bool) (err error) {
	if err := in.sampler.resolve(in, given); err != nil {
		return err
	}
	if in.approximate() {
		if q.rigorous {
			return fmt.Errorf("%w: privacy %s --accountant gdp: it is an approximation, from which nothing may be planned; take pld", errCommandLine, q.name)
		}
	} else if in.accountant, err = newAccountant(in.accountantName); err != nil {
		return err
	}
	if in.relation, err = parseRelation(in.relationName); err != nil {
		return err
	}
	if given("phases") {
		in.phases, err = readPhases(in.phasesFile)
		return err
	}
	in.phases = []dpadam.Phase{{SampleRate: in.sampleRate, NoiseMultiplier: in.noiseMultiplier, Steps: in.steps}}
	return nil
}

// approximation is the name of the central limit theorem's epsilon, which no accountant stands for.
const approximation = "gdp"

func (in *accountingInput) approximate() bool { return in.accountantName == approximation }

// newAccountant refuses the empty name, which dpadam takes for its default: on a
// command line it is a variable that was not set.
func newAccountant(name string) (dpadam.Accountant, error) {
	acc, err := dpadam.NewAccountant(name)
	switch {
	case name == "":
		return nil, fmt.Errorf("%w: --accountant is empty; there are %s", errCommandLine, strings.Join(dpadam.Accountants(), ", "))
	case err != nil:
		return nil, flagError("accountant", name, err)
	}
	return acc, nil
}

func parseRelation(name string) (dpadam.Relation, error) {
	if name == "" { // dpadam takes it for its default
		return "", fmt.Errorf("%w: --relation is empty; give add-remove or replace-one", errCommandLine)
	}
	r, err := dpadam.ParseRelation(name)
	if err != nil {
		return "", flagError("relation", name, err)
	}
	return r, nil
}

// flagError names the flag instead of the parameter.
func flagError(flag, value string, err error) error {
	why := err.Error()
	if p := (*dpadam.ParamError)(nil); errors.As(err, &p) {
		why = p.Bound
	}
	return fmt.Errorf("%w: --%s %q: %s", errCommandLine, flag, value, why)
}

func readPhases(path string) ([]dpadam.Phase, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: --phases: %v", errCommandLine, err)
	}
	phases, err := dpadam.ParsePhases(data)
	if err != nil {
		return nil, fmt.Errorf("--phases %s: %w", path, err)
	}
	for i, p := range phases {
		if p.SampleRate == 0 { // priced at nothing, and most often a rounded quotient
			return nil, fmt.Errorf("%w: --phases %s: phase %d: sample_rate = 0: must be in (0, 1]", errCommandLine, path, i)
		}
	}
	return phases, nil
}
