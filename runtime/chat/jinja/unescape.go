package jinja

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// simpleEscapes are the escapes of one character in Python's string literals.
var simpleEscapes = map[byte]string{
	'\\': "\\", '\'': "'", '"': "\"", 'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v", '\n': "",
}

// unescape reads the escapes of a string literal; an unknown one stays as it stands, as in Python.
func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			i++
			continue
		}
		c := s[i+1]
		if text, ok := simpleEscapes[c]; ok {
			b.WriteString(text)
			i += 2
			continue
		}
		digits, base, start := 0, 16, i+2
		switch {
		case c == 'x':
			digits = 2
		case c == 'u':
			digits = 4
		case c == 'U':
			digits = 8
		case c == 'N':
			return "", fmt.Errorf(`the escape \N in a string is not supported; write the character itself`)
		case c >= '0' && c <= '7':
			base, start = 8, i+1
			for digits < 3 && start+digits < len(s) && s[start+digits] >= '0' && s[start+digits] <= '7' {
				digits++
			}
		default:
			b.WriteByte('\\')
			i++
			continue
		}
		if start+digits > len(s) {
			return "", fmt.Errorf(`a string ends within the escape \%c`, c)
		}
		n, err := strconv.ParseUint(s[start:start+digits], base, 32)
		if err != nil || !utf8.ValidRune(rune(n)) || n > utf8.MaxRune {
			return "", fmt.Errorf("the escape %q in a string is no character", s[i:start+digits])
		}
		b.WriteRune(rune(n))
		i = start + digits
	}
	return b.String(), nil
}
