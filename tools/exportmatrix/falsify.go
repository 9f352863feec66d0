package main

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// poisoned is the record that falsify changes.
const poisoned = 1

// falsify changes one record and requires that every other record's loss and
// norms stay the same to the last bit.
func (s *subject) falsify(ctx context.Context, c *caseFile, before *runtime.GradNorms) error {
	b, err := c.batch()
	if err != nil {
		return err
	}
	if err := poison(b); err != nil {
		return err
	}
	after, err := s.gradNorms(ctx, b, "ghost")
	if err != nil {
		return fmt.Errorf("poisoned batch: %w", err)
	}
	if after.Loss[poisoned] == before.Loss[poisoned] {
		return fmt.Errorf("record %d was changed and its loss stayed %g", poisoned, before.Loss[poisoned])
	}
	for i := range before.Loss {
		if i == poisoned {
			continue
		}
		if !same(before.Loss[i], after.Loss[i]) || !same(before.Norm[i], after.Norm[i]) {
			return fmt.Errorf("record %d changed with record %d: loss %v to %v, norm %v to %v", i, poisoned,
				before.Loss[i], after.Loss[i], before.Norm[i], after.Norm[i])
		}
		for name, v := range before.Norms {
			if !same(v[i], after.Norms[name][i]) {
				return fmt.Errorf("record %d, parameter %s changed with record %d: norm %v to %v", i, name, poisoned, v[i], after.Norms[name][i])
			}
		}
	}
	return nil
}

func same(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }

// poison gives the record other ids or others for its image or sound.
func poison(b *runtime.Batch) error {
	changed := false
	for name, t := range b.Inputs {
		var err error
		switch {
		case strings.HasSuffix(name, "input_ids"):
			err = changeRow(t, func(id int64) int64 { return (id+31)%90 + 3 })
		case t.DType() == ort.Float32 && t.Shape()[0] > poisoned && !strings.Contains(name, "past"): // pixels, or a sound
			err = changeRow(t, func(x float32) float32 { return 1 - x })
		default:
			continue
		}
		if err != nil {
			return fmt.Errorf("input %s: %w", name, err)
		}
		changed = true
	}
	if !changed {
		return fmt.Errorf("the batch has nothing to poison; its inputs are %v", names(b.Inputs))
	}
	return nil
}

// changeRow applies f to the poisoned record's values of t.
func changeRow[T ort.Element](t *ort.Tensor, f func(T) T) error {
	v, err := ort.Data[T](t)
	if err != nil {
		return err
	}
	size := len(v) / int(t.Shape()[0])
	for k := poisoned * size; k < (poisoned+1)*size; k++ {
		v[k] = f(v[k])
	}
	return nil
}
