package metrics

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"sync"
)

// A ptbRule makes a token of what group 1 of its source matches at the start of a shape.
type ptbRule struct {
	name    string
	source  string              // a pattern with ptbParts
	emit    func(string) string // nil: as it is, but for ptbClean
	pattern *regexp.Regexp
}

// ptbParts are the pieces of patterns, in curly brackets there.
var ptbParts = strings.NewReplacer(
	"{l}", `[A-Za-z\x01\x06]`, // a letter
	"{d}", `[0-9\x02]`, // a digit
	"{w}", `[A-Za-z0-9\x01\x02\x06]`, // either
	"{q}", `(?:['\x03]|&apos;)`, // an apostrophe
	"{qq}", "(?:['`\\x03\\x08]|&apos;)", // or what is typed for one
	"{amp}", `(?:&|&amp;)`,
	"{word}", `[A-Za-z\x01\x06][A-Za-z0-9\x01\x02\x06]*(?:[.!?][A-Za-z\x01\x06][A-Za-z0-9\x01\x02\x06]*)*`,
	"{alphanumeric}", `[A-Za-z0-9\x01\x02\x06]+(?:[_-][A-Za-z0-9\x01\x02\x06]+)*`,
	"{number}", `(?:[0-9\x02]+|[0-9\x02]*(?:[.:,][0-9\x02]+)+)`,
	"{acronym}", `[A-Za-z](?:\.[A-Za-z])+`,
	"{chained}", `[A-Za-z0-9\x01\x02\x06][A-Za-z0-9\x01\x02\x06.,]*(?:-(?:[A-Za-z0-9\x01\x02\x06]+|[A-Za-z](?:\.[A-Za-z])+\.))+`,
	"{hyphened}", `[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}`,
	"{end}", `(?:[^A-Za-z]|$)`, // behind a contraction
	"{site}", "[^ \\t\\n\"<>|.!?(){},]",
)

// ptbSources are the rules in the order in which they win over equally long ones.
var ptbSources = []ptbRule{
	// Words that are two.
	{name: "cannot", source: `((?i:can))(?i:not)`},
	{name: "gonna", source: `((?i:gon|wan))(?i:na)`},
	{name: "gotta", source: `((?i:got))(?i:ta)`},
	{name: "lemme", source: `((?i:lem|gim))(?i:me)`},
	{name: "'tis", source: `({q}[Tt])(?i:is|was)`},

	// Markup.
	{name: "tag", source: `(<(?:[!?][A-Za-z-][^>\n]*|/[A-Za-z][A-Za-z0-9:._-]*[ \t]*|[A-Za-z][A-Za-z0-9:._-]*(?:[ \t]+[A-Za-z][A-Za-z0-9:._-]*(?:[ \t]*=[ \t]*(?:'[^'\n]*'|"[^"\n]*"))?)*[ \t]*/?)>)`, emit: unbroken},
	{name: "entity", source: `(&(?:nbsp|amp|lt|gt|quot|apos|[mn]dash);)`, emit: entity},
	{name: "code", source: `(&(?:#[0-9]+|[aeiouAEIOU](?:acute|grave|uml)|HT|TL|UR|LR|Q[CLR]|[oc]dq);)`},

	// Contractions, and apostrophes inside words.
	{name: "before n't", source: `([A-Za-z]*[A-MO-Za-mo-z])[nN]{qq}[tT]`},
	{name: "n't", source: `([nN]{qq}[tT])`, emit: straight},
	{name: "before 's", source: `({word}){q}(?:[msdMSD]|[rR][eE]|[vV][eE]|[lL][lL]){end}`},
	{name: "'s", source: `({q}(?:[msdMSD]|[rR][eE]|[vV][eE]|[lL][lL])){end}`, emit: straight},
	{name: "o'clock", source: `([dDoOlL]{qq}{l}{l}+)`},
	{name: "N'Sync", source: `([A-HJ-XZn]{qq}{l}{l}+)`},
	{name: "Hawai'i", source: `({l}+[aeiouyAEIOUY]{qq}[aeiouA-Z]{l}*)`},
	{name: "'em", source: `({q}[nN]{q}|[lLdDjJ]{q}|[Dd]unkin{q}|[Ss]omethin{q}|[oO]l{q}|{q}(?i:em)|[Cc]{q}mon|{q}til|{q}[Cc]ause|[eE]{q}er|[Cc]ap{q}n|c{q}est)`},
	{name: "'n", source: `({q}[nN])`},
	{name: "y'all", source: `([yY]{q}){l}`},
	{name: "'90s", source: `({q}[2-9]0s)`},
	{name: "'90", source: `({q}[0-9][0-9])[ \t\n]`},

	// Numbers.
	{name: "date", source: `({d}{1,2}[-/]{d}{1,2}[-/]{d}{2,4})`},
	{name: "number", source: `([-+]?{number})`},
	{name: "fraction", source: `((?:{d}{1,4}[- ])?{d}{1,4}(?:\\?/|\x0e){d}{1,4})`},
	{name: "phone", source: `((?:\([0-9]{2,3}\) ?|(?:\+\+?)?(?:[0-9]{2,4}[- ])?[0-9]{2,4}[- ])[0-9]{3,4}[- ]?[0-9]{3,5})`, emit: brackets},
	{name: "currency", source: `([A-Z]*\$)`},

	// Words and what is like one.
	{name: "word", source: `({word})`},
	{name: "alphanumeric", source: `({alphanumeric})`},
	{name: "chained", source: `({chained})`},
	{name: "before a comma", source: `((?:{word}|{alphanumeric}|{chained})\.)[,;:]`},
	{name: "slashed", source: `({hyphened}(?:\\?/{hyphened}){1,2})`},
	{name: "A&B", source: `([A-Z]+(?:(?:\+|{amp})[A-Z]+)+)`},
	{name: "S&Ls", source: `(S{amp}P-500|S{amp}Ls|[fFcC]#|[cC]\+\+)`},
	{name: "acronym", source: `({acronym}\.?|[A-Za-z]\.)`},
	{name: "ends a sentence", source: `([A-Za-z])\.[ \t\n]+(?:` + ptbOpening + `)[ \t\n]`},
	{name: "abbreviation", source: `((?:` + ptbAbbreviations + `)\.)`},
	{name: "numbered", source: `((?i:` + ptbNumbered + `)\.)[ \t\n]?[0-9]`},
	{name: "file", source: `({w}+(?:\.{w}+)*\.(?i:` + ptbExtensions + `))[ \t\n.?!,]`},
	{name: "bracket name", source: `((?i:-[lr][rcs]b-))`},
	{name: "prefix", source: `((?i:pro-|anti-))`},

	// Addresses.
	{name: "url", source: `(https?://[^ \t\n"<>|(){}]+[^ \t\n"<>|.!?(){},-])`, emit: asItIs},
	{name: "site", source: `((?:www\.(?:{site}+\.)+[a-zA-Z]{2,4}|(?:[^\x07-\x20"'<>|.!?(){},\x2c-\x5f$` + "`" + `]+\.)+(?:com|net|org|edu))(?:/[^ \t\n"<>|()]+[^ \t\n"<>|.!?(){},-])?)`, emit: asItIs},
	{name: "mail", source: `((?:&lt;|<)?[a-zA-Z0-9][^ \t\n"<>|(){}]*@(?:[^ \t\n"<>|(){}.]+\.)*[^ \t\n"<>|(){}.]+(?:&gt;|>)?)`, emit: asItIs},
	{name: "@user", source: `(@[a-zA-Z_][a-zA-Z_0-9]*)`, emit: asItIs},
	{name: "#tag", source: `(#{l}+)`, emit: asItIs},

	// Faces.
	{name: ":)", source: `([<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]])(?:[^A-Za-z0-9]|$)`, emit: brackets},
	{name: "^_^", source: `([-^x=~<>']_[-^x=~<>']|\([-^x=~<>'][_.]?[-^x=~<>']\)|\([\^x=~<>']-[\^x=~<>'` + "`" + `]\))`, emit: brackets},

	// Punctuation that comes in runs, and quotes.
	{name: "opening quote", source: `(')[A-Za-z][^ \t\n]`},
	{name: "hyphens", source: `(-+)`, emit: hyphens},
	{name: "dots", source: `(\.{3,5}|(?:\. ){2,4}\.)`, emit: func(string) string { return "..." }},
	{name: "?!", source: `([?!]+)`},
	{name: "runs", source: `(\*+|(?:\\\*){1,3}|_+|@+|#+|<<|>>)`},
	{name: "quotes", source: "([`'\\x03\\x08]'|[`\\x03\\x04\\x08]{1,2}|')", emit: quotes},
}

// A ptbTable is the rules, compiled, and of each byte those whose tokens can begin with it.
type ptbTable struct {
	rules  []ptbRule
	starts [128][]int
}

// ptb compiles the rules when they are first needed: most commands never need them.
var ptb = sync.OnceValue(func() *ptbTable {
	t := &ptbTable{rules: slices.Clone(ptbSources)}
	for i := range t.rules {
		r := &t.rules[i]
		source := `^` + ptbParts.Replace(r.source)
		r.pattern = regexp.MustCompile(source)
		r.pattern.Longest()
		begins := beginnings(source)
		for b := range t.starts {
			if begins(rune(b)) {
				t.starts[b] = append(t.starts[b], i)
			}
		}
	}
	return t
})

// beginnings says which characters a match of a pattern can begin with.
func beginnings(pattern string) func(rune) bool {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return func(rune) bool { return true }
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return func(rune) bool { return true }
	}
	var first []*syntax.Inst
	seen := make([]bool, len(program.Inst))
	var walk func(pc uint32)
	walk = func(pc uint32) {
		if seen[pc] {
			return
		}
		seen[pc] = true
		switch in := &program.Inst[pc]; in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			walk(in.Out)
			walk(in.Arg)
		case syntax.InstCapture, syntax.InstEmptyWidth, syntax.InstNop:
			walk(in.Out)
		case syntax.InstFail, syntax.InstMatch:
		default:
			first = append(first, in)
		}
	}
	walk(uint32(program.Start))
	return func(r rune) bool {
		return slices.ContainsFunc(first, func(in *syntax.Inst) bool { return in.MatchRune(r) })
	}
}

// entity is the character of a markup entity; a blank is nothing.
func entity(s string) string {
	return map[string]string{"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": "''", "&apos;": "'", "&mdash;": "--", "&ndash;": "--"}[s]
}

// straight writes quotes and apostrophes with ASCII's.
func straight(s string) string { return ptbStraight.Replace(s) }

var ptbStraight = strings.NewReplacer("&apos;", "'", "\u2019", "'", "\u0092", "'", "\u203a", "'", "\u2018", "`", "\u0091", "`",
	"\u201b", "`", "\u2039", "`", "\u201c", "``", "\u0093", "``", "\u00ab", "``", "\u201d", "''", "\u0094", "''", "\u00bb", "''")

// quotes writes quotes with ASCII's; two that close are a double one.
func quotes(s string) string {
	if n := len(s); n > 1 && s[n-1] == '\'' {
		return "''"
	}
	return straight(s)
}

// unbroken joins a token's blanks by ones that do not break it.
func unbroken(s string) string { return strings.ReplaceAll(s, " ", "\u00a0") }

// brackets is unbroken, with round brackets by their names.
func brackets(s string) string { return ptbBrackets.Replace(s) }

var ptbBrackets = strings.NewReplacer(" ", "\u00a0", "(", "-lrb-", ")", "-rrb-")

func asItIs(s string) string { return s }

// hyphens makes a dash of two to four.
func hyphens(s string) string {
	if n := len(s); n > 1 && n < 5 {
		return "--"
	}
	return s
}
