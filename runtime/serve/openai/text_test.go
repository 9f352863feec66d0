package openai

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// TestWriter writes random continuations of random prompts, cut anywhere, also within characters, and compares with the text
// of the whole: pieces must be whole characters, nothing may come twice or be missing, and stop strings must cut exactly.
func TestWriter(t *testing.T) {
	tokenizer, err := tokenize.Load(testdata + "/demo/pretrained")
	if err != nil {
		t.Fatal(err)
	}
	ids, err := tokenizer.EncodePlain(strings.Repeat("The Vaults, größer 日本語 🙂👩‍👩‍👧 \t end. é", 3))
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		begin := r.IntN(len(ids))
		cut := begin + r.IntN(len(ids)-begin)
		end := cut + r.IntN(len(ids)-cut)
		prompt, more := ids[begin:cut], ids[cut:end]
		var stops []string
		whole := tokenizer.Decode(ids[begin:end], true)
		if r.IntN(2) == 0 && len(whole) > 0 {
			at := r.IntN(len(whole))
			if stop := whole[at:min(len(whole), at+1+r.IntN(6))]; utf8.ValidString(stop) {
				stops = append(stops, stop)
			}
		}
		w := newWriter(tokenizer, prompt, stops)
		got, spelt := "", 0
		add := func(text string, tokens []spelled) {
			if !utf8.ValidString(text) {
				t.Fatalf("half a character: %q", text)
			}
			got += text
			spelt += len(tokens)
		}
		for _, id := range more {
			if add(w.push(runtime.Token{ID: id}, true)); w.stopped {
				break
			}
		}
		add(w.end())
		before := tokenizer.Decode(prompt, true)
		want, exact := strings.CutPrefix(whole, before) // not where the prompt ended within a character
		for _, stop := range stops {
			want, _, _ = strings.Cut(want, stop)
		}
		if exact && got != want || !strings.Contains(whole, got) {
			t.Fatalf("prompt %q, stops %q: got %q, want %q", before, stops, got, want)
		}
		if !w.stopped && spelt != len(more) {
			t.Fatalf("%d tokens of %d were reported", spelt, len(more))
		}
	}
}
