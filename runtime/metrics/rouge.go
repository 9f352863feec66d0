package metrics

// rougeBeta weighs recall in ROUGE-L as the COCO caption evaluation does.
const rougeBeta = 1.2

// ROUGEL is ROUGE-L (Lin 2004) of each item as the COCO caption evaluation computes it: with the length L of the longest
// common subsequence of output o and reference r, the best of each over the references,
//
//	P = max L/|o|,   R = max L/|r|,   F = (1+β²)·P·R/(R + β²·P),   β = 1.2
//
// on the tokens of [COCOTokens]. A text without a token counts as one empty token, as there.
func ROUGEL(items []Item) ([]float64, error) {
	if err := checkItems(items); err != nil {
		return nil, err
	}
	return rouge(cocoItems(items)), nil
}

func rouge(items []wordItem) []float64 {
	out := make([]float64, len(items))
	for i, item := range items {
		var precision, recall float64
		output := orEmpty(item.output)
		for _, r := range item.references {
			r = orEmpty(r)
			l := float64(common(output, r))
			precision = max(precision, l/float64(len(output)))
			recall = max(recall, l/float64(len(r)))
		}
		if precision > 0 && recall > 0 {
			out[i] = (1 + rougeBeta*rougeBeta) * precision * recall / (recall + rougeBeta*rougeBeta*precision)
		}
	}
	return out
}

// orEmpty is the one empty token of a text without any.
func orEmpty(words []int32) []int32 {
	if len(words) == 0 {
		return []int32{0}
	}
	return words
}

// common is the length of the longest common subsequence, row by row of the usual table.
func common(a, b []int32) int {
	row := make([]int, len(b)+1)
	for _, x := range a {
		diagonal := 0
		for j, y := range b {
			above := row[j+1]
			if x == y {
				row[j+1] = diagonal + 1
			} else {
				row[j+1] = max(above, row[j])
			}
			diagonal = above
		}
	}
	return row[len(b)]
}

// cocoItems splits all references and then all outputs, as the COCO caption evaluation does.
func cocoItems(items []Item) []wordItem {
	var references, outputs []string
	for _, item := range items {
		references = append(references, item.References...)
		outputs = append(outputs, item.Output)
	}
	v := vocabulary{}
	out := make([]wordItem, len(items))
	words := COCOTokens(references)
	for i, item := range items {
		for range item.References {
			out[i].references = append(out[i].references, v.number(words[0]))
			words = words[1:]
		}
	}
	for i, words := range COCOTokens(outputs) {
		out[i].output = v.number(words)
	}
	return out
}

// mean is the arithmetic mean of at least one number.
func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
