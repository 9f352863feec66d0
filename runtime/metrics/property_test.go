package metrics

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"
)

var textGen = rapid.SliceOfN(rapid.SampledFrom([]string{"the", "The", "Vaults", "pub", "£20", ".", ",", "it's", "naïve", "北京", "5-star", "(", "\"", "é", " "}), 0, 12)

func text(t *rapid.T, name string) string {
	s := ""
	for _, w := range textGen.Draw(t, name) {
		s += w + " "
	}
	return s
}

// TestScoresStayInRange draws items and checks ranges, that an output that is a reference is perfect, that more references
// never lower clipped matches, and that a second run gives the same bits.
func TestScoresStayInRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var items []Item
		for range rapid.IntRange(1, 4).Draw(t, "items") {
			item := Item{Output: text(t, "output")}
			for range rapid.IntRange(1, 3).Draw(t, "references") {
				item.References = append(item.References, text(t, "reference"))
			}
			items = append(items, item)
		}
		s, err := ScoreText(items)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ScoreText(items)
		if err != nil || s != again {
			t.Fatalf("%+v, then %+v, %v", s, again, err)
		}
		if !(s.BLEU >= 0 && s.BLEU <= 1) || !(s.ROUGEL >= 0 && s.ROUGEL <= 1) || !(s.CIDEr >= 0 && s.CIDEr <= 10+1e-9) || !(s.NIST >= 0) || math.IsInf(s.NIST, 0) {
			t.Fatalf("out of range: %+v", s)
		}
		before, err := E2EBLEU(items)
		if err != nil {
			t.Fatal(err)
		}
		items[0].References = append(items[0].References, text(t, "one more"))
		after, err := E2EBLEU(items)
		if err != nil {
			t.Fatal(err)
		}
		for n := range before.Matches {
			if after.Matches[n] < before.Matches[n] {
				t.Fatalf("%d-gram matches fell from %d to %d with a reference more", n+1, before.Matches[n], after.Matches[n])
			}
		}
	})
}

// TestPerfectOutputs checks that what repeats a reference is perfect.
func TestPerfectOutputs(t *testing.T) {
	items := []Item{
		{"The Vaults is a pub near Café Adriatic.", []string{"No.", "The Vaults is a pub near Café Adriatic."}},
		{"北京 is a naïve city in the north", []string{"北京 is a naïve city in the north"}},
	}
	s, err := ScoreText(items)
	if err != nil {
		t.Fatal(err)
	}
	if s.BLEU != 1 || s.ROUGEL != 1 {
		t.Errorf("BLEU %g and ROUGE-L %g of outputs that are references", s.BLEU, s.ROUGEL)
	}
	if f, err := MeanDialogF1(items); err != nil || f != 1 {
		t.Errorf("F1 %g, %v", f, err)
	}
	sacre, err := SacreBLEU(items, BLEUOptions{})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "sacrebleu", sacre.Score, 100, 1e-12)
}

// TestEmptyAndShort says what texts without words or with one are worth.
func TestEmptyAndShort(t *testing.T) {
	for _, c := range []struct {
		name        string
		item        Item
		bleu, rouge float64
	}{
		{"empty output", Item{"", []string{"a pub"}}, 0, 0},
		{"empty reference", Item{"a pub", []string{""}}, 0, 0},
		{"both empty", Item{"", []string{""}}, 0, 1}, // one empty token equals the other, as in COCO
		{"one word", Item{"pub", []string{"pub"}}, 0, 1},
		{"nothing in common", Item{"x y z w", []string{"a b c d"}}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := ScoreText([]Item{c.item})
			if err != nil {
				t.Fatal(err)
			}
			if s.BLEU != c.bleu || s.ROUGEL != c.rouge || s.CIDEr != 0 || math.IsNaN(s.NIST) {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestWithoutItems checks that what can't be scored is refused, with its number.
func TestWithoutItems(t *testing.T) {
	for _, items := range [][]Item{nil, {{"a", []string{"a"}}, {"b", nil}}} {
		for name, score := range map[string]func() error{
			"text":  func() error { _, err := ScoreText(items); return err },
			"rouge": func() error { _, err := ROUGEL(items); return err },
			"cider": func() error { _, err := CIDEr(items); return err },
			"sacre": func() error { _, err := SacreBLEU(items, BLEUOptions{}); return err },
			"f1":    func() error { _, err := MeanDialogF1(items); return err },
		} {
			if err := score(); !errors.Is(err, ErrInput) {
				t.Errorf("%s of %d items: %v", name, len(items), err)
			}
		}
	}
	for _, o := range []BLEUOptions{{Tokenizer: "zh"}, {Smoothing: "plus"}, {MaxOrder: 10}, {SmoothingValue: new(float64)}} {
		_, err := SacreBLEU([]Item{{"a", []string{"a"}}}, o)
		if bad := o.SmoothingValue == nil; bad != errors.Is(err, ErrInput) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
