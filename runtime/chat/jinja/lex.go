package jinja

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// A tokenKind says what a token is.
type tokenKind int

const (
	tokText tokenKind = iota // text between tags
	tokBlockBegin
	tokBlockEnd
	tokPrintBegin
	tokPrintEnd
	tokName
	tokString
	tokInteger
	tokFloat
	tokOperator
	tokEnd
)

type token struct {
	kind tokenKind
	text string // a string token's is unquoted and unescaped
	line int
}

// A SyntaxError says what a template has wrong, and in which line.
type SyntaxError struct {
	Line    int
	Problem string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("template line %d: %s", e.Line, e.Problem) }

// A lexer cuts a template into tokens, its white space already trimmed as trim_blocks, lstrip_blocks and the signs in
// the tags ask for.
type lexer struct {
	source string
	at     int
	line   int
	tokens []token
	// lineStart: what comes next stands at the start of a line (Jinja's line_starting).
	lineStart bool
}

func lex(source string) ([]token, error) {
	source = strings.ReplaceAll(strings.ReplaceAll(source, "\r\n", "\n"), "\r", "\n")
	source = strings.TrimSuffix(source, "\n") // keep_trailing_newline is off
	l := &lexer{source: source, line: 1, lineStart: true}
	for l.at < len(l.source) {
		if err := l.root(); err != nil {
			return nil, err
		}
	}
	l.emit(tokEnd, "")
	return l.tokens, nil
}

func (l *lexer) emit(kind tokenKind, text string) {
	l.tokens = append(l.tokens, token{kind, text, l.line})
}

func (l *lexer) fail(format string, args ...any) error {
	return &SyntaxError{l.line, fmt.Sprintf(format, args...)}
}

// skip moves n bytes on.
func (l *lexer) skip(n int) {
	l.line += strings.Count(l.source[l.at:l.at+n], "\n")
	l.at += n
	l.lineStart = l.at > 0 && l.source[l.at-1] == '\n'
}

// root reads text up to the next tag, and that tag.
func (l *lexer) root() error {
	rest := l.source[l.at:]
	open := nextTag(rest)
	if open < 0 {
		l.emit(tokText, rest)
		l.skip(len(rest))
		return nil
	}
	kind := rest[open+1]
	sign := byte(0)
	if open+2 < len(rest) && (rest[open+2] == '-' || rest[open+2] == '+') {
		sign = rest[open+2]
	}
	if text := l.before(rest[:open], kind, sign); text != "" {
		l.emit(tokText, text)
	}
	l.skip(open)
	width := 2
	if sign != 0 {
		width = 3
	}
	if kind == '%' {
		if m := rawBegin.FindString(l.source[l.at:]); m != "" {
			return l.raw(m)
		}
	}
	l.skip(width)
	switch kind {
	case '#':
		return l.comment()
	case '%':
		l.emit(tokBlockBegin, "")
		return l.inside("%}", tokBlockEnd)
	}
	l.emit(tokPrintBegin, "")
	return l.inside("}}", tokPrintEnd)
}

// nextTag is where the next tag opens, or -1.
func nextTag(s string) int {
	for from := 0; ; {
		i := strings.IndexByte(s[from:], '{')
		if i < 0 || from+i+1 >= len(s) {
			return -1
		}
		if i += from; strings.IndexByte("{%#", s[i+1]) >= 0 {
			return i
		}
		from = i + 1
	}
}

// before trims the text before a tag: all white space for a minus, the blanks of a line that holds only the tag for
// lstrip_blocks, which does not count for printing tags.
func (l *lexer) before(text string, kind, sign byte) string {
	switch {
	case sign == '-':
		return strings.TrimRightFunc(text, isSpace)
	case sign == '+' || kind == '{':
		return text
	}
	start := strings.LastIndexByte(text, '\n') + 1
	if (start > 0 || l.lineStart) && strings.TrimFunc(text[start:], isSpace) == "" {
		return text[:start]
	}
	return text
}

// after skips what a closing tag takes with it: all white space for a minus, one line break for trim_blocks.
func (l *lexer) after(sign byte, trim bool) {
	rest := l.source[l.at:]
	switch {
	case sign == '-':
		l.skip(len(rest) - len(strings.TrimLeftFunc(rest, isSpace)))
	case sign != '+' && trim && strings.HasPrefix(rest, "\n"):
		l.skip(1)
	}
}

func (l *lexer) comment() error {
	rest := l.source[l.at:]
	end := strings.Index(rest, "#}")
	if end < 0 {
		return l.fail("a comment is not closed")
	}
	sign := byte(0)
	if end > 0 && (rest[end-1] == '-' || rest[end-1] == '+') {
		sign = rest[end-1]
	}
	l.skip(end + 2)
	l.after(sign, true)
	return nil
}

var (
	rawBegin = regexp.MustCompile(`^\{%[-+]?\s*raw\s*-?%\}`)
	rawEnd   = regexp.MustCompile(`\{%([-+]?)\s*endraw\s*([-+]?)%\}`)
)

// raw reads a raw block; the text in it is taken as it stands.
func (l *lexer) raw(begin string) error {
	l.skip(len(begin))
	sign := begin[len(begin)-3]
	if sign != '-' {
		sign = '+' // unlike other blocks this one keeps its line break
	}
	l.after(sign, false)
	rest := l.source[l.at:]
	m := rawEnd.FindStringSubmatchIndex(rest)
	if m == nil {
		return l.fail("a raw block is not closed")
	}
	before, after := byte(0), byte(0)
	if m[3] > m[2] {
		before = rest[m[2]]
	}
	if m[5] > m[4] {
		after = rest[m[4]]
	}
	if text := l.before(rest[:m[0]], '%', before); text != "" {
		l.emit(tokText, text)
	}
	l.skip(m[1])
	l.after(after, true)
	return nil
}

var (
	nameToken   = regexp.MustCompile(`^[\pL\pNl_][\pL\pNl\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*`)
	floatToken  = regexp.MustCompile(`^(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?[eE][+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)`)
	intToken    = regexp.MustCompile(`^(?:0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0[xX](?:_?[0-9a-fA-F])+|[1-9](?:_?\d)*|0(?:_?0)*)`)
	stringToken = regexp.MustCompile(`(?s)^(?:'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*")`)
	operators   = []string{"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";"}
	closing     = map[string]string{")": "(", "]": "[", "}": "{"}
)

// inside reads the tokens of a tag up to its end.
func (l *lexer) inside(end string, kind tokenKind) error {
	var open []string
	for {
		rest := strings.TrimLeftFunc(l.source[l.at:], isSpace)
		l.skip(len(l.source) - l.at - len(rest))
		if rest == "" {
			return l.fail("a tag is not closed: %s is missing", end)
		}
		if len(open) == 0 {
			sign, body := byte(0), rest
			if rest[0] == '-' || rest[0] == '+' && end == "%}" {
				sign, body = rest[0], rest[1:]
			}
			if strings.HasPrefix(body, end) {
				l.emit(kind, "")
				l.skip(len(rest) - len(body) + len(end))
				l.after(sign, end == "%}")
				return nil
			}
		}
		var err error
		if open, err = l.one(rest, open); err != nil {
			return err
		}
	}
}

// one reads one token of a tag; open are the brackets that wait for their closing.
func (l *lexer) one(rest string, open []string) ([]string, error) {
	for _, t := range []struct {
		kind tokenKind
		re   *regexp.Regexp
	}{{tokFloat, floatToken}, {tokInteger, intToken}, {tokName, nameToken}} {
		if m := t.re.FindString(rest); m != "" {
			l.emit(t.kind, m)
			l.skip(len(m))
			return open, nil
		}
	}
	if m := stringToken.FindString(rest); m != "" {
		text, err := unescape(m[1 : len(m)-1])
		if err != nil {
			return nil, l.fail("%v", err)
		}
		l.emit(tokString, text)
		l.skip(len(m))
		return open, nil
	}
	i := slices.IndexFunc(operators, func(o string) bool { return strings.HasPrefix(rest, o) })
	if i < 0 {
		return nil, l.fail("unexpected %q", []rune(rest)[0])
	}
	op := operators[i]
	switch op {
	case "(", "[", "{":
		open = append(open, op)
	case ")", "]", "}":
		if len(open) == 0 || open[len(open)-1] != closing[op] {
			return nil, l.fail("unexpected %q", op)
		}
		open = open[:len(open)-1]
	}
	l.emit(tokOperator, op)
	l.skip(len(op))
	return open, nil
}

// isSpace is Python's str.isspace for one character.
func isSpace(r rune) bool {
	return r >= 0x1c && r <= 0x1f || unicode.IsSpace(r)
}
