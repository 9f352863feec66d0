package dpadam

import (
	"fmt"
	"math"
	"slices"
)

// OptimizerSpec names an optimizer and all its settings. Adam, AdamW and SGD make complete
// ones; the zero value with a learning rate is Adam(learning rate).
type OptimizerSpec struct {
	Name         string  `json:"name"` // "adam", "adamw" or "sgd"
	LearningRate float64 `json:"learning_rate"`
	Beta1        float64 `json:"beta1,omitempty"`
	Beta2        float64 `json:"beta2,omitempty"`
	Epsilon      float64 `json:"epsilon,omitempty"`
	WeightDecay  float64 `json:"weight_decay,omitempty"`
	Momentum     float64 `json:"momentum,omitempty"`
	// Style of adamw: "" is torch.optim.AdamW; "transformers" decays after the update and
	// adds epsilon before the bias correction, as transformers.AdamW did.
	Style string `json:"style,omitempty"`
}

// Adam is torch.optim.Adam(lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0).
func Adam(lr float64) OptimizerSpec {
	return OptimizerSpec{Name: "adam", LearningRate: lr, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8}
}

// AdamW is torch.optim.AdamW(lr, betas=(0.9, 0.999), eps=1e-8, weight_decay).
func AdamW(lr, weightDecay float64) OptimizerSpec {
	s := Adam(lr)
	s.Name, s.WeightDecay = "adamw", weightDecay
	return s
}

// SGD is torch.optim.SGD(lr, momentum).
func SGD(lr, momentum float64) OptimizerSpec {
	return OptimizerSpec{Name: "sgd", LearningRate: lr, Momentum: momentum}
}

func (s OptimizerSpec) withDefaults() OptimizerSpec {
	if s.Name != "" {
		return s
	}
	d := Adam(s.LearningRate)
	if s != (OptimizerSpec{LearningRate: s.LearningRate}) {
		d = s // settings without a name: validate will refuse them
	}
	return d
}

func (s OptimizerSpec) validate() error {
	if !(s.LearningRate > 0) || math.IsInf(s.LearningRate, 0) {
		return invalid("learning rate", s.LearningRate, "must be a finite number > 0")
	}
	if !(s.WeightDecay >= 0) || math.IsInf(s.WeightDecay, 0) {
		return invalid("weight decay", s.WeightDecay, "must be a finite number >= 0")
	}
	switch s.Name {
	case "adam", "adamw":
		for name, b := range map[string]float64{"beta1": s.Beta1, "beta2": s.Beta2} {
			if !(b >= 0 && b < 1) {
				return invalid(name, b, "must be in [0, 1)")
			}
		}
		if !(s.Epsilon >= 0) || math.IsInf(s.Epsilon, 0) {
			return invalid("optimizer epsilon", s.Epsilon, "must be a finite number >= 0")
		}
		if s.Momentum != 0 {
			return invalid("momentum", s.Momentum, "belongs to sgd")
		}
		if s.Style != "" && (s.Name != "adamw" || s.Style != "transformers") {
			return invalid("optimizer style", fmt.Sprintf("%q", s.Style), `must be empty, or "transformers" with adamw`)
		}
	case "sgd":
		if !(s.Momentum >= 0 && s.Momentum < 1) {
			return invalid("momentum", s.Momentum, "must be in [0, 1)")
		}
		if s.Beta1 != 0 || s.Beta2 != 0 || s.Epsilon != 0 || s.Style != "" {
			return invalid("optimizer", s.Name, "takes no betas, epsilon or style")
		}
	default:
		return invalid("optimizer", fmt.Sprintf("%q", s.Name), "must be adam, adamw or sgd")
	}
	return nil
}

// StateVectors is the number of state vectors that the optimizer keeps, d float32 each.
func (s OptimizerSpec) StateVectors() int {
	switch {
	case s.withDefaults().Name != "sgd":
		return 2
	case s.Momentum != 0:
		return 1
	}
	return 0
}

// Range is the half-open interval [Start, End) of coordinates.
type Range struct{ Start, End int }

// Slot is one state vector of an optimizer, d coordinates, shared with it: writing to Data
// restores a checkpoint.
type Slot struct {
	Name string
	Data []float32
}

// Optimizer turns a released sum into an update of every coordinate, in place.
type Optimizer interface {
	// Update divides sum by the public denominator and takes one step. params and sum have
	// d coordinates; sum is not changed.
	Update(params, sum []float32, learningRate float64) error
	// State lists the state vectors in a fixed order.
	State() []Slot
	// Step is the number of updates taken; SetStep restores it.
	Step() int64
	SetStep(n int64) error
}

// NewOptimizer makes the plan's optimizer for its d coordinates. Weight decay leaves out
// the coordinates in noDecay, which must be ordered, disjoint and within [0, d).
func NewOptimizer(p *Plan, noDecay []Range) (Optimizer, error) {
	return NewSliceOptimizer(p, noDecay, Range{0, int(p.spec.Dim)})
}

// NewSliceOptimizer makes the plan's optimizer for a rank's own coordinates, with state for no
// others: its vectors have own.End-own.Start coordinates. noDecay counts from the plan's first.
func NewSliceOptimizer(p *Plan, noDecay []Range, own Range) (Optimizer, error) {
	return newOptimizer(p, int(p.spec.Dim), noDecay, own)
}

// NewOptimizerOf makes the plan's optimizer for d coordinates that are not the plan's: those of weights which a function of
// the noised sum moves, such as RGP's (Yu et al. 2021, Algorithm 1).
func NewOptimizerOf(p *Plan, d int, noDecay []Range) (Optimizer, error) {
	return newOptimizer(p, d, noDecay, Range{0, d})
}

func newOptimizer(p *Plan, d int, noDecay []Range, own Range) (Optimizer, error) {
	spec := p.spec.Optimizer
	if own.Start < 0 || own.End < own.Start || own.End > d {
		return nil, invalid("optimizer's coordinates", fmt.Sprintf("[%d, %d)", own.Start, own.End), fmt.Sprintf("must be within [0, %d)", d))
	}
	parts, err := decayParts(d, noDecay)
	if err != nil {
		return nil, err
	}
	base := optimizerBase{spec: spec, parts: cutParts(parts, own), denominator: float32(p.spec.ExpectedBatch), dim: own.End - own.Start,
		level: bestLevel()}
	if spec.Name == "sgd" {
		return newSGD(base), nil
	}
	return newAdam(base), nil
}

// optimizerBase is what the optimizers have in common.
type optimizerBase struct {
	spec        OptimizerSpec
	parts       []part
	denominator float32
	dim         int
	step        int64
	level       level
}

// part is a stretch of coordinates that all decay or all do not.
type part struct {
	Range
	decay bool
}

func decayParts(d int, noDecay []Range) ([]part, error) {
	var parts []part
	at := 0
	for _, r := range noDecay {
		if r.Start < at || r.End < r.Start || r.End > d {
			return nil, invalid("weight-decay mask", fmt.Sprintf("[%d, %d)", r.Start, r.End),
				fmt.Sprintf("ranges must be ordered, disjoint and within [0, %d)", d))
		}
		parts = append(parts, part{Range{at, r.Start}, true}, part{r, false})
		at = r.End
	}
	parts = append(parts, part{Range{at, d}, true})
	return slices.DeleteFunc(parts, func(p part) bool { return p.Start == p.End }), nil
}

// cutParts are the parts of a slice, counted from its first coordinate.
func cutParts(parts []part, own Range) (out []part) {
	for _, p := range parts {
		if r := (Range{max(p.Start, own.Start), min(p.End, own.End)}); r.Start < r.End {
			out = append(out, part{Range{r.Start - own.Start, r.End - own.Start}, p.decay})
		}
	}
	return out
}

func (o *optimizerBase) check(params, sum []float32, lr float64) error {
	if len(params) != o.dim || len(sum) != o.dim {
		return fmt.Errorf("%w: optimizer has %d coordinates, parameters %d, gradient %d", ErrMisuse, o.dim, len(params), len(sum))
	}
	if !(lr >= 0) || math.IsInf(lr, 0) {
		return invalid("learning rate", lr, "must be a finite number >= 0")
	}
	return nil
}

// Step returns the number of updates taken.
func (o *optimizerBase) Step() int64 { return o.step }

// SetStep restores the number of updates taken.
func (o *optimizerBase) SetStep(n int64) error {
	if n < 0 || n > maxCount {
		return invalid("optimizer step", n, fmt.Sprintf("must be in [0, %d]", maxCount))
	}
	o.step = n
	return nil
}

// forEach runs f over every part, in parallel stretches.
func (o *optimizerBase) forEach(f func(start, end int, decay bool)) {
	for _, p := range o.parts {
		parallel(p.End-p.Start, updateStretch, func(a, b int) { f(p.Start+a, p.Start+b, p.decay) })
	}
}

// updateStretch is the number of coordinates one goroutine takes at a time.
const updateStretch = 1 << 16
