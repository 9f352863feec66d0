package metrics

import "strings"

// cocoRemoved are the tokens that the COCO caption evaluation removes. It lists -LRB- and the other brackets too, but in
// capitals, which its lower-cased tokens never have: brackets stay.
var cocoRemoved = map[string]bool{"''": true, "'": true, "``": true, "`": true, ".": true, "?": true, "!": true, ",": true,
	":": true, "-": true, "--": true, "...": true, ";": true}

// COCOTokens splits texts as the COCO caption evaluation does before ROUGE-L and CIDEr: by the Penn Treebank tokenizer
// of Stanford CoreNLP 3.4.1 in lower case, without the punctuation of cocoRemoved.
//
// That tokenizer reads the texts as lines of one file and looks across their ends: the last letter of "vitamin a."
// keeps its period unless the next text begins as a sentence does. So the order of the texts matters, if rarely.
//
// The rules (ptbSources) were found from outside, by asking that tokenizer; docs/metrics.md says what they were compared on and what
// still differs. As COCO removes them anyway, opening quotes are not told from closing ones, and the period that the
// tokenizer doubles after an abbreviation at the end of a sentence is not.
func COCOTokens(texts []string) [][]string {
	out := make([][]string, len(texts))
	for i, s := range texts {
		next := ""
		if i+1 < len(texts) {
			next = texts[i+1][:min(len(texts[i+1]), ptbAhead)]
		}
		for _, t := range ptbTokens(s, next) {
			if !cocoRemoved[t] {
				out[i] = append(out[i], t)
			}
		}
	}
	return out
}

// ptbAhead is how far, in characters, a rule looks behind a blank or the end of a line.
const ptbAhead = 24

// ptbTokens splits one line, behind which another begins: at each place the longest rule wins, the first of equally
// long ones, and what must stand behind a token for a rule to apply counts in its length.
func ptbTokens(line, next string) []string {
	text, shape := ptbShape(strings.ReplaceAll(line, "\n", " "))
	_, ahead := ptbShape("\n" + next)
	shape += ahead
	var out []string
	for at := 0; at < len(text); {
		if n := plainWord(shape[at:]); n > 0 {
			out = append(out, strings.ToLower(string(text[at:at+n])))
			at += n
			continue
		}
		n, token := ptbNext(text[at:], ptbWindow(shape[at:]))
		if token != "" {
			out = append(out, lower(token))
		}
		at += n
	}
	return out
}

// ptbNext is the length in characters of the next token or dropped piece, and what it becomes; "" for nothing.
func ptbNext(text []rune, shape string) (int, string) {
	table := ptb()
	best, longest, end := -1, 0, 0
	for _, i := range table.starts[shape[0]] {
		if m := table.rules[i].pattern.FindStringSubmatchIndex(shape); m != nil && m[1] > longest {
			best, longest, end = i, m[1], m[3]
		}
	}
	if best < 0 || end > len(text) { // a character that is a token of its own, or none
		return 1, ptbCharacter(text[0], shape[0])
	}
	if emit := table.rules[best].emit; emit != nil {
		return end, emit(string(text[:end]))
	}
	return end, ptbClean.Replace(string(text[:end]))
}

// ptbClean is what happens inside a token that is otherwise left alone.
var ptbClean = strings.NewReplacer(" ", "\u00a0", "\u00ad", "", "&amp;", "&", "&apos;", "'")

// plainWord is the length of a word of ASCII letters that no rule makes anything else of, at the start of a shape: most
// of a text.
func plainWord(shape string) int {
	n := 0
	for n < len(shape) && (shape[n] >= 'a' && shape[n] <= 'z' || shape[n] >= 'A' && shape[n] <= 'Z') {
		n++
	}
	if n == 0 || n == len(shape) {
		return 0
	}
	behind := shape[n]
	switch {
	case behind == ' ' || behind == '\n':
	case n+1 == len(shape) || shape[n+1] != ' ' && shape[n+1] != '\n':
		return 0
	case strings.IndexByte(`,;:?!)"`, behind) >= 0:
	case behind == '.' && n > 1 && !ptbAbbreviated[strings.ToLower(shape[:n])]:
	default:
		return 0
	}
	if ptbSplit[strings.ToLower(shape[:n])] {
		return 0
	}
	return n
}

// ptbWindow is as much of a shape as a token at its start, and what is looked at behind it, can be.
func ptbWindow(shape string) string {
	switch b := shape[0]; {
	case b == '<':
		return shape
	case b >= '0' && b <= '9' || b == shapeDigit || b == '(' || b == '+' || b == '.':
		return shape[:max(strings.IndexAny(shape, " \t\n"), min(len(shape), 2*ptbAhead))]
	}
	blank := strings.IndexAny(shape, " \t\n")
	if blank < 0 {
		return shape
	}
	if blank > 0 && shape[blank-1] == '.' {
		return shape[:min(len(shape), blank+ptbAhead)]
	}
	return shape[:blank+1]
}

// Classes of characters above ASCII in a shape. They are control characters, which as themselves are dropped.
const (
	shapeLetter     = 0x01
	shapeDigit      = 0x02
	shapeApostrophe = 0x03 // ’
	shapeQuote      = 0x04 // “ ” and their like
	shapeSymbol     = 0x05 // a token of its own
	shapeSoft       = 0x06 // soft hyphen: part of a word, and then gone
	shapeDropped    = 0x07
	shapeBacktick   = 0x08 // ‘
	shapeSlash      = 0x0e // ⁄, of fractions
)

// ptbShape gives a line's characters and its shape: a byte for each, itself for ASCII and a class above, so that rules
// are patterns over few classes.
func ptbShape(s string) ([]rune, string) {
	text := []rune(s)
	shape := make([]byte, len(text))
	for i, r := range text {
		shape[i] = ptbClass(r)
	}
	return text, string(shape)
}
