package decode

import (
	"cmp"
	"math"
	"slices"
)

// warpers are the processors of sampling in transformers' order. A beam search keeps at least one token that ends no
// text.
func (c Config) warpers() []processor {
	keep := 1
	if c.Beams > 1 {
		keep = max(2, len(c.EOS)+1)
	}
	var list []processor
	add := func(on bool, p processor) {
		if on {
			list = append(list, p)
		}
	}
	add(c.Temperature != 1, temperature{float32(c.Temperature)})
	add(c.TopK > 0, topK{max(c.TopK, keep)})
	add(c.TopP < 1, topP{c.TopP, keep})
	add(c.MinP > 0, minP{c.MinP, keep})
	add(c.TypicalP < 1, typical{c.TypicalP, keep})
	add(c.EpsilonCut > 0, cutoff{c.EpsilonCut, keep, false})
	add(c.EtaCut > 0, cutoff{c.EtaCut, keep, true})
	return list
}

type temperature struct{ t float32 }

func (p temperature) process(_ []int32, scores []float32) {
	for i := range scores {
		scores[i] /= p.t
	}
}

// topK keeps the k largest scores and what equals the smallest of them.
type topK struct{ k int }

func (p topK) process(_ []int32, scores []float32) {
	if p.k < len(scores) {
		below(scores, kth(scores, p.k))
	}
}

// kth is the k-th largest score.
func kth(scores []float32, k int) float32 {
	best := largest(scores, k)
	return scores[best[len(best)-1]]
}

// below forbids scores less than bound.
func below(scores []float32, bound float32) {
	for i, x := range scores {
		if x < bound {
			scores[i] = negInf
		}
	}
}

// topP keeps the likeliest tokens that together have at least that probability: it removes the unlikeliest ones as
// long as their sum stays at or below 1 − p.
type topP struct {
	p    float64
	keep int
}

func (p topP) process(_ []int32, scores []float32) {
	order := allowed(scores) // few where top-k came first
	most, log := logSumExp(scores)
	bound, sum := float32(1-p.p), 0.0
	for _, i := range order[:max(0, len(order)-p.keep)] {
		sum += float64(probability(scores[i], most, log))
		if float32(sum) > bound {
			return
		}
		scores[i] = negInf
	}
}

// minP removes tokens less likely than p times the likeliest.
type minP struct {
	p    float64
	keep int
}

func (p minP) process(_ []int32, scores []float32) {
	probs := softmax(scores)
	bound := float32(p.p) * slices.Max(probs)
	kept := largest(scores, p.keep)
	for i := range scores {
		if probs[i] < bound && !slices.Contains(kept, i) {
			scores[i] = negInf
		}
	}
}

// typical keeps the tokens whose surprise is nearest to the entropy, up to that mass (Meister et al. 2023).
type typical struct {
	mass float64
	keep int
}

func (p typical) process(_ []int32, scores []float32) {
	logs := make([]float32, len(scores))
	logSoftmax(logs, scores)
	entropy := entropyOf(logs)
	shift := make([]float32, len(scores))
	for i, l := range logs {
		shift[i] = abs32(-l - entropy)
	}
	order := ascending(shift)
	probs := softmax(scores)
	last, sum := 0, 0.0
	for ; last < len(order)-1; last++ {
		sum += float64(probs[order[last]])
		if !(float32(sum) < float32(p.mass)) {
			break
		}
	}
	bound := shift[order[last]]
	for k, i := range order {
		if k >= p.keep && shift[i] > bound {
			scores[i] = negInf
		}
	}
}

// entropyOf is −Σ p·log p in nats; what has no probability adds nothing.
func entropyOf(logs []float32) float32 {
	sum := 0.0
	for _, l := range logs {
		if v := float32(math.Exp(float64(l))) * l; v == v {
			sum -= float64(v)
		}
	}
	return float32(sum)
}

// cutoff removes tokens less likely than epsilon or, adaptive, than min(ε, √ε·exp(−entropy)) (Hewitt et al. 2022).
type cutoff struct {
	epsilon  float64
	keep     int
	adaptive bool
}

func (p cutoff) process(_ []int32, scores []float32) {
	probs := softmax(scores)
	bound := float32(p.epsilon)
	if p.adaptive {
		logs := make([]float32, len(scores))
		logSoftmax(logs, scores)
		bound = min(bound, float32(math.Sqrt(float64(bound)))*float32(math.Exp(float64(-entropyOf(logs)))))
	}
	least := kth(scores, min(p.keep, len(scores)))
	for i := range scores {
		if probs[i] < bound && scores[i] < least {
			scores[i] = negInf
		}
	}
}

// ascending lists the indices of scores from the smallest, equal ones by index.
func ascending(scores []float32) []int {
	order := make([]int, 0, len(scores))
	for i, x := range scores { // what is forbidden needs no sorting
		if x == negInf {
			order = append(order, i)
		}
	}
	n := len(order)
	for i, x := range scores {
		if x != negInf {
			order = append(order, i)
		}
	}
	slices.SortFunc(order[n:], func(a, b int) int { return cmp.Or(cmp.Compare(scores[a], scores[b]), a-b) })
	return order
}

// allowed lists the indices of scores that are not −∞ from the smallest, equal ones by index.
func allowed(scores []float32) []int {
	var order []int
	for i, x := range scores {
		if x != negInf {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(scores[a], scores[b]), a-b) })
	return order
}

func abs32(x float32) float32 { return float32(math.Abs(float64(x))) }
