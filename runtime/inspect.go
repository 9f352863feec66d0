package runtime

import (
	"errors"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// A Report says how a model would be trained.
type Report struct {
	*ghost.Report
	File    *ir.Model
	Aliases [][]string
	Repairs []string
}

// Inspect analyses the model for training without running it: every parameter,
// its uses and how its norm is computed, what can't be differentiated, and
// whether records are proven not to mix. It needs no runtime library.
func (m *Model) Inspect(trainable, freeze []string) (*Report, error) {
	p, err := m.Prepared()
	if err != nil {
		return nil, err
	}
	r, err := p.Inspect(trainable, freeze)
	if err != nil {
		return nil, usageUnless(err)
	}
	return &Report{Report: r, File: m.file, Aliases: aliasGroups(p), Repairs: p.Graph.Repairs}, nil
}

// Gaps joins what keeps the model from being trained; nil when nothing does.
func (r *Report) Gaps() error {
	return errors.Join(slices.Concat(r.Unsupported.Errors(), []error{r.Mixed})...)
}

// aliasGroups lists the names under which one parameter lies in the file.
func aliasGroups(p *ghost.Prepared) [][]string {
	byRoot := map[string][]string{}
	var order []string
	for _, a := range p.Graph.Aliases {
		if byRoot[a.Root] == nil {
			byRoot[a.Root] = []string{a.Root}
			order = append(order, a.Root)
		}
		byRoot[a.Root] = append(byRoot[a.Root], a.Name)
	}
	out := [][]string{}
	for _, root := range order {
		out = append(out, byRoot[root])
	}
	return out
}
