package tokenize

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// A match is where a pattern was found, in bytes.
type match struct{ start, end int }

// A pattern finds what a Split or Replace of a tokenizer.json looks for, from left to right and without overlap. Only a
// regular expression that takes too long is an error.
type pattern interface {
	findAll(text string) ([]match, error)
}

// literal is a pattern that is a text, not empty.
type literal string

func (l literal) findAll(text string) (found []match, err error) {
	for at := 0; ; {
		i := strings.Index(text[at:], string(l))
		if i < 0 {
			return found, nil
		}
		found = append(found, match{at + i, at + i + len(l)})
		at += i + len(l)
	}
}

// runePattern is a pattern of single characters.
type runePattern func(r rune) bool

func (is runePattern) findAll(text string) (found []match, err error) {
	for i, r := range text {
		if is(r) {
			found = append(found, match{i, i + utf8.RuneLen(r)})
		}
	}
	return found, nil
}

// wordPattern is \w+|[^\w\s]+ of Rust's regular expressions.
type wordPattern struct{}

func (wordPattern) findAll(text string) (found []match, err error) {
	kind := func(r rune) int {
		switch {
		case isWord(r):
			return 1
		case isSpace(r):
			return 0
		}
		return 2
	}
	start, last := 0, 0
	for i, r := range text {
		if k := kind(r); k != last {
			if last != 0 {
				found = append(found, match{start, i})
			}
			start, last = i, k
		}
	}
	if last != 0 {
		found = append(found, match{start, len(text)})
	}
	return found, nil
}

// behaviour says what becomes of the matches of a split.
type behaviour string

const (
	removed            behaviour = "Removed"
	isolated           behaviour = "Isolated"
	mergedWithPrevious behaviour = "MergedWithPrevious"
	mergedWithNext     behaviour = "MergedWithNext"
	contiguous         behaviour = "Contiguous"
)

var behaviours = []behaviour{removed, isolated, mergedWithPrevious, mergedWithNext, contiguous}

// part is a match or what lies between two.
type part struct {
	match
	is bool // a match
}

// splitMatches cuts at the matches of p or, with invert, at what lies between them.
func splitMatches(p pattern, b behaviour, invert bool) splitter {
	return func(dst []aligned, a aligned) ([]aligned, error) {
		if a.text == "" {
			return dst, nil
		}
		found, err := p.findAll(a.text)
		if err != nil {
			return nil, err
		}
		for _, m := range b.join(partsOf(found, len(a.text), invert)) {
			dst = append(dst, a.slice(m.start, m.end))
		}
		return dst, nil
	}
}

func partsOf(found []match, size int, invert bool) []part {
	parts := make([]part, 0, 2*len(found)+1)
	done := 0
	for _, m := range found {
		if done != m.start {
			parts = append(parts, part{match{done, m.start}, invert})
		}
		parts = append(parts, part{m, !invert})
		done = m.end
	}
	if done != size {
		parts = append(parts, part{match{done, size}, invert})
	}
	return parts
}

// join puts the parts together as the reference does.
func (b behaviour) join(parts []part) []match {
	out := make([]match, 0, len(parts))
	before := false // the part before was a match
	if b == mergedWithNext {
		slices.Reverse(parts)
	}
	for _, p := range parts {
		var merge bool
		switch b {
		case removed:
			if p.is {
				continue
			}
		case contiguous:
			merge = p.is == before
		case mergedWithPrevious, mergedWithNext:
			merge = p.is && !before
		}
		before = p.is
		if !merge || len(out) == 0 {
			out = append(out, p.match)
			continue
		}
		last := &out[len(out)-1]
		last.start, last.end = min(last.start, p.start), max(last.end, p.end)
	}
	if b == mergedWithNext {
		slices.Reverse(out)
	}
	return out
}
