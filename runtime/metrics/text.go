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
	bleu, err := E2EBLEU(items)
	if err != nil {
		return TextScores{}, err
	}
	nist, err := NIST(items)
	if err != nil {
		return TextScores{}, err
	}
	coco := cocoItems(items)
	return TextScores{BLEU: bleu.Score, NIST: nist.Score, Padded: nist.Padded, ROUGEL: mean(rouge(coco)),
		CIDEr: mean(cider(coco)), Outputs: len(items)}, nil
}
