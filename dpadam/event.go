package dpadam

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
)

// Relation says when two data sets are neighbours.
type Relation string

const (
	// AddRemove: one data set is the other with one record added or removed.
	AddRemove Relation = "add-remove"
	// ReplaceOne: one record of one data set is replaced by another record.
	// The sum may change by 2C; the accountants price that, the noise multiplier
	// stays the noise's standard deviation divided by C.
	ReplaceOne Relation = "replace-one"
)

// ParseRelation returns the relation of that name; the empty string is add-remove.
func ParseRelation(name string) (Relation, error) {
	switch r := Relation(name); r {
	case "":
		return AddRemove, nil
	case AddRemove, ReplaceOne:
		return r, nil
	}
	return "", invalid("relation", fmt.Sprintf("%q", name), "must be add-remove or replace-one")
}

// A Mechanism is one kind of release, described by what was done and not by what it
// costs. The set is closed; an accountant that has no proof for one of them
// answers ErrUnsupported.
type Mechanism interface {
	// Validate checks every parameter; the error is a *ParamError.
	Validate() error
	mechanism()
}

// PoissonSubsampledGaussian is one step of DP-SGD: every record is in the batch
// independently with probability SampleRate, each contributes a vector of norm at most
// C, and N(0, (NoiseMultiplier*C)^2) is added to every coordinate of the sum
// (Abadi et al. 2016, Algorithm 1; Mironov, Talwar, Zhang 2019, Definition 1).
type PoissonSubsampledGaussian struct {
	SampleRate      float64 // q in [0, 1]
	NoiseMultiplier float64 // sigma > 0: standard deviation of the noise / C
}

func (PoissonSubsampledGaussian) mechanism() {}

// Bounds of the noise multiplier. Outside them float64 cannot hold the Renyi
// divergences, and no guarantee worth printing exists.
const (
	minNoiseMultiplier = 1e-4
	maxNoiseMultiplier = 1e8
)

// Validate checks 0 <= q <= 1 and 1e-4 <= sigma <= 1e8.
func (m PoissonSubsampledGaussian) Validate() error {
	if !(m.SampleRate >= 0 && m.SampleRate <= 1) { // also refuses NaN
		return invalid("sampling rate", m.SampleRate, "must be in [0, 1]")
	}
	return checkNoiseMultiplier(m.NoiseMultiplier)
}

func checkNoiseMultiplier(sigma float64) error {
	if !(sigma > 0) || math.IsInf(sigma, 0) {
		return invalid("noise multiplier", sigma, "must be a finite number > 0")
	}
	if sigma < minNoiseMultiplier || sigma > maxNoiseMultiplier {
		return invalid("noise multiplier", sigma,
			fmt.Sprintf("must be in [%g, %g]", minNoiseMultiplier, maxNoiseMultiplier))
	}
	return nil
}

func checkDelta(delta float64) error {
	if !(delta > 0 && delta < 1) {
		return invalid("delta", delta, "must be in (0, 1)")
	}
	return nil
}

func checkEpsilon(name string, epsilon float64) error {
	if !(epsilon > 0) || math.IsInf(epsilon, 0) {
		return invalid(name, epsilon, "must be a finite number > 0")
	}
	return nil
}

// maxCount bounds the number of releases of a run: above it a float64 no longer
// counts steps exactly.
const maxCount = int64(1) << 52

// Event is a mechanism used Count times.
type Event struct {
	Mechanism Mechanism
	Count     int64
}

// Composition is everything that was released about one data set, in any order
// (adaptive composition), under one neighbouring relation.
type Composition struct {
	Relation Relation
	Events   []Event
}

// Validate checks every event before an accountant touches any of them.
func (c Composition) Validate() error {
	if c.Relation != AddRemove && c.Relation != ReplaceOne {
		return invalid("relation", fmt.Sprintf("%q", string(c.Relation)), "must be add-remove or replace-one")
	}
	for i, e := range c.Events {
		if e.Mechanism == nil {
			return invalid(fmt.Sprintf("event %d", i), nil, "has no mechanism")
		}
		if e.Count < 0 || e.Count > maxCount {
			return invalid("steps", e.Count, fmt.Sprintf("must be in [0, %d]", maxCount))
		}
		if err := e.Mechanism.Validate(); err != nil {
			return err
		}
	}
	return nil
}

// Phase is one stretch of training at a fixed sampling rate and noise multiplier.
type Phase struct {
	SampleRate      float64 `json:"sample_rate"`
	NoiseMultiplier float64 `json:"noise_multiplier"`
	Steps           int64   `json:"steps"`
}

// Compose turns phases into a composition and validates it.
func Compose(relation Relation, phases ...Phase) (Composition, error) {
	c := Composition{Relation: relation}
	for _, p := range phases {
		m := PoissonSubsampledGaussian{SampleRate: p.SampleRate, NoiseMultiplier: p.NoiseMultiplier}
		c.Events = append(c.Events, Event{Mechanism: m, Count: p.Steps})
	}
	return c, c.Validate()
}

// ParsePhases reads [{"sample_rate":q,"noise_multiplier":s,"steps":t},...].
// A field that is missing, unknown or out of bounds is an error that names it.
func ParsePhases(data []byte) ([]Phase, error) {
	type rawPhase struct {
		SampleRate      *float64 `json:"sample_rate"`
		NoiseMultiplier *float64 `json:"noise_multiplier"`
		Steps           *int64   `json:"steps"`
	}
	var raw []rawPhase
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&raw); err != nil {
		return nil, fmt.Errorf("%w: phases: %v", ErrInvalid, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: phases: text after the JSON array", ErrInvalid)
	}
	if len(raw) == 0 {
		return nil, invalid("phases", "[]", "at least one phase is needed")
	}
	phases := make([]Phase, len(raw))
	for i, r := range raw {
		if r.SampleRate == nil || r.NoiseMultiplier == nil || r.Steps == nil {
			return nil, invalid(fmt.Sprintf("phase %d", i), "incomplete",
				"needs sample_rate, noise_multiplier and steps")
		}
		phases[i] = Phase{*r.SampleRate, *r.NoiseMultiplier, *r.Steps}
		if _, err := Compose(AddRemove, phases[i]); err != nil {
			return nil, fmt.Errorf("phase %d: %w", i, err)
		}
	}
	return phases, nil
}
