package decode

import (
	"strings"
	"unicode/utf8"
)

// A StopScanner cuts a text, which arrives in pieces, exactly before the first of several stop strings, wherever the
// pieces' borders lie. The first is the one that is complete first; of several that end together, the longest.
type StopScanner struct {
	stops []string
	held  string
	done  bool
}

// NewStopScanner scans for stops; empty strings among them are ignored.
func NewStopScanner(stops []string) *StopScanner {
	s := &StopScanner{}
	for _, stop := range stops {
		if stop != "" {
			s.stops = append(s.stops, stop)
		}
	}
	return s
}

// Push adds a piece. It returns the text that is now certain to come before every stop string, and whether one was
// found: then nothing follows.
func (s *StopScanner) Push(piece string) (text string, stopped bool) {
	if s.done {
		return "", true
	}
	s.held += piece
	if at := s.first(); at >= 0 {
		text, s.held, s.done = s.held[:at], "", true
		return text, true
	}
	keep := s.pending()
	text, s.held = s.held[:len(s.held)-keep], s.held[len(s.held)-keep:]
	return text, false
}

// Flush returns what was held back when the text ends without a stop string.
func (s *StopScanner) Flush() string {
	text := s.held
	s.held = ""
	return text
}

// first is where the stop string begins in held that is complete first, of several the longest; −1 where there is none.
func (s *StopScanner) first() int {
	begin, end := -1, 0
	for _, stop := range s.stops {
		at := strings.Index(s.held, stop)
		if at < 0 {
			continue
		}
		if e := at + len(stop); begin < 0 || e < end || e == end && at < begin {
			begin, end = at, e
		}
	}
	return begin
}

// pending is the length of the longest end of held that begins a stop string, extended to a rune's border.
func (s *StopScanner) pending() int {
	most := 0
	for _, stop := range s.stops {
		for n := min(len(stop)-1, len(s.held)); n > most; n-- {
			if strings.HasSuffix(s.held, stop[:n]) {
				most = n
			}
		}
	}
	for most < len(s.held) && most > 0 && !utf8.RuneStart(s.held[len(s.held)-most]) {
		most++
	}
	return most
}
