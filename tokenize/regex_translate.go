package tokenize

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Limits of a pattern.
const (
	maxRegexRunes = 16384
	maxRegexDepth = 64
)

// regexTranslator rewrites Oniguruma's syntax, the reference's, for regexp2: every character class becomes the set of its
// characters, so that neither engine's own tables count, ^ and $ get Ruby's meaning, and possessive quantifiers become
// atomic groups. What has no counterpart is an error.
type regexTranslator struct {
	in    []rune
	at    int
	depth int
	flags regexFlags
}

// regexFlags are the options (?imx).
type regexFlags struct{ ignoreCase, dotAll, extended bool }

var errUnsupportedRegex = errors.New("is not supported")

func translateRegex(source string) (string, error) {
	t := &regexTranslator{in: []rune(source)}
	if len(t.in) > maxRegexRunes {
		return "", fmt.Errorf("it has %d characters; the limit is %d", len(t.in), maxRegexRunes)
	}
	out, err := t.alternatives()
	if err == nil && t.at < len(t.in) {
		err = fmt.Errorf("there is a ) too many at character %d", t.at)
	}
	return out, err
}

// peek says whether s comes next.
func (t *regexTranslator) peek(s string) bool {
	return strings.HasPrefix(string(t.in[t.at:min(len(t.in), t.at+len(s))]), s)
}

// take is peek, and passes it.
func (t *regexTranslator) take(s string) bool {
	if !t.peek(s) {
		return false
	}
	t.at += len([]rune(s))
	return true
}

// alternatives translates up to the end or the ) that closes the group.
func (t *regexTranslator) alternatives() (string, error) {
	if t.depth++; t.depth > maxRegexDepth {
		return "", fmt.Errorf("groups are nested more than %d deep", maxRegexDepth)
	}
	defer func() { t.depth-- }()
	var out strings.Builder
	literal := []rune(nil) // the letters before, for foldings of several
	for t.at < len(t.in) && !t.peek(")") {
		if t.take("|") {
			out.WriteByte('|')
			literal = nil
			continue
		}
		if t.skipped() {
			continue
		}
		c := t.in[t.at]
		rest, whole, err := t.options()
		if err != nil {
			return "", err
		}
		if whole { // (?i) without a colon holds to the end of the group, over all its alternatives
			out.WriteString("(?:" + rest + ")")
			break
		}
		if rest != "" {
			return "", fmt.Errorf("an option group %w", errUnsupportedRegex)
		}
		atom, err := t.atom()
		if err != nil {
			return "", err
		}
		if t.flags.ignoreCase {
			if literal = append(literal, c); multiFold(literal) {
				return "", fmt.Errorf("a case-insensitive %s, which one character can match, %w", shown(string(literal)), errUnsupportedRegex)
			}
		}
		quantified, err := t.quantified(atom)
		if err != nil {
			return "", err
		}
		out.WriteString(quantified)
	}
	return out.String(), nil
}

// options translates (?imx-imx) and what it holds for.
func (t *regexTranslator) options() (rest string, whole bool, err error) {
	start := t.at
	if !t.take("(?") {
		return "", false, nil
	}
	flags, ok := t.flagLetters()
	if !ok || !t.take(")") {
		t.at = start
		return "", false, nil
	}
	before := t.flags
	t.flags = flags
	rest, err = t.alternatives()
	t.flags = before
	return rest, true, err
}

// flagLetters reads imx-imx.
func (t *regexTranslator) flagLetters() (regexFlags, bool) {
	flags, on, any := t.flags, true, false
	for t.at < len(t.in) {
		switch t.in[t.at] {
		case 'i':
			flags.ignoreCase = on
		case 'm':
			flags.dotAll = on
		case 'x':
			flags.extended = on
		case '-':
			on = false
		default:
			return flags, any
		}
		any = true
		t.at++
	}
	return flags, any
}

// skipped passes a comment, and under (?x) white space.
func (t *regexTranslator) skipped() bool {
	if t.take("(?#") {
		for t.at < len(t.in) && !t.take(")") {
			t.at++
		}
		return true
	}
	if !t.flags.extended {
		return false
	}
	if unicode.IsSpace(t.in[t.at]) {
		t.at++
		return true
	}
	if t.take("#") {
		for t.at < len(t.in) && !t.take("\n") {
			t.at++
		}
		return true
	}
	return false
}

// multiFold says whether the letters end with what a single character folds to, as ß to ss.
func multiFold(letters []rune) bool {
	s := strings.ToLower(string(letters))
	for _, fold := range []string{"ss", "st", "ff", "fi", "fl", "ʼn", "ß", "ﬀ", "ﬁ", "ﬂ", "ﬃ", "ﬄ", "ﬅ", "ﬆ", "ŉ", "ǰ", "ΐ", "ΰ", "և", "ẖ", "ẗ", "ẘ", "ẙ", "ẚ"} {
		if strings.HasSuffix(s, fold) {
			return true
		}
	}
	return false
}

// quantified puts the quantifiers that follow around an atom.
func (t *regexTranslator) quantified(atom string) (string, error) {
	for t.at < len(t.in) {
		if t.skippedBeforeQuantifier() {
			continue
		}
		var op string
		interval := false
		switch c := t.in[t.at]; {
		case c == '*' || c == '+' || c == '?':
			op = string(c)
			t.at++
		case c == '{':
			var err error
			if op, err = t.interval(); op == "" {
				return atom, err // a { that is one
			}
			interval = true
		default:
			return atom, nil
		}
		if atom == "" || strings.HasSuffix(atom, "|") {
			return "", fmt.Errorf("a quantifier at character %d has nothing to repeat", t.at)
		}
		exact := interval && !strings.Contains(op, ",")
		switch {
		case t.peek("?") && !exact:
			t.at++
			atom = "(?:" + atom + op + "?)"
		case t.peek("+") && !interval:
			t.at++
			atom = "(?>" + atom + op + ")"
		default:
			atom = "(?:" + atom + op + ")"
		}
	}
	return atom, nil
}

func (t *regexTranslator) skippedBeforeQuantifier() bool {
	return t.flags.extended && t.skipped()
}

// interval reads {n}, {n,}, {n,m} or {,m}; anything else is no quantifier.
func (t *regexTranslator) interval() (string, error) {
	end := t.at + 1
	for end < len(t.in) && t.in[end] != '}' {
		end++
	}
	if end == len(t.in) {
		return "", nil
	}
	low, high, comma := strings.Cut(string(t.in[t.at+1:end]), ",")
	if low == "" && (!comma || high == "") {
		return "", nil
	}
	if low == "" {
		low = "0"
	}
	n, err := strconv.ParseUint(low, 10, 16)
	if err != nil {
		return "", nil
	}
	op := "{" + low
	if comma {
		op += ","
		if high != "" {
			m, err := strconv.ParseUint(high, 10, 16)
			if err != nil {
				return "", nil
			}
			if m < n {
				return "", fmt.Errorf("the interval {%s,%s} %w", low, high, errUnsupportedRegex)
			}
			op += high
		}
	}
	t.at = end + 1
	return op + "}", nil
}

// Lines as Ruby sees them: ^ not after the line break that ends the text.
const (
	lineStart = `(?:\A|(?<=\n)(?!\z))`
	lineEnd   = `(?=\n|\z)`
	anyBreak  = `(?>\r\n|[\n-\r\u0085\u2028\u2029])`
)

// atom translates one character, class, group or anchor.
func (t *regexTranslator) atom() (string, error) {
	c := t.in[t.at]
	switch c {
	case '(':
		return t.group()
	case '[':
		set, err := t.class()
		return set.class(), err
	case '\\':
		return t.escape()
	}
	t.at++
	switch c {
	case '.':
		if t.flags.dotAll {
			return `[\s\S]`, nil
		}
		return `[^\n]`, nil
	case '^':
		return lineStart, nil
	case '$':
		return lineEnd, nil
	case '*', '+', '?':
		return "", fmt.Errorf("a quantifier at character %d has nothing to repeat", t.at-1)
	}
	return t.literal(c), nil
}

// literal is one character, under (?i) with its other cases.
func (t *regexTranslator) literal(c rune) string {
	if t.flags.ignoreCase {
		if set := (runeSet{{c, c}}).folded(); len(set) > 1 || set[0][0] != set[0][1] {
			return set.class()
		}
	}
	return escapedRune(c)
}

// groupHeads are the groups that both syntaxes write alike.
var groupHeads = []string{"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"}

func (t *regexTranslator) group() (string, error) {
	start, before := t.at, t.flags
	head := ""
	for _, h := range groupHeads {
		if t.take(h) {
			head = h
			break
		}
	}
	if head == "" && t.take("(?") {
		flags, ok := t.flagLetters()
		if !ok || !t.take(":") {
			return "", fmt.Errorf("the group at character %d %w", start, errUnsupportedRegex)
		}
		t.flags, head = flags, "(?:"
	} else if head == "" {
		t.at++
		head = "(?:" // nothing can refer to a capture, for back references are not supported
	}
	inner, err := t.alternatives()
	t.flags = before
	if err != nil {
		return "", err
	}
	if !t.take(")") {
		return "", fmt.Errorf("the group at character %d is not closed", start)
	}
	return head + inner + ")", nil
}

// escape translates what follows a backslash outside a class.
func (t *regexTranslator) escape() (string, error) {
	if t.at+1 < len(t.in) {
		if out, ok := escapes[t.in[t.at+1]]; ok {
			t.at += 2
			return out, nil
		}
		if b := t.in[t.at+1]; b == 'b' || b == 'B' {
			t.at += 2
			return wordBoundary(b == 'B'), nil
		}
	}
	start := t.at
	set, single, err := t.setEscape()
	switch {
	case err != nil:
		return "", err
	case single:
		return t.literal(set[0][0]), nil
	}
	switch plainName(string(t.in[start:t.at])) {
	case `\w`, `\p{word}`:
		set = properties()["bareword"]
		if t.in[start+1] == 'W' || t.in[start+1] == 'P' {
			set = set.not()
		}
	}
	return set.class(), nil
}

// escapes are those that stand for more, or less, than one character.
var escapes = map[rune]string{'A': `\A`, 'z': `\z`, 'Z': `(?=\n?\z)`, 'R': anyBreak, 'N': `[^\n]`, 'O': `[\s\S]`}

// wordBoundary is \b, or \B, with the reference's word characters.
func wordBoundary(negated bool) string {
	w := properties()["bareword"].class()
	if negated {
		return "(?:(?<=" + w + ")(?=" + w + ")|(?<!" + w + ")(?!" + w + "))"
	}
	return "(?:(?<=" + w + ")(?!" + w + ")|(?<!" + w + ")(?=" + w + "))"
}
