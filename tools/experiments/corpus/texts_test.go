package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"slices"
	"strings"
	"testing"
)

// What is read of each kind of file, and what is left out.
func TestTexts(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := io.WriteString(z, "Word\n   A first line\n   and a second.\n\nNext\n   Another.\n"); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		kind  kind
		input io.Reader
		want  []string
	}{
		"page": {page, strings.NewReader("<head><title>no</title></head><p>One <b>two</b>.<pre>no</pre><ul><li>Item <p>inner</p> end</ul><script>no</script><nav><p>no</p></nav>"),
			[]string{"One two.", "Item end", "inner"}},
		"dictionary": {dict, &packed, []string{"A first line and a second.", "Another."}},
		"glosses":    {gloss, strings.NewReader("  1 licence | \n00001740 03 n | that which is; \"it was full\"  \nno bar\n"), []string{"that which is; \"it was full\""}},
		"empty":      {page, strings.NewReader(""), nil},
	} {
		var got []string
		err := readers()[c.kind](c.input, func(text string) error {
			if text = strings.Join(strings.Fields(text), " "); text != "" {
				got = append(got, text)
			}
			return nil
		})
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
	}
}

// Prose is kept once; captions, programs, tables and other languages are not.
func TestFilter(t *testing.T) {
	prose := "The quick brown fox jumps over the lazy dog, and it is not the first time that it has."
	f := newFilter()
	if got, ok := f.take(" The quick brown fox [1913 Webster]\n jumps over the lazy dog, and it is not the first time that it has."); !ok || got != prose {
		t.Errorf("%q, %v", got, ok)
	}
	for _, text := range []string{
		prose, "", "Too short to be in.", strings.Repeat(prose, 40),
		"x = f(y) * g[z] + 0x1F << 3; a->b = c->d; if (e != f) { return (a == b) & ~(c | d); }",
		"Der schnelle braune Fuchs springt ueber den faulen Hund, und das ist nicht das erste Mal.",
		"\xff\xfe the of a an and to in is are be that it for on with as by or this from at which not",
	} {
		if got, ok := f.take(text); ok {
			t.Errorf("took %q", got)
		}
	}
}

func TestChoose(t *testing.T) {
	if got, err := choose(sources(), "git-doc,wordnet-base"); err != nil || len(got) != 2 || got[0].name != "git-doc" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := choose(sources(), "git-dock"); err == nil {
		t.Error("an unknown package was chosen")
	}
}
