package tokenize

import (
	"strings"
	"unicode/utf8"
)

// stripStage removes up to start characters content from the start of every token and up to stop from its end.
func stripStage(content rune, start, stop int) stage {
	return func(next sink) sink { return &stripSink{next: next, content: content, start: start, stop: stop} }
}

type stripSink struct {
	next        sink
	content     rune
	start, stop int
	removed     int  // at the start of the current token
	begun       bool // something else has come
	held        int  // contents that are removed if the token ends here
}

func (s *stripSink) text(part string) {
	var out strings.Builder
	for _, r := range part {
		if !s.begun && r == s.content && s.removed < s.start {
			s.removed++
			continue
		}
		s.begun = true
		if r != s.content || s.stop == 0 {
			for ; s.held > 0; s.held-- {
				out.WriteRune(s.content)
			}
			out.WriteRune(r)
			continue
		}
		if s.held == s.stop {
			out.WriteRune(s.content)
			continue
		}
		s.held++
	}
	s.next.text(out.String())
}

func (s *stripSink) end() {
	s.removed, s.begun, s.held = 0, false, 0
	s.next.end()
}

func (s *stripSink) close() { s.next.close() }

// replaceStage replaces pattern, which is not empty, inside tokens. It holds back no more than could still become one.
func replaceStage(pattern, content string) stage {
	return func(next sink) sink { return &replaceSink{next: next, pattern: pattern, content: content} }
}

type replaceSink struct {
	next             sink
	pattern, content string
	held             string // shorter than the pattern
}

func (s *replaceSink) text(part string) {
	text := s.held + part
	var out strings.Builder
	for {
		at := strings.Index(text, s.pattern)
		if at < 0 {
			break
		}
		out.WriteString(text[:at])
		out.WriteString(s.content)
		text = text[at+len(s.pattern):]
	}
	keep := startOf(s.pattern, text)
	out.WriteString(text[:len(text)-keep])
	s.held = text[len(text)-keep:]
	s.next.text(out.String())
}

// startOf is the length of the longest end of text that is a start of pattern, and not all of it.
func startOf(pattern, text string) int {
	for n := min(len(pattern)-1, len(text)); n > 0; n-- {
		if strings.HasSuffix(text, pattern[:n]) {
			return n
		}
	}
	return 0
}

func (s *replaceSink) end() {
	s.next.text(s.held)
	s.held = ""
	s.next.end()
}

func (s *replaceSink) close() { s.next.close() }

// cleanUpStages are CleanUpSpaces on the whole text.
func cleanUpStages() decoder {
	d := decoder{fuseStage}
	for i := 0; i < len(cleanUps); i += 2 {
		d = append(d, replaceStage(cleanUps[i], cleanUps[i+1]))
	}
	return d
}

// trimStage removes the white space around every token, as Python's str.strip.
func trimStage(next sink) sink { return &trimSink{next: next} }

type trimSink struct {
	next  sink
	begun bool
	held  strings.Builder // white space that goes if the token ends here
}

func (s *trimSink) text(part string) {
	for part != "" {
		space := 0
		for i, r := range part {
			if !isPythonSpace(r) {
				break
			}
			space = i + utf8.RuneLen(r)
		}
		if s.begun {
			s.held.WriteString(part[:space])
		}
		part = part[space:]
		word := strings.IndexFunc(part, isPythonSpace)
		if word < 0 {
			word = len(part)
		}
		if word > 0 {
			s.next.text(s.held.String())
			s.held.Reset()
			s.begun = true
			s.next.text(part[:word])
		}
		part = part[word:]
	}
}

func (s *trimSink) end() {
	s.begun = false
	s.held.Reset()
	s.next.end()
}

func (s *trimSink) close() { s.next.close() }

// isPythonSpace is str.isspace: white space and four control characters.
func isPythonSpace(r rune) bool { return isSpace(r) || 0x1c <= r && r <= 0x1f }
