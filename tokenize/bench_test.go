package tokenize

import (
	"context"
	"testing"
)

// benchTexts are real rows where the shared material is there, otherwise the fixtures' strings.
func benchTexts(b *testing.B) []string {
	records, err := ReadFile(context.Background(), "../../shared/data/e2e/trainset.csv", e2eFormat)
	var texts []string
	if err != nil {
		for _, c := range readExpected(b)["bpe"].Texts {
			texts = append(texts, c.Text)
		}
		return texts
	}
	for _, r := range records {
		source, err := E2ESource(r.Source)
		if err != nil {
			b.Fatal(err)
		}
		texts = append(texts, " "+source+" <|endoftext|> "+r.Target+" <|endoftext|>")
	}
	return texts
}

func benchTokenizers(b *testing.B) map[string]*Tokenizer {
	out := map[string]*Tokenizer{}
	for name, path := range map[string]string{"gpt2": "gpt2/tokenizer.json", "bert-uncased": "bert/bert-base-uncased-vocab.txt"} {
		tok, err := Load(sharedTokenizers + "/" + path)
		if err != nil {
			tok = load(b, map[string]string{"gpt2": "testdata/bpe", "bert-uncased": "testdata/wordpiece"}[name])
		}
		out[name] = tok
	}
	// Vocabularies of these kinds are not among the shared material: small ones, so more tokens a word.
	out["unigram"], out["byte-fallback"] = load(b, "testdata/kinds/t5.json"), load(b, "testdata/kinds/llama2.json")
	out["cl100k"] = load(b, "testdata/kinds/llama3.json")
	return out
}

// BenchmarkEncode is one core; tokens/s is the figure to compare.
func BenchmarkEncode(b *testing.B) {
	texts := benchTexts(b)
	for name, tok := range benchTokenizers(b) {
		b.Run(name, func(b *testing.B) {
			tokens, i := 0, 0
			for b.Loop() {
				ids, err := tok.Encode(texts[i%len(texts)])
				if err != nil {
					b.Fatal(err)
				}
				tokens += len(ids)
				i++
			}
			b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

// BenchmarkEncodeUncached is one core without the pre-token cache: what text that never repeats costs.
func BenchmarkEncodeUncached(b *testing.B) {
	texts := benchTexts(b)
	for name, tok := range benchTokenizers(b) {
		b.Run(name, func(b *testing.B) {
			tokens, i := 0, 0
			var ids []int32
			for b.Loop() {
				text := texts[i%len(texts)]
				ids = ids[:0]
				err := tok.walk(text, false, func(a *aligned, id int32) {
					if id >= 0 {
						ids = append(ids, id)
						return
					}
					ids = tok.wordIDs(ids, a.text)
				})
				if err != nil {
					b.Fatal(err)
				}
				tokens += len(ids)
				i++
			}
			b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

// BenchmarkEncodeDetailed is one core with offsets.
func BenchmarkEncodeDetailed(b *testing.B) {
	texts := benchTexts(b)
	for name, tok := range benchTokenizers(b) {
		b.Run(name, func(b *testing.B) {
			tokens, i := 0, 0
			for b.Loop() {
				d, err := tok.EncodeDetailed(Text{First: texts[i%len(texts)]}, EncodeOptions{})
				if err != nil {
					b.Fatal(err)
				}
				tokens += d.Len()
				i++
			}
			b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

// BenchmarkDecode is one core.
func BenchmarkDecode(b *testing.B) {
	texts := benchTexts(b)
	for name, tok := range benchTokenizers(b) {
		b.Run(name, func(b *testing.B) {
			ids := mustEncode(b, tok, texts[0])
			tokens := 0
			for b.Loop() {
				if tok.Decode(ids, false) == "" {
					b.Fatal("no text")
				}
				tokens += len(ids)
			}
			b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

// BenchmarkE2E reads and formats the whole E2E training set on all cores.
func BenchmarkE2E(b *testing.B) {
	tok, err := Load(sharedTokenizers + "/gpt2/tokenizer.json")
	if err != nil {
		b.Skip(err)
	}
	f, err := NewTableToText(tok, 100)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		records, err := ReadFile(context.Background(), "../../shared/data/e2e/trainset.csv", e2eFormat)
		if err != nil {
			b.Skip(err)
		}
		if _, err := FormatAll(context.Background(), f, records, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := Load(sharedTokenizers + "/gpt2/tokenizer.json"); err != nil {
			b.Skip(err)
		}
	}
}
