package metrics

import (
	"strings"
	"unicode"
)

// DialogF1 is ParlAI's F1 of one reply: of the words that reply and answer share, counted with their multiplicity,
//
//	P = shared/|reply|,   R = shared/|answer|,   F1 = 2PR/(P+R)
//
// the best over the item's references. Words are in lower case, without punctuation and the articles a, an, the.
func DialogF1(item Item) float64 {
	best := 0.0
	output := dialogWords(item.Output)
	for _, r := range item.References {
		best = max(best, sharedF1(output, dialogWords(r)))
	}
	return best
}

// MeanDialogF1 is the mean of DialogF1 over items.
func MeanDialogF1(items []Item) (float64, error) {
	if err := checkItems(items); err != nil {
		return 0, err
	}
	scores := make([]float64, len(items))
	for i, item := range items {
		scores[i] = DialogF1(item)
	}
	return mean(scores), nil
}

func sharedF1(output, answer []string) float64 {
	left := map[string]int{}
	for _, w := range answer {
		left[w]++
	}
	shared := 0
	for _, w := range output {
		if left[w] > 0 {
			left[w]--
			shared++
		}
	}
	if shared == 0 {
		return 0
	}
	p, r := float64(shared)/float64(len(output)), float64(shared)/float64(len(answer))
	return 2 * p * r / (p + r)
}

// dialogPunctuation is what ParlAI replaces by a blank: ASCII's punctuation.
const dialogPunctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

// dialogWords normalizes a text as ParlAI's normalize_answer.
func dialogWords(s string) []string {
	s = strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && strings.ContainsRune(dialogPunctuation, r) {
			return ' '
		}
		return r
	}, lower(s))
	var b strings.Builder
	for len(s) > 0 { // runs of word characters, and what is between them
		n := runLength(s, isWord)
		if word := s[:n]; word != "a" && word != "an" && word != "the" {
			b.WriteString(word)
		} else {
			b.WriteByte(' ')
		}
		s = s[n:]
		n = runLength(s, func(r rune) bool { return !isWord(r) })
		b.WriteString(s[:n])
		s = s[n:]
	}
	return fields(b.String())
}

// runLength is the length in bytes of the run of characters at the start of s that are of a kind.
func runLength(s string, is func(rune) bool) int {
	if i := strings.IndexFunc(s, func(r rune) bool { return !is(r) }); i >= 0 {
		return i
	}
	return len(s)
}
