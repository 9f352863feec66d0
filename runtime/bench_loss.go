package runtime

// UsualLoss is the loss that a model's output suggests: causal-lm for scores of
// every token (seq2seq beside an encoder), classify for those of a record.
func UsualLoss(path, output, head string) (string, error) {
	m, err := Open(path, Options{Output: output, Head: head})
	if err != nil {
		return "", err
	}
	p, err := m.Prepared()
	if err != nil {
		return "", err
	}
	switch rank := p.Values.Of(p.Output).Rank(); {
	case p.Output == "":
		return "", usage("the model has several outputs; choose one with --output")
	case rank == 3 && p.Graph.Input("decoder_input_ids") != nil:
		return "seq2seq", nil
	case rank == 3:
		return "causal-lm", nil
	case rank == 2:
		return "classify", nil
	}
	return "", usage("output %q has shape %v; name the loss with --loss", p.Output, p.Values.Of(p.Output).Shape)
}
