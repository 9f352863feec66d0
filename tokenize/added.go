package tokenize

import (
	"fmt"
	"unicode/utf8"
)

// maxAddedBytes bounds the content of an added token, so that matching stays linear in the text.
const maxAddedBytes = 1024

// addedToken is a token that is cut out of the text before normalisation or, with Normalized, after it.
type addedToken struct {
	ID         int    `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // only where no word character touches it
	LStrip     bool   `json:"lstrip"`      // takes the white space on its left along
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"` // its normalised content is looked for in the normalised text
	Special    bool   `json:"special"`    // left out by Decode when asked
}

// segment is a part of a text: an added token, or plain text when id is -1.
type segment struct {
	aligned
	id int32
}

// addedMatcher finds added tokens: at every place the longest one, from left to right, without overlap.
type addedMatcher struct {
	tokens []addedToken
	root   *trieNode
	first  [256]bool // the bytes that tokens start with
}

type trieNode struct {
	next  map[byte]*trieNode
	token int // index into tokens, -1 for none
}

func newTrieNode() *trieNode { return &trieNode{next: map[byte]*trieNode{}, token: -1} }

// newAddedMatcher builds the matcher for tokens, whose patterns are given beside them. Of two tokens with the same
// pattern the first counts. It is nil when there is nothing to match.
func newAddedMatcher(tokens []addedToken, patterns []string) (*addedMatcher, error) {
	if len(tokens) == 0 {
		return nil, nil
	}
	m := &addedMatcher{tokens: tokens, root: newTrieNode()}
	for i, p := range patterns {
		if p == "" || len(p) > maxAddedBytes {
			return nil, fmt.Errorf("added token %d has %d bytes after normalisation; it must have 1 to %d", tokens[i].ID, len(p), maxAddedBytes)
		}
		m.first[p[0]] = true
		node := m.root
		for j := range len(p) {
			child := node.next[p[j]]
			if child == nil {
				child = newTrieNode()
				node.next[p[j]] = child
			}
			node = child
		}
		if node.token < 0 {
			node.token = i
		}
	}
	return m, nil
}

// longest is the longest token at the start of text and its size in bytes, or -1.
func (m *addedMatcher) longest(text string) (token, size int) {
	token = -1
	node := m.root
	for i := range len(text) {
		if node = node.next[text[i]]; node == nil {
			break
		}
		if node.token >= 0 {
			token, size = node.token, i+1
		}
	}
	return token, size
}

// split cuts text into added tokens and the plain text between them.
func (m *addedMatcher) split(dst []segment, a aligned) []segment {
	text, done := a.text, 0 // text[:done] is in dst
	plain := func(stop int) {
		if done < stop {
			dst = append(dst, segment{aligned: a.slice(done, stop), id: -1})
		}
	}
	for at := 0; m != nil && at < len(text); {
		if !m.first[text[at]] {
			at++
			continue
		}
		index, size := m.longest(text[at:])
		if index < 0 {
			at++
			continue
		}
		start, stop := at, at+size
		at = stop
		token := &m.tokens[index]
		if token.SingleWord && (touchesWord(text[:start], text[stop:])) {
			continue
		}
		if token.LStrip {
			start = max(trimmedRight(text[:start]), done)
		}
		if token.RStrip {
			stop += runOf(text[stop:], classSpace)
		}
		plain(start)
		dst = append(dst, segment{aligned: a.slice(start, stop), id: int32(token.ID)})
		done = stop
	}
	if done == 0 && text != "" {
		return append(dst, segment{aligned: a, id: -1})
	}
	plain(len(text))
	return dst
}

func touchesWord(before, after string) bool {
	last, _ := utf8.DecodeLastRuneInString(before)
	first, _ := utf8.DecodeRuneInString(after)
	return before != "" && isWord(last) || after != "" && isWord(first)
}

// trimmedRight is the length of text without the white space at its end.
func trimmedRight(text string) int {
	for len(text) > 0 {
		r, size := utf8.DecodeLastRuneInString(text)
		if !isSpace(r) {
			break
		}
		text = text[:len(text)-size]
	}
	return len(text)
}
