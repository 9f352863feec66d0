package tokenize

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// formNormalizer applies a Unicode normalization form. Untracked text takes the fast way; tracked text is decomposed and
// composed character by character, for only so is it known what came from what. Both give the same text.
func formNormalizer(f norm.Form) normalizer {
	return sure(func(a *aligned) {
		switch {
		case isASCII(a.text):
		case !a.tracked:
			a.text = normalizeForm(f, a.text)
		default:
			edits := decomposed(a.text, f == norm.NFKC || f == norm.NFKD)
			if f == norm.NFC || f == norm.NFKC {
				edits = composed(edits)
			}
			a.transform(edits, 0)
		}
	})
}

// normalizeForm applies a Unicode normalization form with the reference's data (Unicode 9 to 13) on Go's newer tables:
// a character that Go would change or reorder, and the reference leaves alone, passes through as a boundary.
func normalizeForm(f norm.Form, s string) string {
	if isASCII(s) {
		return s
	}
	var b strings.Builder
	start := 0
	for i, r := range s {
		if !unknownToReference(r) {
			continue
		}
		b.WriteString(longForm(f, s[start:i]))
		start = i + utf8.RuneLen(r)
		b.WriteString(s[i:start])
	}
	if start == 0 {
		return longForm(f, s)
	}
	b.WriteString(longForm(f, s[start:]))
	return b.String()
}

func unknownToReference(r rune) bool {
	if r < 0x300 {
		return false
	}
	// The second half of the one composition that came after the reference's data (U+11938).
	if r == 0x11930 {
		return true
	}
	p := norm.NFKD.PropertiesString(string(r))
	return (p.CCC() != 0 || p.Decomposition() != nil) && !unicode.Is(normActiveTable, r)
}

// combiningClass is the canonical combining class in the reference's data.
func combiningClass(r rune) uint8 {
	if r < 0x300 || unknownToReference(r) {
		return 0
	}
	return norm.NFD.PropertiesString(string(r)).CCC()
}

// decomposed is the canonical or compatible decomposition in canonical order.
func decomposed(text string, compatible bool) []charEdit {
	form := norm.NFD
	if compatible {
		form = norm.NFKD
	}
	edits := make([]charEdit, 0, len(text))
	var classes []uint8
	pending := 0 // edits from here on are sorted before the next character of class 0
	add := func(r rune, change int) {
		class := combiningClass(r)
		if class == 0 {
			sortClasses(edits[pending:], classes[pending:])
			pending = len(edits)
		}
		edits, classes = append(edits, charEdit{r: r, change: change}), append(classes, class)
	}
	for _, r := range text {
		if r < utf8.RuneSelf || unknownToReference(r) {
			add(r, 0)
			continue
		}
		change := 0
		for _, d := range form.String(string(r)) {
			add(d, change)
			change = 1
		}
	}
	sortClasses(edits[pending:], classes[pending:])
	return edits
}

// sortClasses orders edits by their classes, stably.
func sortClasses(edits []charEdit, classes []uint8) {
	if slices.IsSorted(classes) {
		return
	}
	order := make([]int, len(edits))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return int(classes[i]) - int(classes[j]) })
	oldEdits, oldClasses := slices.Clone(edits), slices.Clone(classes)
	for to, from := range order {
		edits[to], classes[to] = oldEdits[from], oldClasses[from]
	}
}

// composed is the canonical composition of a decomposed text (Unicode 3.11).
func composed(in []charEdit) []charEdit {
	out := make([]charEdit, 0, len(in))
	starter := -1 // place in out of the character that others are composed with
	last := -1    // class of the character before, since the starter; -1 for none
	for _, e := range in {
		class := int(combiningClass(e.r))
		if starter < 0 {
			if class == 0 {
				starter = len(out)
			}
			out = append(out, e)
			continue
		}
		if last < class {
			if r, ok := composePair(out[starter].r, e.r); ok {
				out[starter] = charEdit{r: r, change: out[starter].change + e.change - 1}
				continue
			}
		}
		last = class
		if class == 0 {
			starter, last = len(out), -1
		}
		out = append(out, e)
	}
	return out
}

// composePair is the one character that two make.
func composePair(a, b rune) (rune, bool) {
	if a < utf8.RuneSelf && b < utf8.RuneSelf || unknownToReference(a) || unknownToReference(b) {
		return 0, false
	}
	s := norm.NFC.String(string(a) + string(b))
	r, size := utf8.DecodeRuneInString(s)
	return r, size == len(s)
}

// longForm is f.String for any text: f puts a joiner (U+034F) into a run of more than 30 combining characters, which the
// reference does not.
func longForm(f norm.Form, s string) string {
	const safe = 10 // no character is more than three combining ones
	run := 0
	for _, r := range s {
		if combiningClass(r) == 0 {
			run = 0
			continue
		}
		if run++; run <= safe {
			continue
		}
		edits := decomposed(s, f == norm.NFKC || f == norm.NFKD)
		if f == norm.NFC || f == norm.NFKC {
			edits = composed(edits)
		}
		var b strings.Builder
		for _, e := range edits {
			b.WriteRune(e.r)
		}
		return b.String()
	}
	return f.String(s)
}
