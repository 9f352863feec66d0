package ghost

import (
	"fmt"
	"sort"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// IndexLimit returns, for each integer input that is used directly as index
// into tables, the smallest number of rows of those tables and one table's name.
func (p *Prepared) IndexLimit() map[string]IndexLimit {
	source := map[string]string{}
	for _, in := range p.Graph.Inputs {
		source[in.Name] = in.Name
	}
	out := map[string]IndexLimit{}
	for _, n := range p.Graph.Nodes {
		switch n.Op {
		case "Reshape", "Cast", "Identity", "Unsqueeze", "Squeeze", "Flatten":
			if s := source[n.Input(0)]; s != "" {
				source[n.Output(0)] = s
			}
		case "Gather":
			t, isTable := p.Graph.Inits[n.Input(0)]
			s := source[n.Input(1)]
			if !isTable || s == "" || n.Int("axis", 0) != 0 || len(t.Dims) == 0 {
				continue
			}
			if l, ok := out[s]; !ok || t.Dims[0] < l.Rows {
				out[s] = IndexLimit{t.Dims[0], t.Name}
			}
		}
	}
	return out
}

// An IndexLimit is the number of rows of the table that an input indexes.
type IndexLimit struct {
	Rows  int64
	Table string
}

// CheckIndices refuses an index beyond its table, naming input and table but
// not the index's place: the data are private. values holds integer inputs.
func (p *Prepared) CheckIndices(values map[string][]int64) error {
	limits := p.IndexLimit()
	names := make([]string, 0, len(limits))
	for name := range limits {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		l := limits[name]
		for _, v := range values[name] {
			if v >= l.Rows || v < -l.Rows {
				return fmt.Errorf("%w: input %q holds the id %d, but the model's table %q has %d rows", ir.ErrInvalid, name, v, l.Table, l.Rows)
			}
		}
	}
	return nil
}
