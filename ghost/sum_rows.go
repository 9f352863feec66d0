package ghost

import (
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// RowSum names the outputs that hold the look-ups' share of a table's sum where it
// is not added into the table (Spec.RowsApart): Σ_k e_{IDs_k} Values_kᵀ.
type RowSum struct {
	IDs    string // int64 [N], rows of the table, in any order and repeated
	Values string // float32 [N,c]
	Width  int64  // c
}

// splitRows takes the look-ups out of the parts of a table that is large.
func (c *compiler) splitRows(p Parameter, parts []contribution) (rest []contribution, lookUps []rows) {
	if c.spec.RowsApart == 0 || p.Elements() < c.spec.RowsApart {
		return parts, nil
	}
	for _, part := range parts {
		if r, ok := part.(rows); ok {
			lookUps = append(lookUps, r)
		} else {
			rest = append(rest, part)
		}
	}
	return rest, lookUps
}

// emitRows emits the ids and the weighted rows of look-ups.
func (c *compiler) emitRows(s *summer, p Parameter, lookUps []rows) RowSum {
	ids, values := make([]string, len(lookUps)), make([]string, len(lookUps))
	for i, r := range lookUps {
		g := s.Shape(r.G)
		n := sym.Mul(g[0], g[1])
		ids[i] = s.Reshape(s.Expand(r.IDs, g[:2]), []sym.Dim{n})
		values[i] = s.flat(s.weighted(r.G))
	}
	_, width := matrix(p.Shape)
	return RowSum{IDs: c.emit("row_ids."+p.Name, s.joined(ids)), Values: c.emit("row_sums."+p.Name, s.joined(values)), Width: width}
}

// joined joins values along their first axis.
func (s *summer) joined(values []string) string { return s.joinedAt(0, values) }

func (s *summer) joinedAt(axis int64, values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	return s.Op("Concat", ir.Attrs{"axis": axis}, slices.Clone(values)...)
}
