package metrics

import (
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestCOCOTokens holds tokens against those of Stanford CoreNLP 3.4.1 (testdata/ptb.py).
func TestCOCOTokens(t *testing.T) {
	read := func(path string) []string {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return lines(string(data))
	}
	texts, want := read("testdata/ptb_texts.txt"), read("testdata/ptb_tokens.txt")
	if len(texts) != len(want) || len(texts) < 40 {
		t.Fatalf("%d texts, %d lines of tokens", len(texts), len(want))
	}
	for i, got := range COCOTokens(texts) {
		var w []string
		for _, token := range strings.Split(want[i], " ") {
			if token != "" && !cocoRemoved[token] {
				w = append(w, token)
			}
		}
		if strings.Join(got, "|") != strings.Join(w, "|") {
			t.Errorf("line %d, %q:\n got %q\nwant %q", i+1, texts[i], got, w)
		}
	}
}

// TestPlainWordsChangeNothing compares the short cut for plain words with the rules that it skips.
func TestPlainWordsChangeNothing(t *testing.T) {
	data, err := os.ReadFile("testdata/ptb_texts.txt")
	if err != nil {
		t.Fatal(err)
	}
	words := 0
	for _, line := range lines(string(data)) {
		text, shape := ptbShape(line + "\n")
		for at := range shape {
			n := plainWord(shape[at:])
			if n == 0 {
				continue
			}
			words++
			if m, token := ptbNext(text[at:], ptbWindow(shape[at:])); m != n || token != string(text[at:at+n]) {
				t.Errorf("%q at %d: %q by the rules, %q as a plain word", line, at, token, string(text[at:at+n]))
			}
		}
	}
	if words < 100 {
		t.Errorf("only %d plain words", words)
	}
}

// TestTextsEndWhereTheNextBegins holds the one way in which a text depends on the next.
func TestTextsEndWhereTheNextBegins(t *testing.T) {
	for next, want := range map[string]string{"The rest.": "serie a", "a rest.": "serie a.", "": "serie a."} {
		if got := strings.Join(COCOTokens([]string{"Serie A.", next})[0], " "); got != want {
			t.Errorf("before %q: %q, want %q", next, got, want)
		}
	}
}

// FuzzTokens checks of every tokenizer that it ends, makes no empty token and none with a blank, and that UTF-8 stays it.
func FuzzTokens(f *testing.F) {
	for _, s := range []string{"", "It's £20.50, i.e. 3-star (cheap)!", "U.S.\n&amp; <a b> ^_^ \u00ad ½ 1/2 😀", "\xff\xfe", "a.b.c 555-1234 'n' http://x.yz"} {
		f.Add(s, "The next")
	}
	f.Fuzz(func(t *testing.T, s, next string) {
		check := func(name string, tokens []string) {
			for _, token := range tokens {
				if token == "" || strings.ContainsAny(token, " \n") || utf8.ValidString(s) && !utf8.ValidString(token) {
					t.Errorf("%s of %q: token %q", name, s, token)
				}
			}
		}
		for name, split := range tokenizers {
			check(string(name), split(s))
		}
		for _, tokens := range COCOTokens([]string{s, next}) {
			check("coco", tokens)
		}
		check("dialog", dialogWords(s))
	})
}

func BenchmarkCOCOTokens(b *testing.B) {
	data, err := os.ReadFile("testdata/ptb_texts.txt")
	if err != nil {
		b.Fatal(err)
	}
	texts := lines(string(data))
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		COCOTokens(texts)
	}
}
