package jinja

import (
	"slices"
	"strings"
)

// body reads statements up to one of the tags in ends, whose name it leaves unread after the opening of its block;
// without ends it reads to the end of the template.
func (p *parser) body(ends ...string) ([]statement, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	var out []statement
	for {
		p.extra = 0
		switch t := p.token(); t.kind {
		case tokEnd:
			if len(ends) > 0 {
				return nil, p.fail("%s is missing", strings.Join(ends, " or "))
			}
			return out, nil
		case tokText:
			p.at++
			out = append(out, &textNode{t.text})
		case tokPrintBegin:
			p.at++
			x, err := p.tuple(true, false, nil)
			if err != nil {
				return nil, err
			}
			if p.token().kind != tokPrintEnd {
				return nil, p.unexpected()
			}
			p.at++
			out = append(out, &printNode{x})
		default:
			p.at++
			if word := p.token(); word.kind == tokName && slices.Contains(ends, word.text) {
				return out, nil
			}
			s, err := p.statement()
			if err != nil {
				return nil, err
			}
			out = append(out, s)
		}
	}
}

// refusedTags are Jinja's tags that are not built here, with the reason.
var refusedTags = map[string]string{
	"include": "a chat template is one file", "import": "a chat template is one file", "from": "a chat template is one file",
	"extends": "a chat template is one file", "autoescape": "nothing is escaped in a chat template",
}

func (p *parser) statement() (statement, error) {
	word, err := p.name()
	if err != nil {
		return nil, p.fail("a tag has no name")
	}
	switch word {
	case "if":
		return p.ifTag()
	case "for":
		return p.forTag()
	case "break", "continue":
		if p.loops == 0 {
			return nil, p.fail("%s outside of a loop", word)
		}
		return &loopNode{word == "break"}, p.blockEnd()
	case "set":
		return p.setTag()
	case "with":
		return p.withTag()
	case "macro":
		return p.macroTag()
	case "call":
		return p.callTag()
	case "filter":
		return p.filterTag()
	case "generation":
		if err := p.blockEnd(); err != nil {
			return nil, err
		}
		return p.scope("endgeneration")
	case "block":
		return p.blockTag()
	}
	if why, ok := refusedTags[word]; ok {
		return nil, p.fail("{%% %s %%} is not supported: %s", word, why)
	}
	return nil, p.fail("unknown tag %q", word)
}

// closed reads a body and its closing tag.
func (p *parser) closed(end string) ([]statement, error) {
	body, err := p.body(end)
	if err != nil {
		return nil, err
	}
	p.at++
	return body, p.blockEnd()
}

func (p *parser) scope(end string) (statement, error) {
	body, err := p.closed(end)
	return &scopeNode{body}, err
}

func (p *parser) blockTag() (statement, error) {
	word, err := p.name()
	if err != nil {
		return nil, err
	}
	for p.takeNames("scoped", "required") != "" {
	}
	if err := p.blockEnd(); err != nil {
		return nil, err
	}
	body, err := p.body("endblock")
	if err != nil {
		return nil, err
	}
	p.at++
	p.takeName(word)
	return &scopeNode{body}, p.blockEnd()
}

func (p *parser) ifTag() (statement, error) {
	n := &ifNode{}
	for {
		test, err := p.tuple(false, false, nil)
		if err != nil {
			return nil, err
		}
		if err := p.blockEnd(); err != nil {
			return nil, err
		}
		body, err := p.body("elif", "else", "endif")
		if err != nil {
			return nil, err
		}
		n.tests, n.bodies = append(n.tests, test), append(n.bodies, body)
		switch word, _ := p.name(); word {
		case "elif":
			continue
		case "else":
			if err := p.blockEnd(); err != nil {
				return nil, err
			}
			if n.last, err = p.closed("endif"); err != nil {
				return nil, err
			}
			return n, nil
		}
		return n, p.blockEnd()
	}
}

func (p *parser) forTag() (statement, error) {
	n := &forNode{}
	var err error
	if n.target, err = p.targets("in"); err != nil {
		return nil, err
	}
	if !p.takeName("in") {
		return nil, p.fail("a for tag lacks its in")
	}
	if n.iter, err = p.tuple(false, false, []string{"recursive"}); err != nil {
		return nil, err
	}
	if p.takeName("if") {
		if n.test, err = p.ternary(); err != nil {
			return nil, err
		}
	}
	if p.isName("recursive") {
		return nil, p.fail("recursive loops are not supported; use a macro")
	}
	if err := p.blockEnd(); err != nil {
		return nil, err
	}
	p.loops++
	n.body, err = p.body("else", "endfor")
	p.loops--
	if err != nil {
		return nil, err
	}
	if word, _ := p.name(); word == "else" {
		if err := p.blockEnd(); err != nil {
			return nil, err
		}
		n.otherwise, err = p.closed("endfor")
		return n, err
	}
	return n, p.blockEnd()
}

// targets reads what is assigned to: names with commas between them.
func (p *parser) targets(end string) (target, error) {
	var items []target
	isTuple := false
	for {
		if len(items) > 0 {
			if !p.takeOperator(",") {
				break
			}
			isTuple = true
			if end != "" && p.isName(end) || p.isOperator("=") || p.isOperator(")") {
				break
			}
		}
		t, err := p.oneTarget()
		if err != nil {
			return target{}, err
		}
		items = append(items, t)
	}
	if isTuple {
		return target{items: items}, nil
	}
	return items[0], nil
}

func (p *parser) oneTarget() (target, error) {
	if err := p.enter(); err != nil {
		return target{}, err
	}
	defer p.leave()
	if p.takeOperator("(") {
		t, err := p.targets("")
		if err != nil {
			return t, err
		}
		return t, p.expect(")")
	}
	word, err := p.name()
	if err != nil {
		return target{}, err
	}
	if _, constant := constants[word]; constant {
		return target{}, p.fail("%s can't be assigned to", word)
	}
	return target{name: word}, nil
}

func (p *parser) setTag() (statement, error) {
	var t target
	var err error
	if p.token().kind == tokName && p.tokens[p.at+1].kind == tokOperator && p.tokens[p.at+1].text == "." {
		t.name = p.token().text
		p.at += 2
		t.attr, err = p.name()
	} else {
		t, err = p.targets("")
	}
	if err != nil {
		return nil, err
	}
	if p.takeOperator("=") {
		x, err := p.tuple(true, false, nil)
		if err != nil {
			return nil, err
		}
		return &setNode{t, x}, p.blockEnd()
	}
	filters, err := p.filters(p.takeOperator("|"))
	if err != nil {
		return nil, err
	}
	if err := p.blockEnd(); err != nil {
		return nil, err
	}
	body, err := p.closed("endset")
	return &setBlockNode{t, filters, body}, err
}

// filters reads filters with bars between them, where there are any.
func (p *parser) filters(any bool) ([]filterNode, error) {
	var out []filterNode
	for any {
		f, err := p.filter(nil)
		if err != nil {
			return nil, err
		}
		out = append(out, *f)
		any = p.takeOperator("|")
	}
	return out, nil
}

func (p *parser) filterTag() (statement, error) {
	filters, err := p.filters(true)
	if err != nil {
		return nil, err
	}
	if err := p.blockEnd(); err != nil {
		return nil, err
	}
	body, err := p.closed("endfilter")
	return &filterBlockNode{filters, body}, err
}

func (p *parser) withTag() (statement, error) {
	n := &withNode{}
	for p.token().kind != tokBlockEnd {
		if len(n.targets) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
		}
		t, err := p.oneTarget()
		if err != nil {
			return nil, err
		}
		if err := p.expect("="); err != nil {
			return nil, err
		}
		x, err := p.ternary()
		if err != nil {
			return nil, err
		}
		n.targets, n.values = append(n.targets, t), append(n.values, x)
	}
	p.at++
	var err error
	n.body, err = p.closed("endwith")
	return n, err
}

func (p *parser) macroTag() (statement, error) {
	word, err := p.name()
	if err != nil {
		return nil, err
	}
	m := &macroNode{name: word}
	if err := p.signature(m); err != nil {
		return nil, err
	}
	return m, p.macroBody(m, "endmacro")
}

// signature reads the parameters of a macro and their defaults.
func (p *parser) signature(m *macroNode) error {
	if err := p.expect("("); err != nil {
		return err
	}
	for !p.takeOperator(")") {
		if len(m.params) > 0 {
			if err := p.expect(","); err != nil {
				return err
			}
		}
		word, err := p.name()
		if err != nil {
			return err
		}
		m.params = append(m.params, word)
		if p.takeOperator("=") {
			x, err := p.ternary()
			if err != nil {
				return err
			}
			m.defaults = append(m.defaults, x)
		} else if len(m.defaults) > 0 {
			return p.fail("a parameter without a default follows one with a default")
		}
	}
	return nil
}

func (p *parser) macroBody(m *macroNode, end string) error {
	if err := p.blockEnd(); err != nil {
		return err
	}
	loops, start := p.loops, p.at
	p.loops = 0
	body, err := p.closed(end)
	p.loops = loops
	m.body = body
	for i, t := range p.tokens[start:p.at] {
		if before := p.tokens[start+i-1]; t.kind == tokName && !(before.kind == tokOperator && before.text == ".") {
			m.caller = m.caller || t.text == "caller"
			m.varargs = m.varargs || t.text == "varargs" || t.text == "kwargs"
		}
	}
	if m.varargs {
		return p.fail("varargs and kwargs of macros are not supported")
	}
	return err
}

func (p *parser) callTag() (statement, error) {
	m := &macroNode{name: "caller"}
	if p.isOperator("(") {
		if err := p.signature(m); err != nil {
			return nil, err
		}
	}
	x, err := p.ternary()
	if err != nil {
		return nil, err
	}
	call, ok := x.(*callNode)
	if !ok {
		return nil, p.fail("a call tag needs a call")
	}
	return &callBlockNode{call, m}, p.macroBody(m, "endcall")
}
