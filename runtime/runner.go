package runtime

import (
	"context"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// A Runner takes the place of the forward pass in Model.Run: feeds are checked and
// of the widths that the model declares, outputs are those asked for, nil for
// all. It ends in Model.RunDirect.
type Runner func(ctx context.Context, feeds map[string]*ort.Tensor, outputs []string) (map[string]*ort.Tensor, error)

// SetRunner lets every Run of the model, those of Classify and Embed included, go
// through r: a server joins what several callers want at the same time. It must
// be called before the model is shared.
func (m *Model) SetRunner(r Runner) { m.runner = r }

// RunDirect is the forward pass itself, past any Runner. Feeds must be what the
// model declares.
func (m *Model) RunDirect(ctx context.Context, feeds map[string]*ort.Tensor, outputs []string) (map[string]*ort.Tensor, error) {
	s, err := m.session()
	if err != nil {
		return nil, err
	}
	return s.Run(ctx, feeds, ort.Outputs(outputs...)...)
}
