package dpadam

import "fmt"

// ScheduleSpec says how the learning rate changes.
type ScheduleSpec struct {
	Name   string `json:"name"`             // "constant" or "linear" (decay to 0)
	Warmup int64  `json:"warmup,omitempty"` // steps of linear increase from 0
}

func (s ScheduleSpec) withDefaults() ScheduleSpec {
	if s.Name == "" {
		s.Name = "constant"
	}
	return s
}

func (s ScheduleSpec) validate() error {
	if s.Name != "constant" && s.Name != "linear" {
		return invalid("schedule", fmt.Sprintf("%q", s.Name), "must be constant or linear")
	}
	if s.Warmup < 0 || s.Warmup > maxCount {
		return invalid("warm-up steps", s.Warmup, fmt.Sprintf("must be in [0, %d]", maxCount))
	}
	return nil
}

// Factor multiplies the learning rate at step k = 0, 1, ... of total steps, w warm-up steps:
//
//	k < w:     k/w
//	constant:  1
//	linear:    max(0, (total-k)/(total-w))
//
// as transformers' get_constant_schedule_with_warmup and get_linear_schedule_with_warmup.
func (s ScheduleSpec) Factor(k, total int64) float64 {
	if k < s.Warmup {
		return float64(k) / float64(s.Warmup)
	}
	if s.Name != "linear" {
		return 1
	}
	return max(0, float64(total-k)/float64(max(1, total-s.Warmup)))
}
