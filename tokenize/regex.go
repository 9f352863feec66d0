package tokenize

import (
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// regexTimeout bounds the search for one match: a pattern that backtracks without end is an error, not a hang.
const regexTimeout = 30 * time.Second

// regexPattern is a regular expression of a tokenizer.json. The reference runs them on Oniguruma; here each is rewritten
// for regexp2, which has look-ahead, look-behind and atomic groups as well.
type regexPattern struct {
	source string
	re     *regexp2.Regexp
}

func newRegexPattern(source string) (*regexPattern, error) {
	rewritten, err := translateRegex(source)
	if err != nil {
		return nil, fmt.Errorf("the regular expression %s: %w", shown(source), err)
	}
	re, err := regexp2.Compile(rewritten, regexp2.None)
	if err != nil {
		return nil, fmt.Errorf("the regular expression %s: %w", shown(source), err)
	}
	re.MatchTimeout = regexTimeout
	return &regexPattern{source: source, re: re}, nil
}

// findAll gives the matches from left to right. As in the reference's binding, an empty match at the end of the match
// before does not count, and the search then goes on one character later.
func (p *regexPattern) findAll(text string) (found []match, err error) {
	runes := []rune(text)
	starts := make([]int, len(runes)+1) // of each character, in bytes
	for i, r := range runes {
		starts[i+1] = starts[i] + utf8.RuneLen(r)
	}
	last := -1 // end of the match before
	for at := 0; at <= len(runes); {
		m, err := p.re.FindRunesMatchStartingAt(runes, at)
		if err != nil {
			return nil, fmt.Errorf("the regular expression %s: %w", shown(p.source), err)
		}
		if m == nil {
			return found, nil
		}
		start, end := m.Index, m.Index+m.Length
		if start == end && end == last {
			at++
			continue
		}
		found = append(found, match{starts[start], starts[end]})
		at, last = end, end
	}
	return found, nil
}
