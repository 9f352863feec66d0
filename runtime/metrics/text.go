package metrics

// TextScores are the metrics of generated texts that the E2E challenge reports.
type TextScores struct {
	BLEU    float64 `json:"bleu"`        // E2EBLEU, in [0, 1]
	NIST    float64 `json:"nist"`        // NISTScore.Score
	ROUGEL  float64 `json:"rouge_l"`     // mean of ROUGEL
	CIDEr   float64 `json:"cider"`       // mean of CIDEr
	Padded  float64 `json:"nist_padded"` // NISTScore.Padded, the challenge's published form
	Outputs int     `json:"outputs"`     // items scored
}

// ScoreText computes all metrics of generated texts.
func ScoreText(items []Item) (TextScores, error) {
	if err := checkItems(items); err != nil {
		return TextScores{}, err
	}
	words, coco := splitItems(items, tokens13aLower), cocoItems(items)
	n := nist(words)
	return TextScores{BLEU: e2eBLEU(words).Score, NIST: n.Score, Padded: n.Padded, ROUGEL: mean(rouge(coco)),
		CIDEr: mean(cider(coco)), Outputs: len(items)}, nil
}
