package runtime

import "github.com/ghostwriter-dp/ghostwriter/runtime/ort"

// Signature returns what a run must be fed and what it gives, as the model
// declares it. It opens the session, so an error says that the model can't run.
func (m *Model) Signature() (inputs, outputs []ort.Info, err error) {
	s, err := m.session()
	if err != nil {
		return nil, nil, err
	}
	return s.Inputs(), s.Outputs(), nil
}
