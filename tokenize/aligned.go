package tokenize

import (
	"strings"
	"unicode/utf8"
)

// A span is a place in the text as it was given, in bytes.
type span struct{ start, end int }

// aligned is a part of a text on its way from what was given to what the model sees. When it is tracked, every byte of
// text knows the bytes of the original it came from, by the reference's rules (its NormalizedString), which include
// where an inserted or merged character belongs. Untracked, which is enough for ids, only text counts.
type aligned struct {
	text    string
	tracked bool
	start   int    // where the part begins in the original
	spans   []span // per byte of text; nil while text is the original's own bytes
}

// charEdit is one character of a text's new form. Change says how it came about: 0 replaces the next old character, n > 0
// is inserted and belongs where the one before it does, -n replaces the next and removes n more.
type charEdit struct {
	r      rune
	change int
}

// spanAt is where bytes from to to of the text come from. It is what the reference gives even for a part that ends
// beyond the text: its numbers as they are.
func (a *aligned) spanAt(from, to int) span {
	if from < 0 || to > len(a.text) || from > to {
		return span{from, to}
	}
	if from == to {
		return span{a.start + from, a.start + to}
	}
	if a.spans != nil {
		return span{a.spans[from].start, a.spans[to-1].end}
	}
	for from > 0 && !utf8.RuneStart(a.text[from]) {
		from--
	}
	for to < len(a.text) && !utf8.RuneStart(a.text[to]) {
		to++
	}
	return span{a.start + from, a.start + to}
}

// slice is the part from byte from to byte to, both at the start of a character.
func (a *aligned) slice(from, to int) aligned {
	part := aligned{text: a.text[from:to], tracked: a.tracked, start: a.start + from}
	if a.tracked && a.spans != nil {
		part.spans = a.spans[from:to:to]
		part.start = a.start
		if from < to {
			part.start = a.spans[from].start
		}
	}
	return part
}

// track writes the spans out.
func (a *aligned) track() {
	if a.spans != nil {
		return
	}
	a.spans = make([]span, 0, len(a.text))
	for i, r := range a.text {
		size := utf8.RuneLen(r)
		for range size {
			a.spans = append(a.spans, span{a.start + i, a.start + i + size})
		}
	}
}

// transform replaces the text by the characters of edits; the first skip old characters are removed.
func (a *aligned) transform(edits []charEdit, skip int) {
	var out strings.Builder
	out.Grow(len(a.text))
	for _, e := range edits {
		out.WriteRune(e.r)
	}
	if a.tracked {
		a.track()
		a.spans = a.moved(edits, skip, out.Len())
	}
	a.text = out.String()
}

// moved are the spans after the edits.
func (a *aligned) moved(edits []charEdit, skip, size int) []span {
	at := 0 // bytes of the old text that are used up
	pass := func(chars int) {
		for ; chars > 0 && at < len(a.text); chars-- {
			_, n := utf8.DecodeRuneInString(a.text[at:])
			at += n
		}
	}
	pass(skip)
	spans := make([]span, 0, size)
	for _, e := range edits {
		s := span{a.start, a.start}
		switch {
		case e.change > 0 && at > 0:
			s = a.spans[at-1]
		case e.change <= 0 && at < len(a.spans):
			s = a.spans[at]
		}
		if e.change <= 0 {
			pass(1 - e.change)
		}
		for range utf8.RuneLen(e.r) {
			spans = append(spans, s)
		}
	}
	return spans
}

// filter keeps the characters that keep says.
func (a *aligned) filter(keep func(r rune) bool) {
	if strings.IndexFunc(a.text, func(r rune) bool { return !keep(r) }) < 0 {
		return
	}
	edits := make([]charEdit, 0, len(a.text))
	skip, removed := 0, 0
	for _, r := range a.text {
		if !keep(r) {
			removed++
			continue
		}
		if len(edits) == 0 {
			skip = removed
		} else {
			edits[len(edits)-1].change = -removed
		}
		edits = append(edits, charEdit{r: r})
		removed = 0
	}
	if len(edits) > 0 {
		edits[len(edits)-1].change = -removed
	}
	a.transform(edits, skip)
}

// mapRunes replaces character by character.
func (a *aligned) mapRunes(f func(r rune) rune) {
	if strings.IndexFunc(a.text, func(r rune) bool { return f(r) != r }) < 0 {
		return
	}
	edits := make([]charEdit, 0, len(a.text))
	for _, r := range a.text {
		edits = append(edits, charEdit{r: f(r)})
	}
	a.transform(edits, 0)
}

// prepend puts s before a text that is not empty; its characters belong to the first.
func (a *aligned) prepend(s string) {
	if a.text == "" || s == "" {
		return
	}
	if !a.tracked {
		a.text = s + a.text
		return
	}
	a.track()
	first := a.spans[0]
	spans := make([]span, 0, len(s)+len(a.spans))
	for range len(s) {
		spans = append(spans, first)
	}
	a.text, a.spans = s+a.text, append(spans, a.spans...)
}

// replace puts content in the place of every match; all of it belongs to the match's last character.
func (a *aligned) replace(matches []match, content string) {
	var out strings.Builder
	out.Grow(len(a.text))
	var spans []span
	if a.tracked && len(matches) > 0 {
		a.track()
		spans = make([]span, 0, len(a.text))
	}
	done := 0
	for _, m := range matches {
		out.WriteString(a.text[done:m.start])
		out.WriteString(content)
		if a.tracked {
			spans = append(spans, a.spans[done:m.start]...)
			s := span{a.start, a.start}
			if m.end > 0 {
				s = a.spans[m.end-1]
			}
			for range len(content) {
				spans = append(spans, s)
			}
		}
		done = m.end
	}
	if len(matches) == 0 {
		return
	}
	out.WriteString(a.text[done:])
	if a.tracked {
		a.spans = append(spans, a.spans[done:]...)
	}
	a.text = out.String()
}

// trim removes white space at either end.
func (a *aligned) trim(left, right bool) {
	from, to := 0, len(a.text)
	if left {
		from = runOf(a.text, classSpace)
	}
	if right {
		to = max(from, trimmedRight(a.text))
	}
	if from == 0 && to == len(a.text) {
		return
	}
	if a.tracked {
		a.track()
		a.spans = a.spans[from:to:to]
	}
	a.text = a.text[from:to]
}

// toBytes writes each byte as its character of the byte alphabet.
func (a *aligned) toBytes() {
	text := toByteAlphabet(a.text)
	if a.tracked {
		a.track()
		spans := make([]span, 0, len(text))
		for i := range len(a.text) {
			for range len(byteAlphabet[a.text[i]]) {
				spans = append(spans, a.spans[i])
			}
		}
		a.spans = spans
	}
	a.text = text
}
