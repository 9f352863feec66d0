package metrics

import "math"

// ciderOrder is the longest n-gram of CIDEr, ciderSigma the width of its length penalty.
const (
	ciderOrder = 4
	ciderSigma = 6.0
)

// CIDEr is the score of each item (Vedantam et al. 2015) as the COCO caption evaluation computes it, on the tokens of
// [COCOTokens]. An n-gram g of a text weighs
//
//	w(g) = count(g) · (ln N − ln max(1, df(g)))
//
// for N items, df(g) of which have g in some reference. An item's score is ten times the mean over n = 1…4 and over its
// references r of
//
//	Σ_g min(w_o(g), w_r(g))·w_r(g) / (‖w_o‖·‖w_r‖) · exp(−(l_o − l_r)²/(2σ²)),   σ = 6
//
// with l the number of bigrams. It depends on the whole set: of a single item every weight, and the score, is 0.
func CIDEr(items []Item) ([]float64, error) {
	if err := checkItems(items); err != nil {
		return nil, err
	}
	return cider(cocoItems(items)), nil
}

// A ciderText is a text's n-grams by length.
type ciderText [ciderOrder]bag

func newCiderText(words []int32) (t ciderText) {
	for n := range t {
		t[n] = ngramsOf(words, n+1)
	}
	return t
}

// A ciderVector is a text's weights, their norms and its length.
type ciderVector struct {
	text   ciderText
	weight [ciderOrder]map[ngram]float64
	norm   [ciderOrder]float64
	length float64
}

func cider(items []wordItem) []float64 {
	type counted struct {
		output     ciderText
		references []ciderText
	}
	texts := make([]counted, len(items))
	frequency := map[ngram]int{} // an n-gram's length shows in the numbers, which begin at 1
	for i, item := range items {
		texts[i].output = newCiderText(item.output)
		seen := map[ngram]bool{}
		for _, r := range item.references {
			t := newCiderText(r)
			texts[i].references = append(texts[i].references, t)
			for _, b := range t {
				for _, g := range b.list {
					if !seen[g] {
						seen[g] = true
						frequency[g]++
					}
				}
			}
		}
	}
	all := math.Log(float64(len(items)))
	out := make([]float64, len(items))
	for i, t := range texts {
		o := weigh(t.output, frequency, all)
		var sums [ciderOrder]float64
		for _, r := range t.references {
			v := weigh(r, frequency, all)
			for n := range sums {
				sums[n] += o.similarity(v, n)
			}
		}
		out[i] = mean(sums[:]) / float64(len(t.references)) * 10
	}
	return out
}

// weigh turns counts into weights; all is ln N.
func weigh(t ciderText, frequency map[ngram]int, all float64) ciderVector {
	v := ciderVector{text: t}
	for n, b := range t {
		v.weight[n] = make(map[ngram]float64, len(b.list))
		for _, g := range b.list {
			w := float64(b.count[g]) * (all - math.Log(max(1, float64(frequency[g]))))
			v.weight[n][g] = w
			v.norm[n] += w * w
			if n == 1 {
				v.length += float64(b.count[g])
			}
		}
		v.norm[n] = math.Sqrt(v.norm[n])
	}
	return v
}

// similarity is one term of CIDEr for n-grams of n+1 words.
func (v ciderVector) similarity(r ciderVector, n int) float64 {
	sum := 0.0
	for _, g := range v.text[n].list {
		w := r.weight[n][g]
		sum += min(v.weight[n][g], w) * w
	}
	if v.norm[n] != 0 && r.norm[n] != 0 {
		sum /= v.norm[n] * r.norm[n]
	}
	d := v.length - r.length
	return sum * math.Exp(-d*d/(2*ciderSigma*ciderSigma))
}
