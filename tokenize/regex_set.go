package tokenize

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// runeSet is a set of characters: ranges in order, apart from each other. A character class of the reference's regular
// expressions is spelled out as one, for the Unicode version behind \p{L} must be the reference's.
type runeSet [][2]rune

const lastRune = unicode.MaxRune

// newRuneSet puts ranges in order and joins those that touch.
func newRuneSet(ranges ...[2]rune) runeSet {
	slices.SortFunc(ranges, func(a, b [2]rune) int { return int(a[0]) - int(b[0]) })
	var out runeSet
	for _, r := range ranges {
		if n := len(out); n > 0 && r[0] <= out[n-1][1]+1 {
			out[n-1][1] = max(out[n-1][1], r[1])
			continue
		}
		out = append(out, r)
	}
	return out
}

func (s runeSet) union(t runeSet) runeSet { return newRuneSet(slices.Concat(s, t)...) }

func (s runeSet) not() runeSet {
	var out runeSet
	next := rune(0)
	for _, r := range s {
		if next < r[0] {
			out = append(out, [2]rune{next, r[0] - 1})
		}
		next = r[1] + 1
	}
	if next <= lastRune {
		out = append(out, [2]rune{next, lastRune})
	}
	return out
}

func (s runeSet) and(t runeSet) runeSet { return s.not().union(t.not()).not() }

// folded adds what differs from a member only in case (Unicode's simple folding).
func (s runeSet) folded() runeSet {
	ranges := slices.Clone(s)
	for _, r := range s {
		for c := r[0]; c <= r[1]; c++ {
			for f := unicode.SimpleFold(c); f != c; f = unicode.SimpleFold(f) {
				ranges = append(ranges, [2]rune{f, f})
			}
		}
	}
	return newRuneSet(ranges...)
}

// class writes the set as a character class of regexp2.
func (s runeSet) class() string {
	if len(s) == 0 {
		return `(?!)`
	}
	var b strings.Builder
	b.WriteByte('[')
	for _, r := range s {
		b.WriteString(escapedRune(r[0]))
		if r[1] > r[0] {
			b.WriteByte('-')
			b.WriteString(escapedRune(r[1]))
		}
	}
	b.WriteByte(']')
	return b.String()
}

// escapedRune writes a character for regexp2, in a class or outside.
func escapedRune(r rune) string {
	switch {
	case r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)):
		return string(r)
	case r <= 0xFFFF:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return string(r)
}

//go:embed regex_properties.txt
var propertyLines string

// properties are the character properties of the reference's regular expressions by their plain name.
var properties = sync.OnceValue(func() map[string]runeSet {
	all := map[string]runeSet{}
	for line := range strings.Lines(propertyLines) {
		name, list, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		var set runeSet
		for _, field := range strings.Fields(list) {
			low, high, isRange := strings.Cut(field, "-")
			if !isRange {
				high = low
			}
			set = append(set, [2]rune{hexRune(low), hexRune(high)})
		}
		plain := plainName(name)
		all[plain] = set
		if len(name) == 2 && plain != "cs" { // a general category counts for its group as well
			all[plain[:1]] = all[plain[:1]].union(set)
		}
	}
	for long, short := range categoryNames {
		all[long] = all[short]
	}
	// Outside a character class a word has Latin-1's digits of other kinds as well; \p{punct} has no symbols.
	all["bareword"] = all["word"].union(runeSet{{0xB2, 0xB3}, {0xB9, 0xB9}, {0xBC, 0xBE}})
	all["lc"] = all["lu"].union(all["ll"]).union(all["lt"])
	all["any"] = runeSet{{0, lastRune}}
	return all
})

// hexRune reads a code point of our own file.
func hexRune(s string) rune {
	n, err := strconv.ParseUint(s, 16, 32)
	if err != nil {
		panic("tokenize: regex_properties.txt: " + err.Error())
	}
	return rune(n)
}

// plainName is a property's name as it is compared: without case, blanks, hyphens and underscores.
func plainName(name string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' || r == '_' {
			return -1
		}
		return unicode.ToLower(r)
	}, name)
}

// categoryNames are the long names of the general categories.
var categoryNames = map[string]string{
	"letter": "l", "uppercaseletter": "lu", "lowercaseletter": "ll", "titlecaseletter": "lt", "casedletter": "lc", "modifierletter": "lm",
	"otherletter": "lo", "mark": "m", "combiningmark": "m", "nonspacingmark": "mn", "spacingmark": "mc", "enclosingmark": "me",
	"number": "n", "decimalnumber": "nd", "letternumber": "nl", "othernumber": "no",
	"punctuation": "p", "connectorpunctuation": "pc", "dashpunctuation": "pd", "openpunctuation": "ps", "closepunctuation": "pe",
	"initialpunctuation": "pi", "finalpunctuation": "pf", "otherpunctuation": "po",
	"symbol": "s", "mathsymbol": "sm", "currencysymbol": "sc", "modifiersymbol": "sk", "othersymbol": "so",
	"separator": "z", "spaceseparator": "zs", "lineseparator": "zl", "paragraphseparator": "zp",
	"other": "c", "control": "cc", "format": "cf", "unassigned": "cn", "privateuse": "co",
}

// property finds a property by name; ^ in front negates it.
func property(name string) (runeSet, error) {
	plain, negated := strings.CutPrefix(name, "^")
	set, ok := properties()[plainName(plain)]
	if !ok {
		return nil, fmt.Errorf("the character property %s is not supported", shown(name))
	}
	if negated {
		set = set.not()
	}
	return set, nil
}
