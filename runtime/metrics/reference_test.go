package metrics

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// shared is the folder of reference values and data of others; tests that need it are skipped where it is not.
const shared = "../../../shared/data"

func readShared(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(shared, path))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("%s is not here", filepath.Join(shared, path))
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readSharedJSON(t *testing.T, path string, v any) {
	t.Helper()
	if err := json.Unmarshal(readShared(t, path), v); err != nil {
		t.Fatal(err)
	}
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s: %.17g, want %.17g", what, got, want)
	}
}

func lines(s string) []string { return strings.Split(strings.TrimSuffix(s, "\n"), "\n") }

// exampleItems are e2e-metrics' example: ten outputs, references in groups between blank lines.
func exampleItems(t *testing.T) []Item {
	t.Helper()
	outputs := lines(string(readShared(t, "e2e-metrics-example/baseline-output.txt")))
	items := make([]Item, len(outputs))
	i := 0
	for _, l := range lines(string(readShared(t, "e2e-metrics-example/devel-conc.txt"))) {
		if strings.TrimSpace(l) == "" {
			i++
			continue
		}
		items[i].References = append(items[i].References, l)
	}
	for i, o := range outputs {
		items[i].Output = o
	}
	return items
}

type e2eExample struct {
	BLEU   float64 `json:"pymteval_BLEU"`
	NIST   float64 `json:"pymteval_NIST"`
	Counts struct {
		Hits   []int `json:"hits"`
		Cand   []int `json:"cand"`
		RefLen int   `json:"ref_len"`
	} `json:"pymteval_counts"`
	Perl struct {
		NIST float64
		BLEU float64
	} `json:"perl_mteval_v13a"`
	ROUGE    float64    `json:"ROUGE_L_ptb_approx"`
	ROUGEPer []float64  `json:"ROUGE_L_per"`
	CIDEr    float64    `json:"CIDEr_ptb_approx"`
	CIDErPer []float64  `json:"CIDEr_per"`
	Tokens   [][]string `json:"tokenized_sys"`
	PTB      []string   `json:"ptb_sys"`
	PTBRef   []string   `json:"ptb_ref0"`
	RawROUGE float64    `json:"ROUGE_L_raw_lower_whitespace"`
}

// TestE2EExample holds every metric against what e2e-metrics and mteval-v13a.pl gave for the example.
func TestE2EExample(t *testing.T) {
	items := exampleItems(t)
	var want e2eExample
	readSharedJSON(t, "metrics/e2e_example.json", &want)
	bleu, err := E2EBLEU(items)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "BLEU", bleu.Score, want.BLEU, 1e-15)
	for n := range 4 {
		if bleu.Matches[n] != want.Counts.Hits[n] || bleu.Totals[n] != want.Counts.Cand[n] {
			t.Errorf("%d-grams: %d of %d, want %d of %d", n+1, bleu.Matches[n], bleu.Totals[n], want.Counts.Hits[n], want.Counts.Cand[n])
		}
	}
	if bleu.ReferenceLength != want.Counts.RefLen {
		t.Errorf("reference length %d, want %d", bleu.ReferenceLength, want.Counts.RefLen)
	}
	nist, err := NIST(items)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "NIST", nist.Score, want.NIST, 1e-14)
	near(t, "NIST of mteval-v13a.pl", nist.Padded, want.Perl.NIST, 5e-5) // printed with four digits
	rouge, err := ROUGEL(items)
	if err != nil {
		t.Fatal(err)
	}
	cider, err := CIDEr(items)
	if err != nil {
		t.Fatal(err)
	}
	for i := range items {
		near(t, "ROUGE-L", rouge[i], want.ROUGEPer[i], 1e-15)
		near(t, "CIDEr", cider[i], want.CIDErPer[i], 1e-14)
	}
	scores, err := ScoreText(items)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "mean ROUGE-L", scores.ROUGEL, want.ROUGE, 1e-15)
	near(t, "mean CIDEr", scores.CIDEr, want.CIDEr, 1e-14)
}

// TestE2ETokens holds the tokens of the example's first outputs and references.
func TestE2ETokens(t *testing.T) {
	items := exampleItems(t)
	var want e2eExample
	readSharedJSON(t, "metrics/e2e_example.json", &want)
	for i, w := range want.Tokens {
		if got := Tokens13a(items[i].Output); strings.Join(got, "|") != strings.Join(w, "|") {
			t.Errorf("13a: %q, want %q", got, w)
		}
	}
	for i, w := range want.PTB {
		if got := strings.Join(COCOTokens([]string{items[i].Output})[0], " "); got != w {
			t.Errorf("PTB: %q, want %q", got, w)
		}
	}
	for i, w := range want.PTBRef {
		if got := strings.Join(COCOTokens([]string{items[0].References[i]})[0], " "); got != w {
			t.Errorf("PTB: %q, want %q", got, w)
		}
	}
}

// TestROUGEOfOtherTokens holds ROUGE-L on lower-cased words between blanks, which leaves the tokenizer out.
func TestROUGEOfOtherTokens(t *testing.T) {
	var want e2eExample
	readSharedJSON(t, "metrics/e2e_example.json", &want)
	v := vocabulary{}
	var items []wordItem
	for _, item := range exampleItems(t) {
		c := wordItem{output: v.number(strings.Split(strings.ToLower(item.Output), " "))}
		for _, r := range item.References {
			c.references = append(c.references, v.number(strings.Split(strings.ToLower(r), " ")))
		}
		items = append(items, c)
	}
	near(t, "ROUGE-L", mean(rouge(items)), want.RawROUGE, 1e-15)
}

type sacreScore struct {
	Score  float64 `json:"score"`
	Counts []int   `json:"counts"`
	Totals []int   `json:"totals"`
	BP     float64 `json:"bp"`
	SysLen int     `json:"sys_len"`
	RefLen int     `json:"ref_len"`
	Sig    string  `json:"sig"`
}

// TestSacreBLEU holds corpus scores, counts, penalties and signatures against sacrebleu's.
func TestSacreBLEU(t *testing.T) {
	items := exampleItems(t)
	var all map[string]json.RawMessage
	readSharedJSON(t, "metrics/sacre.json", &all)
	for name, o := range map[string]BLEUOptions{
		"corpus_default":   {},
		"corpus_lowercase": {Lowercase: true},
		"corpus_none":      {Smoothing: SmoothNone},
		"corpus_floor":     {Smoothing: SmoothFloor},
		"corpus_addk":      {Smoothing: SmoothAddK},
		"corpus_tok_none":  {Tokenizer: TokenizerNone},
		"corpus_tok_intl":  {Tokenizer: TokenizerIntl},
		"corpus_char":      {Tokenizer: TokenizerChar},
	} {
		t.Run(name, func(t *testing.T) {
			var want sacreScore
			if err := json.Unmarshal(all[name], &want); err != nil {
				t.Fatal(err)
			}
			got, err := SacreBLEU(items, o)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "score", got.Score, want.Score, 1e-12)
			near(t, "brevity penalty", got.BrevityPenalty, want.BP, 1e-15)
			added := 0 // sacrebleu reports add-k's counts with k added
			for n := range got.Matches {
				if o.Smoothing == SmoothAddK && n > 0 {
					added = 1
				}
				if got.Matches[n]+added != want.Counts[n] || got.Totals[n]+added != want.Totals[n] {
					t.Errorf("%d-grams: %d of %d, want %d of %d", n+1, got.Matches[n], got.Totals[n], want.Counts[n], want.Totals[n])
				}
			}
			if got.OutputLength != want.SysLen || got.ReferenceLength != want.RefLen {
				t.Errorf("lengths %d, %d, want %d, %d", got.OutputLength, got.ReferenceLength, want.SysLen, want.RefLen)
			}
			signature, err := o.Signature(items)
			if err != nil {
				t.Fatal(err)
			}
			without := func(s string) string { return s[:strings.LastIndex(s, "|version:")] }
			if without(signature) != without(want.Sig) {
				t.Errorf("signature %q, want %q", signature, want.Sig)
			}
		})
	}
}

// TestSentenceBLEU holds sentence scores against sacrebleu's, and those of e2e-metrics with one added to every count.
func TestSentenceBLEU(t *testing.T) {
	items := exampleItems(t)
	var want struct {
		Effective []float64 `json:"sentence_eff"`
		Plain     []float64 `json:"sentence_noeff"`
		AddK      []float64 `json:"sentence_addk"`
		Floor     []float64 `json:"sentence_floor"`
		Pairs     []struct {
			Hyp       string
			Refs      []string
			Effective float64 `json:"bleu_eff"`
			Plain     float64 `json:"bleu"`
			Lower     float64 `json:"bleu_lc"`
		}
	}
	readSharedJSON(t, "metrics/sacre.json", &want)
	sentence := func(item Item, o BLEUOptions) float64 {
		s, err := SentenceBLEU(item, o)
		if err != nil {
			t.Fatal(err)
		}
		return s.Score
	}
	corpus := func(item Item, o BLEUOptions) float64 {
		s, err := SacreBLEU([]Item{item}, o)
		if err != nil {
			t.Fatal(err)
		}
		return s.Score
	}
	for i, item := range items {
		near(t, "effective order", sentence(item, BLEUOptions{}), want.Effective[i], 1e-12)
		near(t, "full order", corpus(item, BLEUOptions{}), want.Plain[i], 1e-12)
		near(t, "add-k", sentence(item, BLEUOptions{Smoothing: SmoothAddK}), want.AddK[i], 1e-12)
		near(t, "floor", sentence(item, BLEUOptions{Smoothing: SmoothFloor}), want.Floor[i], 1e-12)
	}
	for _, p := range want.Pairs {
		item := Item{p.Hyp, p.Refs}
		near(t, p.Hyp, sentence(item, BLEUOptions{}), p.Effective, 1e-12)
		near(t, p.Hyp+" (full order)", corpus(item, BLEUOptions{}), p.Plain, 1e-12)
		near(t, p.Hyp+" (lower case)", sentence(item, BLEUOptions{Lowercase: true}), p.Lower, 1e-12)
	}
}

// TestTokens13a holds sacrebleu's tokens.
func TestTokens13a(t *testing.T) {
	var want struct {
		Tokens map[string]string `json:"tok13a"`
	}
	readSharedJSON(t, "metrics/sacre.json", &want)
	if len(want.Tokens) == 0 {
		t.Fatal("no cases")
	}
	for in, w := range want.Tokens {
		if got := strings.Join(Tokens13a(in), " "); got != w {
			t.Errorf("%q: %q, want %q", in, got, w)
		}
	}
}

// TestDialogF1 holds ParlAI's F1, and the words it is over.
func TestDialogF1(t *testing.T) {
	var want struct {
		Cases []struct {
			Guess   string
			Answers []string
			Norm    string
			F1      float64
		} `json:"parlai_f1"`
		Mean float64 `json:"parlai_f1_e2e_mean"`
	}
	readSharedJSON(t, "metrics/sacre.json", &want)
	for _, c := range want.Cases {
		if got := strings.Join(dialogWords(c.Guess), " "); got != c.Norm {
			t.Errorf("words of %q: %q, want %q", c.Guess, got, c.Norm)
		}
		near(t, c.Guess, DialogF1(Item{c.Guess, c.Answers}), c.F1, 1e-15)
	}
	got, err := MeanDialogF1(exampleItems(t))
	if err != nil {
		t.Fatal(err)
	}
	near(t, "mean over the example", got, want.Mean, 1e-14)
}
