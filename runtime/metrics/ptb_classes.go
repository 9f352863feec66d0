package metrics

import (
	"slices"
	"unicode"
)

// ptbNamed are the characters that become others.
var ptbNamed = map[rune]string{
	'"': "''", '(': "-lrb-", ')': "-rrb-", '[': "-lsb-", ']': "-rsb-", '{': "-lcb-", '}': "-rcb-",
	0x80: "$", 0xa2: "cents", '£': "#", 0xa4: "$", 0x20a0: "$", '€': "$",
	0x96: "--", 0x97: "--", 0x2013: "--", 0x2014: "--", 0x2015: "--", 0x2026: "...", 0x85: "...",
	0xbc: "1/4", 0xbd: "1/2", 0xbe: "3/4", 0x2153: "1/3", 0x2154: "2/3",
	0x91: "`", 0x92: "'", 0x93: "``", 0x94: "''", 0x2018: "`", 0x2019: "'", 0x201b: "`", 0x2039: "`", 0x203a: "'",
	0x201c: "``", 0x201d: "''", 0xab: "``", 0xbb: "''", 0xad: "-",
}

// ptbLoneHyphens are part of a word, and dropped alone.
var ptbLoneHyphens = []rune{0x58a, 0x2010, 0x2011}

// ptbClass is the shape of a character.
func ptbClass(r rune) byte {
	switch {
	case r == ' ' || r == 0xa0:
		return ' '
	case r == '\n':
		return '\n'
	case unicode.IsSpace(r) && r != 0x85:
		return '\t'
	case r < 0x20 || r == 0x7f:
		return shapeDropped
	case r < 0x7f:
		return byte(r)
	case r == 0xad:
		return shapeSoft
	case r == 0x92 || r == 0x2019:
		return shapeApostrophe
	case r == 0x91 || r == 0x2018 || r == 0x201b:
		return shapeBacktick
	case r == 0x2044:
		return shapeSlash
	}
	if name := ptbNamed[r]; name == "`" || name == "'" || name == "``" || name == "''" {
		return shapeQuote
	}
	switch {
	case inRanges(ptbLetters, r) && unicode.Is(unicode.Nd, r):
		return shapeDigit
	case inRanges(ptbLetters, r):
		return shapeLetter
	case inRanges(ptbSymbols, r) || ptbNamed[r] != "":
		return shapeSymbol
	}
	return shapeDropped
}

// ptbCharacter is what a character that no rule takes becomes; "" for nothing.
func ptbCharacter(r rune, shape byte) string {
	if name := ptbNamed[r]; name != "" {
		return name
	}
	if shape == ' ' || shape == '\t' || shape == shapeDropped || slices.Contains(ptbLoneHyphens, r) {
		return ""
	}
	return string(r)
}

// inRanges looks a character up in a sorted table.
func inRanges(table [][2]rune, r rune) bool {
	i, found := slices.BinarySearchFunc(table, r, func(e [2]rune, r rune) int { return int(e[1] - r) })
	return found || i < len(table) && table[i][0] <= r
}
