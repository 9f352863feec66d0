// Package metrics scores texts and labels: BLEU, NIST, ROUGE-L and CIDEr of generated texts against references,
// accuracy, F1 and Matthews' coefficient of classes, perplexity of log-likelihoods, and the F1 of words that dialogues
// are scored by. It knows no model:
//
//	scores, err := metrics.ScoreText([]metrics.Item{{Output: "a pub", References: []string{"the pub", "a pub"}}})
//
// # Whose numbers
//
// Each metric is that of the program which published figures come from, tokenizer included, because a different
// tokenizer changes a score more than a different model does:
//
//   - BLEU and NIST of the E2E challenge's e2e-metrics (mteval-v13a tokens, lower case): [E2EBLEU], [NIST];
//   - BLEU of sacrebleu 2 with its tokenizers, smoothings and signature: [SacreBLEU], [SentenceBLEU];
//   - ROUGE-L and CIDEr of the COCO caption evaluation, on the tokens of Stanford's Penn Treebank tokenizer as COCO
//     calls it ([COCOTokens]): [ROUGEL], [CIDEr];
//   - F1 of ParlAI: [DialogF1].
//
// METEOR is left out: it needs its paraphrase tables and a stemmer of its own, and no library for Go has it.
//
// Scores are reproducible to the last bit: sums run in the order of the items and of the n-grams' first occurrence.
//
// # Errors
//
// An error about a file or an item wraps [ErrInput] and names file and row, never the text.
package metrics
