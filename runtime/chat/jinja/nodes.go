package jinja

// An expression gives a value.
type expression interface {
	eval(s *state, f *frame) (any, error)
}

// A statement writes to the output of its frame.
type statement interface {
	exec(s *state, f *frame) error
}

type (
	literal   struct{ value any }
	name      struct{ name string }
	listNode  struct{ items []expression }
	tupleNode struct{ items []expression }
	dictNode  struct{ keys, values []expression }
	unaryNode struct {
		op string
		x  expression
	}
	binaryNode struct {
		op   string
		l, r expression
	}
	concatNode  struct{ items []expression }
	compareNode struct {
		first expression
		ops   []string
		rest  []expression
	}
	condNode struct{ test, then, otherwise expression } // otherwise may be nil
	attrNode struct {
		x    expression
		name string
	}
	itemNode  struct{ x, index expression }
	sliceNode struct{ x, start, stop, step expression } // the last three may be nil
	callNode  struct {
		f    expression
		args argumentNodes
	}
	filterNode struct {
		x    expression // nil in a filter block
		name string
		args argumentNodes
	}
	testNode struct {
		x    expression
		name string
		args argumentNodes
		not  bool
	}
)

type argumentNodes struct {
	positional []expression
	names      []string
	named      []expression
}

type (
	textNode  struct{ text string }
	printNode struct{ x expression }
	ifNode    struct {
		tests  []expression
		bodies [][]statement
		last   []statement
	}
	forNode struct {
		target    target
		iter      expression
		test      expression // nil for none
		body      []statement
		otherwise []statement
	}
	loopNode struct{ breaks bool } // break, continue
	setNode  struct {
		target target
		value  expression
	}
	setBlockNode struct {
		target  target
		filters []filterNode
		body    []statement
	}
	withNode struct {
		targets []target
		values  []expression
		body    []statement
	}
	macroNode struct {
		name     string
		params   []string
		defaults []expression // of the last parameters
		body     []statement
		caller   bool // the body uses caller
		varargs  bool // the body uses varargs or kwargs
	}
	callBlockNode struct {
		call *callNode
		body *macroNode
	}
	filterBlockNode struct {
		filters []filterNode
		body    []statement
	}
	scopeNode struct{ body []statement } // block and generation blocks: their text, in a scope of their own
)

// A target is what can be assigned to: a name, an attribute of a namespace, or a tuple of targets.
type target struct {
	name  string
	attr  string   // of the namespace called name, "" for none
	items []target // not nil for a tuple
}
