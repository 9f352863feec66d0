package metrics

import (
	"regexp"
	"strings"
)

// A substitution replaces every match of a pattern, left to right.
type substitution struct {
	pattern *regexp.Regexp
	by      string
}

// unescape are the language-independent rules of NIST's mteval-v13a: skipped tags and the hyphens of broken lines go,
// and SGML's entities become characters, in this order ("&amp;lt;" is "<").
var unescape = []struct{ from, to string }{
	{"<skipped>", ""}, {"-\n", ""}, {"\n", " "}, {"&quot;", `"`}, {"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"},
}

// mteval13a are mteval-v13a's rules for Western languages. They look at ASCII only.
var mteval13a = []substitution{
	{regexp.MustCompile("([{-~\\[-` -&(-+:-@/])"), " $1 "}, // every symbol but ' , - .
	{regexp.MustCompile(`([^0-9])([.,])`), "$1 $2 "},       // period and comma not after a digit
	{regexp.MustCompile(`([.,])([^0-9])`), " $1 $2"},       // nor before one
	{regexp.MustCompile(`([0-9])(-)`), "$1 $2 "},           // a hyphen after a digit
}

// mteval14 are mteval-v14's rules for all languages, by Unicode's categories.
var mteval14 = []substitution{
	{regexp.MustCompile(`(\PN)(\pP)`), "$1 $2 "},
	{regexp.MustCompile(`(\pP)(\PN)`), " $1 $2"},
	{regexp.MustCompile(`(\pS)`), " $1 "},
}

func substitute(s string, rules []substitution) string {
	for _, r := range rules {
		s = r.pattern.ReplaceAllString(s, r.by)
	}
	return s
}

// Tokens13a splits a text as mteval-v13a does, the tokenizer of e2e-metrics and sacrebleu's default. Case stays.
func Tokens13a(s string) []string {
	for _, r := range unescape {
		s = strings.ReplaceAll(s, r.from, r.to)
	}
	return fields(substitute(" "+s+" ", mteval13a))
}

// A Tokenizer names one of sacrebleu's ways to split a text.
type Tokenizer string

// The tokenizers that need no data of their own.
const (
	Tokenizer13a  Tokenizer = "13a"  // mteval-v13a
	TokenizerIntl Tokenizer = "intl" // mteval-v14 with international tokenization
	TokenizerChar Tokenizer = "char" // characters
	TokenizerNone Tokenizer = "none" // white space
)

// tokenizers split a text whose end has no white space.
var tokenizers = map[Tokenizer]func(string) []string{
	Tokenizer13a:  Tokens13a,
	TokenizerIntl: func(s string) []string { return fields(substitute(s, mteval14)) },
	TokenizerChar: characters,
	TokenizerNone: fields,
}

func characters(s string) []string {
	var out []string
	for _, r := range s {
		if !isSpace(r) {
			out = append(out, string(r))
		}
	}
	return out
}
