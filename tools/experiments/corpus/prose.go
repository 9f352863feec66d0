package main

import (
	"crypto/sha256"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a paragraph in bytes: shorter ones are captions, longer ones tables.
const (
	shortest = 60
	longest  = 2000
)

// A filter keeps English sentences, each once.
type filter struct {
	seen   map[[sha256.Size]byte]bool
	common map[string]bool
	marks  *regexp.Regexp
}

func newFilter() *filter {
	common := map[string]bool{}
	for w := range strings.FieldsSeq("the of a an and to in is are be that it for on with as by or this from at which not can if when you have has was") {
		common[w] = true
	}
	return &filter{seen: map[[sha256.Size]byte]bool{}, common: common, marks: regexp.MustCompile(`\[[0-9A-Za-z. +]{1,30}\]|[{}\\|¶]`)}
}

// take gives the paragraph with single spaces and without the marks of references and
// pronunciation, and whether it is prose that was not taken before.
func (f *filter) take(text string) (string, bool) {
	if !utf8.ValidString(text) {
		return "", false
	}
	text = strings.Join(strings.Fields(f.marks.ReplaceAllString(text, "")), " ")
	if len(text) < shortest || len(text) > longest || !f.english(text) {
		return "", false
	}
	sum := sha256.Sum256([]byte(text))
	if f.seen[sum] {
		return "", false
	}
	f.seen[sum] = true
	return text, true
}

// english holds where nine of ten characters are letters, spaces or the marks of
// sentences, and one word of six is among the commonest of the language.
func (f *filter) english(text string) bool {
	plain, all := 0, 0
	for _, r := range text {
		all++
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || strings.ContainsRune(" .,;:'\"()-?!", r)) {
			plain++
		}
	}
	words := strings.Fields(strings.ToLower(text))
	known := 0
	for _, w := range words {
		if f.common[strings.Trim(w, ".,;:'\"()-?!")] {
			known++
		}
	}
	return 10*plain >= 9*all && 6*known >= len(words)
}
