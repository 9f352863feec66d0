package tokenize

import (
	"strings"
	"unicode/utf8"
)

// The patterns of well-known tokenizers, by which Split is told to cut.
const (
	gpt2Pattern = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	// cl100kPattern is that of GPT-4 and Llama 3; with \p{N} for \p{N}{1,3}, Qwen's.
	cl100kPattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	qwenPattern   = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// knownPatterns have scanners that give what the regular expression gives, some twenty times as fast.
var knownPatterns = map[string]scanner{
	gpt2Pattern:   byteLevelMatch,
	cl100kPattern: func(text string) int { return modernMatch(text, 3) },
	qwenPattern:   func(text string) int { return modernMatch(text, 1) },
}

// modernMatch is cl100kPattern with up to digits digits in a piece.
func modernMatch(text string, digits int) int {
	if n := anyCaseContraction(text); n > 0 {
		return n
	}
	r, size := utf8.DecodeRuneInString(text)
	class := classOf(r)
	// [^\r\n\p{L}\p{N}]?\p{L}+
	if class == classLetter {
		return size + runOf(text[size:], classLetter)
	}
	if class != classNumber && r != '\r' && r != '\n' {
		if n := runOf(text[size:], classLetter); n > 0 {
			return size + n
		}
	}
	if class == classNumber {
		return numberMatch(text, digits)
	}
	// ` ?[^\s\p{L}\p{N}]+[\r\n]*`
	lead := 0
	if r == ' ' {
		lead = 1
	}
	if n := runOf(text[lead:], classOther); n > 0 {
		n += lead
		for n < len(text) && (text[n] == '\r' || text[n] == '\n') {
			n++
		}
		return n
	}
	// `\s*[\r\n]+`: up to the last line break of the run of white space
	run := runOf(text, classSpace)
	if last := strings.LastIndexAny(text[:run], "\r\n"); last >= 0 {
		return last + 1
	}
	return spaceMatch(text)
}

func numberMatch(text string, digits int) int {
	n := 0
	for i, r := range text {
		if n == digits || classOf(r) != classNumber {
			return i
		}
		n++
	}
	return len(text)
}

// anyCaseContraction is (?i:'s|'t|'re|'ve|'m|'ll|'d). The long s is an s.
func anyCaseContraction(text string) int {
	if text[0] != '\'' {
		return 0
	}
	if strings.HasPrefix(text[1:], "ſ") {
		return 1 + len("ſ")
	}
	for _, c := range contractions {
		if len(text) >= len(c) && strings.EqualFold(text[:len(c)], c) {
			return len(c)
		}
	}
	return 0
}
