package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// shownSentences is how many generated sentences are printed.
const shownSentences = 3

// score generates a text for every held-out record, prints some, and prints
// their agreement with the references.
func (d *demo) score(ctx context.Context, model string) error {
	records, err := d.records(ctx)
	if err != nil {
		return err
	}
	prompts, err := d.prompts(model, records)
	if err != nil {
		return err
	}
	out, err := d.ghostwriter(ctx, "generate", model, "--prompt-ids", prompts, "--max-new-tokens", "48", "--json")
	if err != nil {
		return err
	}
	var generated struct {
		Outputs []struct {
			Text string `json:"text"`
		} `json:"outputs"`
	}
	if err := json.Unmarshal([]byte(out), &generated); err != nil {
		return fmt.Errorf("generate: %w", err)
	}
	if len(generated.Outputs) != len(records) {
		return fmt.Errorf("generate: %d texts for %d records", len(generated.Outputs), len(records))
	}
	var texts, references []string
	for i, r := range records {
		texts, references = append(texts, strings.TrimSpace(generated.Outputs[i].Text)), append(references, r.Target)
		if i < shownSentences {
			d.printf("  table      %s\n  reference  %s\n  generated  %s\n", r.Source, r.Target, texts[i])
		}
	}
	d.printf("agreement with %d references (BLEU-4 on words): %.3f\n", len(records), bleu(texts, references))
	return nil
}

// records are the held-out ones: public here, since they are synthetic.
func (d *demo) records(ctx context.Context) ([]tokenize.Record, error) {
	records, err := tokenize.ReadFile(ctx, filepath.Join(d.data, "private-test.csv"), tokenize.DataFormat{Task: tokenize.TaskE2E})
	return records[:min(d.heldOut, len(records))], err
}

// prompts writes the ids before which each record's text starts.
func (d *demo) prompts(model string, records []tokenize.Record) (string, error) {
	t, err := tokenize.Load(model)
	if err != nil {
		return "", err
	}
	format, err := tokenize.NewTableToText(t, 100)
	if err != nil {
		return "", err
	}
	var lines strings.Builder
	for _, r := range records {
		ids, err := format.Prompt(r)
		if err != nil {
			return "", err
		}
		if err := json.NewEncoder(&lines).Encode(ids); err != nil {
			return "", err
		}
	}
	path := filepath.Join(d.dir, "prompts.jsonl")
	return path, os.WriteFile(path, []byte(lines.String()), 0o644)
}

// bleu is corpus BLEU-4 against one reference each, words and punctuation apart:
//
//	BP · exp(¼ Σ_{n=1..4} log p_n),   p_n clipped n-gram precision,   BP = min(1, e^{1−r/c})
//
// (Papineni et al. 2002). It is for comparing two outputs of this demo; the words
// are not split as the published figures' scripts do.
func bleu(outputs, references []string) float64 {
	var matched, total [4]float64
	var c, r float64
	for i, o := range outputs {
		out, ref := words(o), words(references[i])
		c, r = c+float64(len(out)), r+float64(len(ref))
		for n := 1; n <= 4; n++ {
			have := grams(ref, n)
			for gram, count := range grams(out, n) {
				matched[n-1] += float64(min(count, have[gram]))
				total[n-1] += float64(count)
			}
		}
	}
	var sum float64
	for n := range matched {
		if matched[n] == 0 {
			return 0
		}
		sum += math.Log(matched[n]/total[n]) / 4
	}
	return math.Exp(sum) * math.Min(1, math.Exp(1-r/c))
}

func words(s string) []string {
	return strings.Fields(strings.NewReplacer(".", " . ", ",", " , ", ";", " ; ").Replace(s))
}

func grams(words []string, n int) map[string]int {
	out := map[string]int{}
	for i := 0; i+n <= len(words); i++ {
		out[strings.Join(words[i:i+n], " ")]++
	}
	return out
}
