package runtime

import (
	"slices"
	"strings"
	"testing"
)

// A stop string ends a text wherever tokens' borders lie; the text is cut before it, the ids end with the token that
// completed it.
func TestStopStrings(t *testing.T) {
	m := openPath(t, pretrained)
	tok, err := m.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	prompt := []int32{9, 10, 400}
	all, err := m.Continue(t.Context(), [][]int32{prompt}, GenerateOptions{MaxNewTokens: 30, EOS: []int64{}})
	if err != nil {
		t.Fatal(err)
	}
	text, ids := all[0][0].Text, all[0][0].IDs
	if len(text) < 20 || all[0][0].Finish != "length" {
		t.Fatalf("%q (%s) is too short for this test", text, all[0][0].Finish)
	}
	for at := 3; at+4 < len(text); at += 3 {
		stop := text[at : at+4]
		want := text[:strings.Index(text, stop)]
		for _, o := range []GenerateOptions{{Stop: []string{stop, "no such text"}}, {Stop: []string{"", stop}}} {
			o.MaxNewTokens, o.EOS = 30, []int64{}
			got, err := m.Continue(t.Context(), [][]int32{prompt}, o)
			if err != nil {
				t.Fatal(err)
			}
			c := got[0][0]
			if c.Text != want || c.Finish != "stop" {
				t.Errorf("stop %q: %q (%s), want %q", stop, c.Text, c.Finish, want)
			}
			n := len(c.IDs)
			if !slices.Equal(c.IDs, ids[:n]) || !strings.Contains(tok.Decode(c.IDs, true), stop) || strings.Contains(tok.Decode(c.IDs[:n-1], true), stop) {
				t.Errorf("stop %q: the ids %v do not end with it", stop, c.IDs)
			}
		}
	}
}

// A seed repeats a sample; prompts of one call draw apart, each as if alone.
func TestSeedRepeats(t *testing.T) {
	m := openPath(t, pretrained)
	prompt := []int32{9, 10, 400}
	o := GenerateOptions{MaxNewTokens: 10, EOS: []int64{}, Sample: On, Temperature: 2, Seed: new(uint64(4))}
	first, err := m.Generate(t.Context(), [][]int32{prompt, prompt, prompt}, o)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Equal(first[0], first[1]) || slices.Equal(first[1], first[2]) {
		t.Errorf("three samples are not apart: %v", first)
	}
	for i := range 3 {
		o.Seed = new(uint64(4 + i))
		again, err := m.Generate(t.Context(), [][]int32{prompt}, o)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(again[0], first[i]) {
			t.Errorf("seed %d: %v, beside others %v", 4+i, again[0], first[i])
		}
	}
}
