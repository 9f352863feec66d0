package jinja

import (
	"math/big"
	"strconv"
	"strings"
)

// The grammar is Jinja's (jinja2/parser.py), oddities included: ** is left-associative and binds less than a sign, a
// filter ends an operand, ~ binds tighter than +.

// ternary: or [if or [else ternary]]…
func (p *parser) ternary() (expression, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	x, err := p.or()
	for err == nil && p.takeName("if") {
		c := &condNode{then: x}
		if c.test, err = p.or(); err != nil {
			return nil, err
		}
		if p.takeName("else") {
			if c.otherwise, err = p.ternary(); err != nil {
				return nil, err
			}
		}
		x, err = c, p.deeper()
	}
	return x, err
}

// binary reads operands joined by some of ops, from left to right.
func (p *parser) binary(operand func() (expression, error), take func() string) (expression, error) {
	l, err := operand()
	for err == nil {
		op := take()
		if op == "" {
			break
		}
		var r expression
		if r, err = operand(); err == nil {
			l, err = &binaryNode{op, l, r}, p.deeper()
		}
	}
	return l, err
}

func (p *parser) or() (expression, error) {
	return p.binary(p.and, func() string { return p.takeNames("or") })
}

func (p *parser) and() (expression, error) {
	return p.binary(p.not, func() string { return p.takeNames("and") })
}

func (p *parser) not() (expression, error) {
	if !p.takeName("not") {
		return p.compare()
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	x, err := p.not()
	return &unaryNode{"not", x}, err
}

func (p *parser) compare() (expression, error) {
	first, err := p.sum()
	if err != nil {
		return nil, err
	}
	c := &compareNode{first: first}
	for {
		op := p.takeOperators("==", "!=", "<", "<=", ">", ">=")
		switch {
		case op != "":
		case p.takeName("in"):
			op = "in"
		case p.isName("not") && p.tokens[p.at+1].kind == tokName && p.tokens[p.at+1].text == "in":
			p.at += 2
			op = "not in"
		default:
			if len(c.ops) == 0 {
				return first, nil
			}
			return c, nil
		}
		r, err := p.sum()
		if err != nil {
			return nil, err
		}
		c.ops, c.rest = append(c.ops, op), append(c.rest, r)
	}
}

func (p *parser) sum() (expression, error) {
	return p.binary(p.concat, func() string { return p.takeOperators("+", "-") })
}

func (p *parser) concat() (expression, error) {
	x, err := p.product()
	if err != nil || !p.isOperator("~") {
		return x, err
	}
	c := &concatNode{items: []expression{x}}
	for p.takeOperator("~") {
		if x, err = p.product(); err != nil {
			return nil, err
		}
		c.items = append(c.items, x)
	}
	return c, nil
}

func (p *parser) product() (expression, error) {
	return p.binary(p.power, func() string { return p.takeOperators("*", "/", "//", "%") })
}

func (p *parser) power() (expression, error) {
	return p.binary(func() (expression, error) { return p.unary(true) }, func() string { return p.takeOperators("**") })
}

func (p *parser) unary(filters bool) (expression, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	var x expression
	var err error
	if op := p.takeOperators("-", "+"); op != "" {
		if x, err = p.unary(false); err != nil {
			return nil, err
		}
		x = &unaryNode{op, x}
	} else if x, err = p.primary(); err != nil {
		return nil, err
	}
	if x, err = p.postfix(x); err != nil || !filters {
		return x, err
	}
	return p.filtered(x)
}

// constants are the names that stand for values.
var constants = map[string]any{"true": true, "True": true, "false": false, "False": false, "none": nil, "None": nil}

func (p *parser) primary() (expression, error) {
	t := p.token()
	switch t.kind {
	case tokName:
		p.at++
		if v, ok := constants[t.text]; ok {
			return &literal{v}, nil
		}
		return &name{t.text}, nil
	case tokString:
		var b strings.Builder
		for ; p.token().kind == tokString; p.at++ {
			b.WriteString(p.token().text)
		}
		return &literal{b.String()}, nil
	case tokInteger:
		p.at++
		n, ok := new(big.Int).SetString(strings.ReplaceAll(t.text, "_", ""), 0)
		if strings.Trim(t.text, "0_") == "" {
			n, ok = new(big.Int), true
		}
		if !ok || !n.IsInt64() {
			return nil, p.fail("the number %s is too large", t.text)
		}
		return &literal{n.Int64()}, nil
	case tokFloat:
		p.at++
		f, err := strconv.ParseFloat(strings.ReplaceAll(t.text, "_", ""), 64)
		if err != nil {
			return nil, p.fail("the number %s is too large", t.text)
		}
		return &literal{f}, nil
	}
	switch {
	case p.takeOperator("("):
		x, err := p.tuple(true, true, nil)
		if err != nil {
			return nil, err
		}
		return x, p.expect(")")
	case p.takeOperator("["):
		items, err := p.items("]")
		return &listNode{items}, err
	case p.takeOperator("{"):
		return p.dict()
	}
	return nil, p.unexpected()
}

// items reads expressions up to a closing bracket.
func (p *parser) items(end string) ([]expression, error) {
	var items []expression
	for !p.takeOperator(end) {
		if len(items) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
			if p.takeOperator(end) {
				break
			}
		}
		x, err := p.ternary()
		if err != nil {
			return nil, err
		}
		items = append(items, x)
	}
	return items, nil
}

func (p *parser) dict() (expression, error) {
	d := &dictNode{}
	for !p.takeOperator("}") {
		if len(d.keys) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
			if p.takeOperator("}") {
				break
			}
		}
		k, err := p.ternary()
		if err != nil {
			return nil, err
		}
		if err := p.expect(":"); err != nil {
			return nil, err
		}
		v, err := p.ternary()
		if err != nil {
			return nil, err
		}
		d.keys, d.values = append(d.keys, k), append(d.values, v)
	}
	return d, nil
}

// tuple reads one expression, or several with commas between them as a tuple. Within parentheses it may be empty.
func (p *parser) tuple(conditional, parentheses bool, ends []string) (expression, error) {
	var items []expression
	isTuple := false
	for {
		if len(items) > 0 {
			if !p.takeOperator(",") {
				break
			}
			isTuple = true
		}
		if p.tupleEnds(ends) {
			break
		}
		operand := p.or
		if conditional {
			operand = p.ternary
		}
		x, err := operand()
		if err != nil {
			return nil, err
		}
		items = append(items, x)
	}
	if !isTuple && len(items) == 1 {
		return items[0], nil
	}
	if len(items) == 0 && !parentheses {
		return nil, p.unexpected()
	}
	return &tupleNode{items}, nil
}

func (p *parser) tupleEnds(ends []string) bool {
	t := p.token()
	if t.kind == tokPrintEnd || t.kind == tokBlockEnd || p.isOperator(")") {
		return true
	}
	for _, e := range ends {
		if p.isName(e) {
			return true
		}
	}
	return false
}

// postfix reads attributes, subscripts and calls.
func (p *parser) postfix(x expression) (expression, error) {
	for {
		var err error
		switch {
		case p.takeOperator("."):
			x, err = p.attribute(x)
		case p.takeOperator("["):
			x, err = p.subscript(x)
		case p.isOperator("("):
			x, err = p.call(x)
		default:
			return x, nil
		}
		if err != nil {
			return nil, err
		}
		if err := p.deeper(); err != nil {
			return nil, err
		}
	}
}

func (p *parser) attribute(x expression) (expression, error) {
	t := p.token()
	p.at++
	switch t.kind {
	case tokName:
		return &attrNode{x, t.text}, nil
	case tokInteger:
		n, err := strconv.ParseInt(t.text, 10, 64)
		if err != nil {
			return nil, p.fail("the index %s is too large", t.text)
		}
		return &itemNode{x, &literal{n}}, nil
	}
	p.at--
	return nil, p.fail("a name or a number must follow the dot")
}

func (p *parser) subscript(x expression) (expression, error) {
	var parts [3]expression
	n, err := 0, error(nil)
	for {
		if !p.isOperator(":") && !p.isOperator("]") {
			if parts[n], err = p.ternary(); err != nil {
				return nil, err
			}
		}
		if n == 2 || !p.takeOperator(":") {
			break
		}
		n++
	}
	if n == 0 && parts[0] == nil {
		return nil, p.fail("a subscript is empty")
	}
	if err := p.expect("]"); err != nil {
		return nil, err
	}
	if n == 0 {
		return &itemNode{x, parts[0]}, nil
	}
	return &sliceNode{x, parts[0], parts[1], parts[2]}, nil
}

func (p *parser) call(f expression) (*callNode, error) {
	args, err := p.arguments()
	return &callNode{f, args}, err
}

func (p *parser) arguments() (argumentNodes, error) {
	var a argumentNodes
	if err := p.expect("("); err != nil {
		return a, err
	}
	for n := 0; !p.takeOperator(")"); n++ {
		if n > 0 {
			if err := p.expect(","); err != nil {
				return a, err
			}
			if p.takeOperator(")") {
				break
			}
		}
		if p.isOperator("*") || p.isOperator("**") {
			return a, p.fail("arguments that are unpacked with %s are not supported", p.token().text)
		}
		named := ""
		if p.token().kind == tokName && p.tokens[p.at+1].kind == tokOperator && p.tokens[p.at+1].text == "=" {
			named = p.token().text
			p.at += 2
		}
		x, err := p.ternary()
		if err != nil {
			return a, err
		}
		switch {
		case named != "":
			a.names, a.named = append(a.names, named), append(a.named, x)
		case len(a.named) > 0:
			return a, p.fail("an argument without a name follows one with a name")
		default:
			a.positional = append(a.positional, x)
		}
	}
	return a, nil
}

// filtered reads filters, tests and calls after an operand.
func (p *parser) filtered(x expression) (expression, error) {
	for {
		var err error
		switch {
		case p.takeOperator("|"):
			x, err = p.filter(x)
		case p.takeName("is"):
			x, err = p.test(x)
		case p.isOperator("("):
			x, err = p.call(x)
		default:
			return x, nil
		}
		if err != nil {
			return nil, err
		}
		if err := p.deeper(); err != nil {
			return nil, err
		}
	}
}

// filter reads what follows a bar.
func (p *parser) filter(x expression) (*filterNode, error) {
	word, err := p.dotted()
	if err != nil {
		return nil, err
	}
	f := &filterNode{x: x, name: word}
	if p.isOperator("(") {
		f.args, err = p.arguments()
	}
	return f, err
}

func (p *parser) dotted() (string, error) {
	word, err := p.name()
	for err == nil && p.takeOperator(".") {
		var next string
		next, err = p.name()
		word += "." + next
	}
	return word, err
}

func (p *parser) test(x expression) (expression, error) {
	t := &testNode{x: x, not: p.takeName("not")}
	var err error
	if t.name, err = p.dotted(); err != nil {
		return nil, err
	}
	switch next := p.token(); {
	case p.isOperator("("):
		t.args, err = p.arguments()
	case next.kind == tokString || next.kind == tokInteger || next.kind == tokFloat || p.isOperator("[") || p.isOperator("{"),
		next.kind == tokName && next.text != "else" && next.text != "or" && next.text != "and":
		if next.kind == tokName && next.text == "is" {
			return nil, p.fail("tests can't be chained with is")
		}
		var arg expression
		if arg, err = p.primary(); err != nil {
			return nil, err
		}
		arg, err = p.postfix(arg)
		t.args.positional = []expression{arg}
	}
	return t, err
}
