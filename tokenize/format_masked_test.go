package tokenize

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestMaskedLM: what is scored are ordinary tokens of the text, as many as BERT masks; the labels give the text back; a
// draw is a function of text and number, and of nothing else.
func TestMaskedLM(t *testing.T) {
	tok := infillTokenizer(t)
	f := must(NewMaskedLM(tok, 40))(t)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[a-z .]{0,60}`).Draw(t, "text")
		draw := rapid.Uint64().Draw(t, "draw")
		e, err := f.Format(Record{Row: 3, Text: text, Label: -1})
		if err != nil {
			t.Fatal(err)
		}
		whole, err := tok.EncodeTruncated(text, 40)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for i, id := range whole.IDs {
			if i > 0 && !tok.IsSpecial(id) {
				n++
			}
		}
		if n == 0 {
			if e.Dropped != DropUnscored || !reflect.DeepEqual(f.Draw(e, draw), e) {
				t.Fatalf("nothing to mask: %+v", e)
			}
			return
		}
		elsewhere, err := f.Format(Record{Row: 99, Text: text, Label: -1})
		if err != nil || !slices.Equal(elsewhere.IDs, e.IDs) {
			t.Fatalf("the mask depends on the row: %v, %v, %v", e.IDs, elsewhere.IDs, err)
		}
		before := slices.Clone(e.IDs)
		again := f.Draw(e, draw)
		if !slices.Equal(before, e.IDs) || !reflect.DeepEqual(again, f.Draw(f.Draw(e, 5), draw)) {
			t.Fatal("a draw depends on the one before, or changes its example")
		}
		for _, got := range []Example{e, again} {
			checkMasked(t, f, got, whole.IDs, max(1, int(math.Round(0.15*float64(n)))))
		}
	})
}

func checkMasked(t *rapid.T, f *MaskedLM, e Example, text []int32, want int) {
	if len(e.IDs) != len(text) || len(e.Labels) != len(text) || e.Scored() != want {
		t.Fatalf("%d ids, %d labels, %d scored; want %d of %d", len(e.IDs), len(e.Labels), e.Scored(), want, len(text))
	}
	for i, l := range e.Labels {
		switch {
		case l == Unscored && e.IDs[i] != text[i]:
			t.Fatalf("position %d is not scored, but replaced", i)
		case l != Unscored && (l != text[i] || f.t.IsSpecial(l)):
			t.Fatalf("position %d is scored against %d, the text has %d", i, l, text[i])
		}
	}
}

// TestMaskedShares: 80, 10 and 10 % of 20,000 scored tokens, each within five standard deviations: a false reject is rarer
// than one in half a million, and the draws are fixed.
func TestMaskedShares(t *testing.T) {
	tok := infillTokenizer(t)
	f := must(NewMaskedLM(tok, 64))(t)
	text := strings.Repeat("it was great. ", 14)
	e, err := f.Format(Record{Text: text})
	if err != nil {
		t.Fatal(err)
	}
	var masked, kept, other, total float64
	places := map[int]int{}
	for draw := uint64(1); total < 20000; draw++ {
		d := f.Draw(e, draw)
		for i, l := range d.Labels {
			if l == Unscored {
				continue
			}
			total++
			places[i]++
			switch d.IDs[i] {
			case f.mask:
				masked++
			case l:
				kept++
			default:
				other++
			}
		}
	}
	// A random token is the text's own once in len(ordinary) times.
	own := 1 / float64(len(f.ordinary))
	for _, share := range []struct {
		name   string
		got, p float64
	}{{"masks", masked, 0.8}, {"kept", kept, 0.1 + 0.1*own}, {"random", other, 0.1 * (1 - own)}} {
		if sd := math.Sqrt(total * share.p * (1 - share.p)); math.Abs(share.got-total*share.p) > 5*sd {
			t.Errorf("%s: %g of %g, expected %.0f ± %.0f", share.name, share.got, total, total*share.p, sd)
		}
	}
	if want := len(f.places(must(tok.EncodeTruncated(text, 64))(t).IDs)); len(places) != want {
		t.Errorf("%d places are ever masked, of %d", len(places), want)
	}
}

// TestMaskedLMNeedsAMask: a decoder's tokenizer is refused by what it lacks.
func TestMaskedLMNeedsAMask(t *testing.T) {
	if _, err := NewMaskedLM(load(t, "testdata/bpe"), 40); err == nil || !strings.Contains(err.Error(), "mask") {
		t.Errorf("error %v", err)
	}
	if _, err := NewMaskedLM(infillTokenizer(t), 2); err == nil || !strings.Contains(err.Error(), "maximum length is 2") {
		t.Errorf("error %v", err)
	}
}
