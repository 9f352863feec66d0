package runtime

// MaxTokens is the longest text, in tokens, that the model takes: its positions by
// config.json or the fixed length of its input; 0 where nothing says.
func (m *Model) MaxTokens() (int, error) {
	inputs, _, err := m.Signature()
	if err != nil {
		return 0, err
	}
	config, err := m.readConfig()
	if err != nil {
		return 0, err
	}
	for _, in := range inputs {
		if in.Name == "input_ids" && len(in.Dims) == 2 && in.Dims[1] > 0 {
			return int(in.Dims[1]), nil
		}
	}
	return int(config.Positions), nil
}
