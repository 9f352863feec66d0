package dpadam

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Text is the statement in words, for someone who has to decide on the model's use.
func (st *Statement) Text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("PRIVACY STATEMENT")
	line("")
	if !st.Private {
		line("%s.", st.NotPrivate)
		line("Nothing is guaranteed about the training data. Treat the weights like the data themselves.")
	} else {
		line("Training was differentially private with epsilon = %s at delta = %s.", upward(*st.Epsilon), strconv.FormatFloat(*st.Delta, 'g', 6, 64))
		line("%s", wrap(st.meaning()))
	}
	if st.NominalEpsilon != nil {
		line("(With secret random numbers the same charges would give epsilon = %s. This run's were not secret.)", upward(*st.NominalEpsilon))
	}
	line("")
	st.table(line)
	for _, part := range []struct {
		title string
		items []string
	}{{"Assumed", st.Assumptions}, {"Covered", st.Covered}, {"Not covered", st.NotCovered}} {
		if len(part.items) == 0 {
			continue
		}
		line("")
		line("%s:", part.title)
		for _, it := range part.items {
			line("- %s", strings.ReplaceAll(wrap(it), "\n", "\n  "))
		}
	}
	return b.String()
}

// meaning is what epsilon and delta promise.
func (st *Statement) meaning() string {
	if st.StepsCharged == 0 {
		return "No step was charged: nothing that depends on the data has been released."
	}
	change := "adding it to the training data or removing it"
	if st.Relation == ReplaceOne {
		change = "replacing it by any other"
	}
	return fmt.Sprintf("The unit of privacy is %s. For every such unit and for everything that could be concluded or done with the "+
		"released weights, %s changes the probability of it by a factor of at most e^epsilon = %s, up to an additional probability "+
		"of at most delta.", st.Unit, change, factor(*st.Epsilon))
}

func (st *Statement) table(line func(string, ...any)) {
	row := func(name, format string, args ...any) { line("%-26s"+format, append([]any{name + ":"}, args...)...) }
	public := "given by the user"
	if st.RecordsPublic != "declared" {
		public = "counted in the data and treated as public"
	}
	row("Unit of privacy", "%s", st.Unit)
	if st.RecordsPerUnit > 0 {
		row("Records of a unit", "any number; at most %d, chosen anew in each step, make one example", st.RecordsPerUnit)
	}
	row("Neighbouring relation", "%s", st.Relation)
	row("Sampler", "Poisson, every unit independently with q = %.9g", st.SampleRate)
	row("Expected batch", "%g, the fixed denominator of every update", st.ExpectedBatch)
	row("Number of units N", "%d, %s", st.Records, public)
	row("Noise multiplier", "%g times the clipping norm", st.NoiseMultiplier)
	st.clippingRows(row)
	if st.AverageDecay > 0 {
		row("Released weights", "averaged over the steps with decay %g, computed from noised steps alone", st.AverageDecay)
	}
	if st.Arithmetic != "" {
		row("Computed with", "%s", st.Arithmetic)
	}
	if st.Method != "" {
		row("Method", "%s", st.Method)
	}
	row("Trainable coordinates", "%d, noised all of them in every step", st.Dim)
	taken := "not recorded: the run has not ended (at most the charged ones)"
	if st.StepsTaken != nil {
		taken = strconv.FormatInt(*st.StepsTaken, 10)
	}
	row("Steps planned", "%d", st.StepsPlanned)
	row("Steps taken", "%s", taken)
	row("Steps charged", "%d (%d of them torn lines; %d resumes; %d branches)", st.StepsCharged, st.TornLines, st.Resumes, st.Branches)
	if st.Evaluations != nil {
		row("Evaluations", "%s", st.Evaluations.row())
	}
	if st.Search != nil {
		row("Search", "%s", st.Search.row())
	}
	if st.Budget != nil {
		row("Budget", "%s", st.Budget.row())
	}
	row("Accountant", "%s", st.Accountant)
	row("Run", "%s", st.Run)
}

func (st *Statement) assumptions() []string {
	if !st.Private {
		return nil
	}
	a := []string{
		st.precision(),
		st.dependence(),
		"AES-256 in counter mode is indistinguishable from random, and nobody outside saw the memory, the random numbers or the timing of single steps of the machine that trained.",
	}
	if st.adaptive() != nil && st.RecordsPerUnit == 0 { // units are computed alone
		a = append(a, "Whether a record's gradient is longer than the clipping norm is decided in float32, and does not depend on the records that "+
			"its gradient was computed together with. Only a norm that lies within rounding of the clipping norm could.")
	}
	if st.RecordsPublic != "declared" {
		a = append(a, "The number of units N was counted in the data and is treated as public: sampling rate, delta and number of steps follow from it.")
	}
	return slices.Concat(a, st.evaluationAssumptions(), st.searchAssumptions())
}

// precision is what is assumed of float32 arithmetic, or proven about it.
func (st *Statement) precision() string {
	if st.RecordsPerUnit > 0 {
		return fmt.Sprintf("A unit's gradient is computed from that unit's records alone, in float32 by the model's runtime. "+
			"Its norm is that of the very numbers that are added, in float64; rho = %g pays for the rounding of that norm.", st.Rho)
	}
	return fmt.Sprintf("The float32 arithmetic of the model's runtime changes the sum of clipped gradients by at most rho = %g of the clipping norm. "+
		"This was measured, not proven; gradients are clipped to (1 - rho) of the clipping norm to pay for it.", st.Rho) + st.arithmeticNote()
}

// dependence is what is assumed of a unit's gradient.
func (st *Statement) dependence() string {
	if st.RecordsPerUnit > 0 {
		return "Every record names its unit as it is: records of one person under two names are two units, and a record about several persons belongs to one."
	}
	return "Every unit's gradient depends on that unit and the current weights alone; the trainer checks this on the model's graph and refuses otherwise."
}

func (st *Statement) covered() []string {
	if !st.Private {
		return nil
	}
	return slices.Concat([]string{
		"The released weights, all checkpoints of this run together, and anything computed from them and from public data.",
		"Every step in the ledger, those included whose result was lost in a crash or never used.",
	}, st.clippingCovered(), st.searchCovered(), st.evaluationCovered(), st.otherRunsCovered())
}

func (st *Statement) notCovered() []string {
	if !st.Private {
		return nil
	}
	return append(slices.Concat(st.otherRunsNotCovered(), st.evaluationNotCovered()),
		"Debug output (training loss, gradient norms, clipping fraction, realised batch sizes): keep or destroy it like the data.",
		"Steps taken by a copy of this run's directory on another machine, which this ledger cannot know of: merge all copies' ledgers.",
		"The data that the model had been pretrained on, and whatever else went into it before this run.",
		"Private records shown to the model when it is used, for example as examples in a prompt.",
		"What is true of the whole group of units: the model learns that on purpose.",
	)
}

// upward prints a bound with six significant digits, never smaller than it is.
func upward(x float64) string {
	s := strconv.FormatFloat(x, 'g', 6, 64)
	if v, err := strconv.ParseFloat(s, 64); err == nil && v < x {
		unit := math.Pow(10, math.Floor(math.Log10(x))-5)
		s = strconv.FormatFloat(x+unit/2, 'g', 6, 64)
	}
	return s
}

// factor prints e^epsilon, or its exponent where it is beyond use.
func factor(epsilon float64) string {
	if epsilon > 100 {
		return "more than 10^43"
	}
	return upward(math.Exp(epsilon))
}

// wrap breaks a paragraph into lines of at most 96 characters.
func wrap(s string) string {
	var b strings.Builder
	width := 0
	for i, w := range strings.Fields(s) {
		n := utf8.RuneCountInString(w)
		switch {
		case i == 0:
		case width+1+n > 96:
			b.WriteByte('\n')
			width = 0
		default:
			b.WriteByte(' ')
			width++
		}
		b.WriteString(w)
		width += n
	}
	return b.String()
}
