package metrics

import (
	"fmt"
	"math"
	"strings"
)

// SacreBLEUVersion is the release of sacrebleu whose numbers and signatures these are.
const SacreBLEUVersion = "2.6.0"

// A Smoothing says what stands for the precision of n-grams without a match (Chen and Cherry 2014).
type Smoothing string

// The smoothings of sacrebleu.
const (
	SmoothExp   Smoothing = "exp"   // the k-th such precision is 1/(2^k·total); the default
	SmoothNone  Smoothing = "none"  // 0, and so is the score
	SmoothFloor Smoothing = "floor" // value/total, by default 0.1/total
	SmoothAddK  Smoothing = "add-k" // value (default 1) is added to matches and totals of n ≥ 2
)

// smoothingValues are the defaults of those that have one.
var smoothingValues = map[Smoothing]float64{SmoothExp: 0, SmoothNone: 0, SmoothFloor: 0.1, SmoothAddK: 1}

// BLEUOptions are those of sacrebleu; the zero value is its default.
type BLEUOptions struct {
	Tokenizer Tokenizer // default Tokenizer13a
	Lowercase bool
	Smoothing Smoothing // default SmoothExp
	// SmoothingValue is that of SmoothFloor and SmoothAddK; nil for its default.
	SmoothingValue *float64
	// EffectiveOrder leaves out lengths of which the outputs have no n-gram. sacrebleu's sentence BLEU sets it.
	EffectiveOrder bool
	MaxOrder       int // longest n-gram, 1 to 9; default 4
}

// resolve fills in defaults and refuses what is not known.
func (o BLEUOptions) resolve() (BLEUOptions, error) {
	if o.Tokenizer == "" {
		o.Tokenizer = Tokenizer13a
	}
	if o.Smoothing == "" {
		o.Smoothing = SmoothExp
	}
	if o.MaxOrder == 0 {
		o.MaxOrder = 4
	}
	if tokenizers[o.Tokenizer] == nil {
		return o, inputError("BLEU tokenizer %q: there are 13a, intl, char, none", o.Tokenizer)
	}
	value, known := smoothingValues[o.Smoothing]
	if !known {
		return o, inputError("BLEU smoothing %q: there are exp, none, floor, add-k", o.Smoothing)
	}
	if o.SmoothingValue == nil {
		o.SmoothingValue = &value
	}
	if v := *o.SmoothingValue; !(v >= 0) || math.IsInf(v, 0) {
		return o, inputError("BLEU smoothing value %g must be a number that is not negative", v)
	}
	if o.MaxOrder < 1 || o.MaxOrder > maxNGram {
		return o, inputError("BLEU of %d-grams: there are 1 to %d", o.MaxOrder, maxNGram)
	}
	return o, nil
}

// Signature is what sacrebleu prints beside a score so that others can repeat it.
func (o BLEUOptions) Signature(items []Item) (string, error) {
	o, err := o.resolve()
	if err != nil {
		return "", err
	}
	if err := checkItems(items); err != nil {
		return "", err
	}
	references := fmt.Sprint(len(items[0].References))
	for _, item := range items {
		if len(item.References) != len(items[0].References) {
			references = "var"
		}
	}
	letters, effective, smoothing := "mixed", "no", string(o.Smoothing)
	if o.Lowercase {
		letters = "lc"
	}
	if o.EffectiveOrder {
		effective = "yes"
	}
	if smoothingValues[o.Smoothing] > 0 {
		smoothing = fmt.Sprintf("%s[%.2f]", smoothing, *o.SmoothingValue)
	}
	return strings.Join([]string{"nrefs:" + references, "case:" + letters, "eff:" + effective, "tok:" + string(o.Tokenizer),
		"smooth:" + smoothing, "version:" + SacreBLEUVersion}, "|"), nil
}

// SacreBLEU is the BLEU of a corpus as sacrebleu computes it, in [0, 100]: the formula of [E2EBLEU] with the options'
// tokens, case and smoothing. A perfect score is 100 up to rounding, as there.
func SacreBLEU(items []Item, o BLEUOptions) (BLEUScore, error) {
	o, err := o.resolve()
	if err != nil {
		return BLEUScore{}, err
	}
	if err := checkItems(items); err != nil {
		return BLEUScore{}, err
	}
	split := tokenizers[o.Tokenizer]
	s := countBLEU(splitItems(items, func(text string) []string {
		if o.Lowercase {
			text = lower(text)
		}
		return split(strings.TrimRightFunc(text, isSpace))
	}), o.MaxOrder)
	s.sacre(o)
	return s, nil
}

// SentenceBLEU is sacrebleu's sentence_bleu of one output: effective order, whatever the options say.
func SentenceBLEU(item Item, o BLEUOptions) (BLEUScore, error) {
	o.EffectiveOrder = true
	return SacreBLEU([]Item{item}, o)
}

// sacre turns counts into a score, in the order of sacrebleu's arithmetic:
//
//	p_n  = 100·m_n/t_n, smoothed where m_n = 0
//	BLEU = BP · exp((1/N) Σ ln p_n),   N = MaxOrder, or the longest n with t_n > 0
//
// and 0 where not one n-gram matches.
func (s *BLEUScore) sacre(o BLEUOptions) {
	s.BrevityPenalty = brevityPenalty(s.OutputLength, s.ReferenceLength)
	s.Precisions = make([]float64, o.MaxOrder)
	if s.Matches[0] == 0 { // then no longer one matches either
		return
	}
	effective, halved := o.MaxOrder, 1.0
	for n := range s.Precisions {
		match, total := float64(s.Matches[n]), float64(s.Totals[n])
		if o.Smoothing == SmoothAddK && n > 0 {
			match, total = match+*o.SmoothingValue, total+*o.SmoothingValue
		}
		if total == 0 {
			break
		}
		if o.EffectiveOrder {
			effective = n + 1
		}
		switch {
		case match > 0:
			s.Precisions[n] = 100 * match / total
		case o.Smoothing == SmoothExp:
			halved *= 2
			s.Precisions[n] = 100 / (halved * total)
		case o.Smoothing == SmoothFloor:
			s.Precisions[n] = 100 * *o.SmoothingValue / total
		}
	}
	logs := 0.0
	for _, p := range s.Precisions[:effective] {
		logs += math.Log(p) // −∞ for 0
	}
	s.Score = s.BrevityPenalty * math.Exp(logs/float64(effective))
}
