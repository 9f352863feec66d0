package decode

import (
	"container/heap"
	"errors"
	"math"
)

// ErrNotFinite is wrapped by the error about logits that are not numbers.
var ErrNotFinite = errors.New("the model's logits are not numbers: its weights may be damaged")

// checkLogits refuses NaN, +Inf, and a row without a single possible token.
func checkLogits(logits []float32) error {
	possible := false
	for _, x := range logits {
		if x != x || x > math.MaxFloat32 {
			return ErrNotFinite
		}
		possible = possible || x >= -math.MaxFloat32
	}
	if !possible {
		return ErrNotFinite
	}
	return nil
}

// logSumExp returns the largest score and log Σ exp(score − largest): NaN where a score is no number.
func logSumExp(scores []float32) (most, log float64) {
	largest := negInf
	for _, x := range scores {
		if x != x || x > math.MaxFloat32 {
			return math.NaN(), 0
		}
		if x > largest {
			largest = x
		}
	}
	if most = float64(largest); largest == negInf {
		return most, 0
	}
	sum := 0.0
	for _, x := range scores {
		sum += exp(float64(x) - most)
	}
	return most, math.Log(sum)
}

// logSoftmax writes log-probabilities to dst, which may be scores.
func logSoftmax(dst, scores []float32) {
	most, log := logSumExp(scores)
	if math.IsInf(most, -1) {
		copy(dst, scores)
		return
	}
	for i, x := range scores {
		dst[i] = float32(float64(x) - most - log)
	}
}

// softmax returns probabilities.
func softmax(scores []float32) []float32 {
	most, log := logSumExp(scores)
	probs := make([]float32, len(scores))
	for i, x := range scores {
		probs[i] = probability(x, most, log)
	}
	return probs
}

// probability is that of a score, by what logSumExp gives.
func probability(score float32, most, log float64) float32 {
	return float32(exp(min(0, float64(score)-most-log))) // rounding can make it larger than 0
}

// argmax is the index of the largest score, the lowest of equal ones.
func argmax(scores []float32) int32 {
	best, most := 0, scores[0]
	for i, x := range scores {
		if x > most {
			best, most = i, x
		}
	}
	return int32(best)
}

// largest lists the indices of the k largest scores, the largest first, equal ones by index.
func largest(scores []float32, k int) []int {
	k = min(k, len(scores))
	if k <= 0 {
		return nil
	}
	h := &topHeap{scores: scores}
	for i := range scores {
		switch {
		case len(h.index) < k:
			heap.Push(h, i)
		case scores[i] > scores[h.index[0]]:
			h.index[0] = i
			heap.Fix(h, 0)
		}
	}
	out := make([]int, k)
	for i := k - 1; i >= 0; i-- {
		out[i] = heap.Pop(h).(int)
	}
	return out
}

// topHeap has the worst of the indices kept on top.
type topHeap struct {
	scores []float32
	index  []int
}

func (h *topHeap) Len() int { return len(h.index) }
func (h *topHeap) Less(a, b int) bool {
	x, y := h.index[a], h.index[b]
	if h.scores[x] != h.scores[y] {
		return h.scores[x] < h.scores[y]
	}
	return x > y
}
func (h *topHeap) Swap(a, b int) { h.index[a], h.index[b] = h.index[b], h.index[a] }
func (h *topHeap) Push(x any)    { h.index = append(h.index, x.(int)) }
func (h *topHeap) Pop() any {
	x := h.index[len(h.index)-1]
	h.index = h.index[:len(h.index)-1]
	return x
}
