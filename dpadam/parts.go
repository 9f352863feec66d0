package dpadam

import "fmt"

// Part is a stretch of the clipped sum of a microbatch: the coordinates from Start on.
type Part struct {
	Start int
	Data  []float32
}

// AddParts is Add for a sum that is given in parts, ascending and apart; coordinates in no part
// are 0. Adding a stretch does not depend on the others, and a coordinate of 0 changes nothing, so
// the step comes out as if the whole vector had been added. A coordinate in two parts is an error
// (ErrMisuse): it would be rounded twice, which the plan's lattice does not answer for.
func (a *Accumulator) AddParts(parts []Part, records int) error {
	if a.err == nil {
		if a.err = a.takesSums(); a.err == nil {
			a.err = a.addParts(parts, records, 1)
		}
	}
	return a.err
}

// AddPartsCounted is AddParts under an adaptive plan (AddCounted).
func (a *Accumulator) AddPartsCounted(parts []Part, records, within int) error {
	if a.err == nil {
		if a.err = a.takesCounted(records, within); a.err == nil {
			if a.err = a.addParts(parts, records, 1); a.err == nil {
				a.doubled += int64(2*within - records)
			}
		}
	}
	return a.err
}

// checkParts refuses parts that are out of order, overlap or leave the vector.
func checkParts(parts []Part, dim int64) error {
	end := int64(0)
	for _, p := range parts {
		if int64(p.Start) < end || int64(len(p.Data)) > dim-int64(p.Start) {
			return fmt.Errorf("%w: a part of the sum holds coordinates %d to %d; the parts must ascend, not overlap and lie within the %d of the plan",
				ErrMisuse, p.Start, int64(p.Start)+int64(len(p.Data))-1, dim)
		}
		end = int64(p.Start) + int64(len(p.Data))
	}
	return nil
}

// AddParts adds a microbatch's sum in parts (Accumulator.AddParts).
func (st *Step) AddParts(parts []Part, records int) error {
	if err := st.running(); err != nil {
		return err
	}
	return st.stepper.acc.AddParts(parts, records)
}

// AddPartsCounted is AddParts under adaptive clipping.
func (st *Step) AddPartsCounted(parts []Part, records, within int) error {
	if err := st.running(); err != nil {
		return err
	}
	return st.stepper.acc.AddPartsCounted(parts, records, within)
}
