package tokenize

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// byteLevelStage maps the byte alphabet back to bytes and makes one token of all, for a character may be spread over
// several. A token with a character outside the alphabet, as added tokens have them, stands for itself. (sugarme's
// turns such a character into a zero byte.)
func byteLevelStage(next sink) sink { return &byteLevelSink{next: next} }

type byteLevelSink struct {
	next  sink
	held  strings.Builder // the current token
	bytes []byte          // the start of a character
}

func (s *byteLevelSink) text(part string) { s.held.WriteString(part) }

func (s *byteLevelSink) end() {
	token := s.held.String()
	s.held.Reset()
	start := len(s.bytes)
	for _, r := range token {
		c, ok := alphabetByte[r]
		if !ok {
			s.bytes = append(s.bytes[:start], token...)
			break
		}
		s.bytes = append(s.bytes, c)
	}
	whole := len(s.bytes) - unfinished(s.bytes)
	s.next.text(lossyUTF8(s.bytes[:whole]))
	s.bytes = append(s.bytes[:0], s.bytes[whole:]...)
}

func (s *byteLevelSink) close() {
	s.next.text(lossyUTF8(s.bytes))
	s.next.end()
	s.next.close()
}

// unfinished is the length of the end of b that may be the start of a character.
func unfinished(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		tail := b[len(b)-n:]
		if utf8.RuneStart(tail[0]) {
			if tail[0] >= utf8.RuneSelf && !utf8.FullRune(tail) {
				return n
			}
			return 0
		}
	}
	return 0
}

// byteFallbackStage joins runs of tokens <0xNN> to characters. A run that is not UTF-8 is U+FFFD for each of its bytes,
// whatever part of it is well formed, so nothing of a run is certain before its end.
func byteFallbackStage(next sink) sink { return &byteFallbackSink{next: next} }

type byteFallbackSink struct {
	next  sink
	held  strings.Builder
	bytes []byte
}

func (s *byteFallbackSink) text(part string) { s.held.WriteString(part) }

func (s *byteFallbackSink) end() {
	token := s.held.String()
	s.held.Reset()
	if b, ok := fallbackByte(token); ok {
		s.bytes = append(s.bytes, b)
		return
	}
	s.run()
	s.next.text(token)
	s.next.end()
}

func (s *byteFallbackSink) run() {
	switch {
	case len(s.bytes) == 0:
		return
	case utf8.Valid(s.bytes):
		s.next.text(string(s.bytes))
		s.next.end()
	default:
		for range s.bytes {
			s.next.text(string(utf8.RuneError))
			s.next.end()
		}
	}
	s.bytes = s.bytes[:0]
}

func (s *byteFallbackSink) close() {
	s.run()
	s.next.close()
}

// fallbackByte reads <0xNN>. As Rust's from_str_radix it takes a plus sign for a digit's place.
func fallbackByte(token string) (byte, bool) {
	if len(token) != len("<0xNN>") || !strings.HasPrefix(token, "<0x") || token[5] != '>' {
		return 0, false
	}
	b, err := strconv.ParseUint(strings.TrimPrefix(token[3:5], "+"), 16, 8)
	return byte(b), err == nil
}

// lossyUTF8 replaces every maximal part of an ill-formed sequence by one U+FFFD (Unicode 3.9, as Rust does; Go's own
// conversions replace every byte).
func lossyUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var out strings.Builder
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r != utf8.RuneError || size > 1 {
			out.Write(b[:size])
		} else {
			out.WriteRune(utf8.RuneError)
			size = illFormed(b)
		}
		b = b[size:]
	}
	return out.String()
}

// illFormed is the length of the maximal subpart at the start of b: the longest start of some well-formed sequence, at
// least one byte.
func illFormed(b []byte) int {
	low, high := byte(0x80), byte(0xBF) // bounds of the second byte
	var rest int
	switch c := b[0]; {
	case 0xC2 <= c && c <= 0xDF:
		rest = 1
	case 0xE0 <= c && c <= 0xEF:
		rest = 2
		if c == 0xE0 {
			low = 0xA0
		} else if c == 0xED {
			high = 0x9F
		}
	case 0xF0 <= c && c <= 0xF4:
		rest = 3
		if c == 0xF0 {
			low = 0x90
		} else if c == 0xF4 {
			high = 0x8F
		}
	}
	n := 1
	for n <= rest && n < len(b) && low <= b[n] && b[n] <= high {
		low, high = 0x80, 0xBF
		n++
	}
	return n
}
