package tokenize

import "strings"

// A sink takes tokens, each in one or more parts, and passes on what it makes of them. The decoder of a tokenizer is a
// chain of sinks, each made to give out text as early as it can: decoding a text at once and decoding it id by id are
// the same code.
type sink interface {
	text(part string) // the next part of the current token
	end()             // the current token is complete
	close()           // there are no more tokens
}

// A stage opens one link of the chain in front of the next.
type stage func(next sink) sink

// decoder is the chain's links, the first to see the tokens first.
type decoder []stage

// open starts the chain, whose text goes to out.
func (d decoder) open(out *strings.Builder) sink {
	var s sink = &textSink{out: out}
	for i := len(d) - 1; i >= 0; i-- {
		s = d[i](s)
	}
	return s
}

// textSink joins the tokens.
type textSink struct{ out *strings.Builder }

func (s *textSink) text(part string) { s.out.WriteString(part) }
func (s *textSink) end()             {}
func (s *textSink) close()           {}

// spacedStage joins the tokens to one, with a blank between them: what the reference does without a decoder.
func spacedStage(next sink) sink { return &spacedSink{next: next} }

type spacedSink struct {
	next  sink
	later bool // not the first token
	begun bool // the current token's blank is out
}

func (s *spacedSink) text(part string) {
	if s.later && !s.begun {
		s.next.text(" ")
	}
	s.begun = true
	s.next.text(part)
}

func (s *spacedSink) end() {
	s.text("")
	s.later, s.begun = true, false
}

func (s *spacedSink) close() { s.next.end(); s.next.close() }

// fuseStage makes one token of all.
func fuseStage(next sink) sink { return &fuseSink{next: next} }

type fuseSink struct{ next sink }

func (s *fuseSink) text(part string) { s.next.text(part) }
func (s *fuseSink) end()             {}
func (s *fuseSink) close()           { s.next.end(); s.next.close() }

// wholeStage hands whole tokens to make, with their number from 0, and passes on what it gives.
func wholeStage(make func(index int, token string) string) stage {
	return func(next sink) sink { return &wholeSink{next: next, make: make} }
}

type wholeSink struct {
	next  sink
	make  func(index int, token string) string
	held  strings.Builder
	index int
}

func (s *wholeSink) text(part string) { s.held.WriteString(part) }

func (s *wholeSink) end() {
	s.next.text(s.make(s.index, s.held.String()))
	s.next.end()
	s.held.Reset()
	s.index++
}

func (s *wholeSink) close() { s.next.close() }

// wordPieceStage joins pieces that carry the prefix to the word before them and puts a blank before the others.
func wordPieceStage(prefix string, cleanUp bool) stage {
	return wholeStage(func(index int, token string) string {
		if index > 0 {
			if rest, ok := strings.CutPrefix(token, prefix); ok {
				token = rest
			} else {
				token = " " + token
			}
		}
		if cleanUp {
			token = replaceAll(token, wordPieceCleanUps)
		}
		return token
	})
}

// metaspaceStage turns the replacement character into blanks; in the first token it goes, unless keepFirst is set.
func metaspaceStage(replacement string, keepFirst bool) stage {
	return func(next sink) sink {
		return &metaspaceSink{next: next, replacement: replacement, first: !keepFirst}
	}
}

type metaspaceSink struct {
	next        sink
	replacement string
	first       bool
}

func (s *metaspaceSink) text(part string) {
	blank := " "
	if s.first {
		blank = ""
	}
	s.next.text(strings.ReplaceAll(part, s.replacement, blank))
}

func (s *metaspaceSink) end()   { s.first = false; s.next.end() }
func (s *metaspaceSink) close() { s.next.close() }

// bpeStage turns the suffix that ends a word into a blank, at the last token into nothing.
func bpeStage(suffix string) stage {
	return func(next sink) sink { return &bpeSink{next: next, suffix: suffix} }
}

type bpeSink struct {
	next    sink
	suffix  string
	held    strings.Builder
	pending bool   // a token waits for the next, to know whether it is the last
	waiting string // that token
}

func (s *bpeSink) text(part string) { s.held.WriteString(part) }

func (s *bpeSink) end() {
	s.pass(" ")
	s.waiting, s.pending = s.held.String(), true
	s.held.Reset()
}

func (s *bpeSink) pass(blank string) {
	if s.pending {
		s.next.text(replaced(s.waiting, s.suffix, blank))
		s.next.end()
	}
}

func (s *bpeSink) close() {
	s.pass("")
	s.next.close()
}

// replaced is strings.ReplaceAll with nothing to do for an empty pattern.
func replaced(text, pattern, content string) string {
	if pattern == "" {
		return text
	}
	return strings.ReplaceAll(text, pattern, content)
}

// ctcStage drops tokens that repeat the one before them, and the padding token inside tokens.
func ctcStage(pad, delimiter string, cleanUp bool) stage {
	return func(next sink) sink { return &ctcSink{next: next, pad: pad, delimiter: delimiter, cleanUp: cleanUp} }
}

type ctcSink struct {
	next           sink
	pad, delimiter string
	cleanUp        bool
	held           strings.Builder
	later          bool
	last           string
}

func (s *ctcSink) text(part string) { s.held.WriteString(part) }

func (s *ctcSink) end() {
	token := s.held.String()
	s.held.Reset()
	repeats := s.later && token == s.last
	s.later, s.last = true, token
	if repeats {
		return
	}
	token = replaced(token, s.pad, "")
	if s.cleanUp {
		token = replaced(replaceAll(token, wordPieceCleanUps), s.delimiter, " ")
	}
	if token != "" {
		s.next.text(token)
		s.next.end()
	}
}

func (s *ctcSink) close() { s.next.close() }
