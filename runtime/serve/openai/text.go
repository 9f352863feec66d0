package openai

import (
	"strings"
	"unicode/utf8"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/decode"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// tailTokens is how many tokens of the prompt are decoded before a continuation: what its first token reads as depends on
// them (a blank after a word, the rest of a character).
const tailTokens = 8

// A writer turns tokens into the text of a continuation. It gives out what is certain: no half characters, nothing that may
// become a stop string, nothing from one on.
type writer struct {
	tokenizer *tokenize.Tokenizer
	stream    *tokenize.TextStream
	stop      *decode.StopScanner
	before    string // of the prompt, which the stream still holds
	previous  []int32
	decoded   int // bytes of the continuation that came out of stream
	chars     int // characters of them
	written   int // bytes given out
	waiting   []spelled
	stopped   bool
}

// A spelled is a token with its text.
type spelled struct {
	text    string
	logProb float64
	top     []alternative
	offset  int  // bytes of the continuation before it
	chars   int  // characters of it before it
	first   bool // of a prompt: it has no log-probability
}

// spellPrompt gives the scored tokens of a prompt their texts.
func spellPrompt(t *tokenize.Tokenizer, tokens []runtime.Token) []spelled {
	w := newWriter(t, nil, nil)
	for _, token := range tokens {
		w.waiting = append(w.waiting, w.spell(token))
		w.follow(token.ID)
	}
	w.waiting[0].first = true
	return w.waiting
}

type alternative struct {
	text    string
	logProb float64
}

func newWriter(t *tokenize.Tokenizer, prompt []int32, stops []string) *writer {
	w := &writer{tokenizer: t, stream: t.Stream(true), stop: decode.NewStopScanner(stops)}
	tail := prompt[max(0, len(prompt)-tailTokens):]
	out := 0
	for _, id := range tail {
		out += len(w.stream.Push(id))
	}
	if whole := t.Decode(tail, true); out < len(whole) {
		w.before = whole[out:]
	}
	w.previous = tail
	return w
}

// push adds a token. It returns the text that became certain and the tokens that this text completes; keep says whether
// tokens are wanted at all.
func (w *writer) push(token runtime.Token, keep bool) (string, []spelled) {
	if keep {
		w.waiting = append(w.waiting, w.spell(token))
	}
	return w.scan(w.follow(token.ID))
}

// follow decodes a token.
func (w *writer) follow(id int32) string {
	piece := w.trimmed(w.stream.Push(id))
	w.previous = append(w.previous[max(0, len(w.previous)-tailTokens):len(w.previous):len(w.previous)], id)
	w.decoded += len(piece)
	w.chars += utf8.RuneCountInString(piece)
	return piece
}

// end gives what was held back when the continuation is over.
func (w *writer) end() (string, []spelled) {
	if w.stopped {
		return "", nil
	}
	piece := w.trimmed(w.stream.Flush())
	text, tokens := w.scan(piece)
	if w.stopped {
		return text, tokens
	}
	rest := w.stop.Flush()
	w.written += len(rest)
	tokens = append(tokens, w.waiting...)
	w.waiting = nil
	return text + rest, tokens
}

func (w *writer) scan(piece string) (string, []spelled) {
	text, stopped := w.stop.Push(piece)
	w.stopped = w.stopped || stopped
	w.written += len(text)
	n := 0
	for n < len(w.waiting) && w.waiting[n].offset < w.written {
		n++
	}
	tokens := w.waiting[:n:n]
	w.waiting = w.waiting[n:]
	return text, tokens
}

// trimmed takes the prompt's share off the stream's text. A character that the prompt began and the continuation ends
// comes whole.
func (w *writer) trimmed(piece string) string {
	if w.before == "" || piece == "" {
		return piece
	}
	n := 0
	for n < len(w.before) && n < len(piece) && w.before[n] == piece[n] {
		n++
	}
	for n > 0 && n < len(piece) && !utf8.RuneStart(piece[n]) {
		n--
	}
	if w.before = w.before[n:]; n < len(piece) {
		w.before = ""
	}
	return piece[n:]
}

// spell gives a token's text and those of its alternatives.
func (w *writer) spell(token runtime.Token) spelled {
	s := spelled{text: w.tokenText(token.ID), logProb: token.LogProb, offset: w.decoded, chars: w.chars}
	for _, a := range token.Top {
		s.top = append(s.top, alternative{w.tokenText(a.ID), a.LogProb})
	}
	return s
}

// tokenText is what a token reads as here: what it adds to the text of those before it. Half a character reads as U+FFFD.
func (w *writer) tokenText(id int32) string {
	before := w.tokenizer.Decode(w.previous, false)
	ids := append(w.previous[:len(w.previous):len(w.previous)], id)
	if text, ok := strings.CutPrefix(w.tokenizer.Decode(ids, false), before); ok {
		return text
	}
	return w.tokenizer.Decode([]int32{id}, false)
}
