package ghost

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// With groups, norms and factors are [B,K]: the rules of clip.go take them as they
// are, C_k = clip_norm·share_k being [K] and the records that count [B,1].

// group settles the groups of the trained parameters.
func (c *compiler) group() (err error) {
	if c.spec.Pass == Weighted && c.spec.ClipPer != Whole {
		return fmt.Errorf("%w: a weighted pass has one weight for each record; gradients are clipped per %s in one pass", ir.ErrInvalid, c.spec.ClipPer)
	}
	c.out.Groups, err = c.model.groups(c.spec.ClipPer, c.spec.ClipShares, c.out.Trained)
	return err
}

// total adds the squared norms of all parameters, [B], and with groups also those of
// each group, [B,K]. They are added in the order of the file: the runtime takes the
// last input first.
func (c *compiler) total(squares map[string]string) (total, byGroup string) {
	order := slices.Clone(c.collected.order)
	slices.Reverse(order)
	if len(c.out.Groups) == 0 {
		all := make([]string, len(order))
		for i, name := range order {
			all[i] = squares[name]
		}
		return c.Sum(all), ""
	}
	sums, columns := make([]string, len(c.out.Groups)), make([]string, len(c.out.Groups))
	for k, g := range c.out.Groups {
		var own []string
		for _, name := range order {
			if slices.Contains(g.Parameters, name) {
				own = append(own, squares[name])
			}
		}
		sums[k] = c.Sum(own)
		columns[k] = c.Unsqueeze(sums[k], 1)
	}
	return c.Sum(sums), c.Op("Concat", ir.Attrs{"axis": int64(1)}, columns...)
}

// floored returns √(‖g_k‖² + (GroupFloor·‖g‖)²), [B,K], of the groups' norms [B,K] and
// the whole's [B].
func (c *compiler) floored(groups, whole string) string {
	floor := c.Scale(whole, GroupFloor)
	return c.Op("Sqrt", nil, c.Add(c.Mul(groups, groups), c.Unsqueeze(c.Mul(floor, floor), 1)))
}

// clipTo is what norms are clipped to: C, or with groups the C_k as [K].
func (c *compiler) clipTo() string {
	if len(c.out.Groups) == 0 {
		return c.out.ClipNorm
	}
	shares := make([]float32, len(c.out.Groups))
	for k, g := range c.out.Groups {
		shares[k] = float32(g.Share)
	}
	return c.Mul(c.out.ClipNorm, c.Floats("shares", shares...))
}

// byRecord gives a value [B] the shape of the factors.
func (c *compiler) byRecord(v string) string {
	if len(c.out.Groups) == 0 {
		return v
	}
	return c.Unsqueeze(v, 1)
}

// factorsByParameter cuts the groups' factors into one [B] for each group, by
// parameter; nil without groups.
func (c *compiler) factorsByParameter(factor string) map[string]string {
	if len(c.out.Groups) == 0 {
		return nil
	}
	c.Enter("factor")
	c.Name("clip")
	out := map[string]string{}
	for k, g := range c.out.Groups {
		own := c.Op("Gather", ir.Attrs{"axis": int64(1)}, factor, c.Int(int64(k)))
		for _, name := range g.Parameters {
			out[name] = own
		}
	}
	return out
}

// groupMetadata says in the program's metadata which parameters are clipped
// together, in the order of the factors' columns.
func groupMetadata(groups []Group) (string, error) {
	type entry struct {
		Name       string   `json:"name"`
		Share      float64  `json:"share"`
		Parameters []string `json:"parameters"`
	}
	list := make([]entry, len(groups))
	for k, g := range groups {
		list[k] = entry{g.Name, g.Share, g.Parameters}
	}
	data, err := json.Marshal(list)
	return string(data), err
}
