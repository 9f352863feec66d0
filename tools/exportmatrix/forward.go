package main

import (
	"context"
	"fmt"
	"math"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// forwardLoss runs the file as it is and sums the records' losses, computed here
// from its logits: nothing of Ghostwriter's own graph takes part.
func forwardLoss(ctx context.Context, m *runtime.Model, b *runtime.Batch, c *caseFile) (float64, error) {
	out, err := m.Run(ctx, b.Inputs, c.Output)
	if err != nil {
		return 0, fmt.Errorf("forward pass: %w", err)
	}
	logits := out[c.Output]
	z, err := ort.Data[float32](logits)
	if err != nil {
		return 0, fmt.Errorf("logits: %w", err)
	}
	labels, err := ort.Data[int64](b.Loss["labels"])
	if err != nil {
		return 0, fmt.Errorf("labels: %w", err)
	}
	shape := logits.Shape()
	records, classes := int(shape[0]), int(shape[len(shape)-1])
	length := len(labels) / records
	if len(z) != len(labels)*classes {
		return 0, fmt.Errorf("logits %v do not fit %d labels", shape, len(labels))
	}
	total := 0.0
	for i := range records {
		total += recordLoss(z[i*length*classes:(i+1)*length*classes], labels[i*length:(i+1)*length], classes, c.Loss == "causal-lm")
	}
	return total, nil
}

// recordLoss is the mean cross-entropy over the scored positions; shifted scores
// the logits at t against the label at t+1.
func recordLoss(z []float32, labels []int64, classes int, shifted bool) float64 {
	sum, n := 0.0, 0
	for t := range labels {
		k := t
		if shifted {
			k++
		}
		if k >= len(labels) || labels[k] < 0 {
			continue
		}
		sum += crossEntropy(z[t*classes:(t+1)*classes], labels[k])
		n++
	}
	return sum / float64(max(n, 1))
}

// crossEntropy is ln Σ exp z − z[label].
func crossEntropy(z []float32, label int64) float64 {
	top := math.Inf(-1)
	for _, x := range z {
		top = math.Max(top, float64(x))
	}
	sum := 0.0
	for _, x := range z {
		sum += math.Exp(float64(x) - top)
	}
	return top + math.Log(sum) - float64(z[label])
}
