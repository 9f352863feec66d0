package jinja

import (
	"fmt"
	"slices"
)

// maxSource bounds a template: the largest known ones have some 30 kB.
const maxSource = 1 << 20

// A Template is a parsed template. It is immutable and safe for concurrent use.
type Template struct {
	body []statement
}

// Parse reads a template. Errors are of type *SyntaxError.
func Parse(source string) (*Template, error) {
	if len(source) > maxSource {
		return nil, &SyntaxError{1, fmt.Sprintf("the template has %d bytes, more than %d", len(source), maxSource)}
	}
	tokens, err := lex(source)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	body, err := p.body()
	if err != nil {
		return nil, err
	}
	return &Template{body}, nil
}

type parser struct {
	tokens []token
	at     int
	depth  int
	extra  int // depth that chains of postfixes add to the expression at hand
	loops  int // how many loops are around
}

func (p *parser) token() token { return p.tokens[p.at] }

func (p *parser) fail(format string, args ...any) error {
	return &SyntaxError{p.token().line, fmt.Sprintf(format, args...)}
}

func (p *parser) unexpected() error {
	switch t := p.token(); t.kind {
	case tokEnd:
		return p.fail("the template ends where more was expected")
	case tokBlockEnd, tokPrintEnd:
		return p.fail("a tag ends where an expression was expected")
	default:
		return p.fail("unexpected %q", t.text)
	}
}

// enter and leave bound the depth of what is nested: the parser and the evaluator recurse with it.
func (p *parser) enter() error {
	if p.depth++; p.depth > maxDepth {
		return p.fail("%v", errDepth)
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

// maxChain bounds the tokens of one expression's postfixes, which nest its evaluation.
const maxChain = 10_000

func (p *parser) deeper() error {
	if p.extra++; p.extra > maxChain {
		return p.fail("more than %d attributes, calls, filters and tests in one tag", maxChain)
	}
	return nil
}

func (p *parser) isOperator(op string) bool {
	t := p.token()
	return t.kind == tokOperator && t.text == op
}

func (p *parser) takeOperator(op string) bool {
	if p.isOperator(op) {
		p.at++
		return true
	}
	return false
}

func (p *parser) takeOperators(ops ...string) string {
	if t := p.token(); t.kind == tokOperator && slices.Contains(ops, t.text) {
		p.at++
		return t.text
	}
	return ""
}

func (p *parser) isName(word string) bool {
	t := p.token()
	return t.kind == tokName && t.text == word
}

func (p *parser) takeName(word string) bool {
	if p.isName(word) {
		p.at++
		return true
	}
	return false
}

func (p *parser) takeNames(words ...string) string {
	for _, w := range words {
		if p.takeName(w) {
			return w
		}
	}
	return ""
}

func (p *parser) expect(op string) error {
	if p.takeOperator(op) {
		return nil
	}
	return p.fail("%q is missing", op)
}

func (p *parser) name() (string, error) {
	if t := p.token(); t.kind == tokName {
		p.at++
		return t.text, nil
	}
	return "", p.fail("a name is missing")
}

func (p *parser) blockEnd() error {
	if p.token().kind != tokBlockEnd {
		return p.unexpected()
	}
	p.at++
	return nil
}
