package canon

import (
	"fmt"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

func equalDim(a, b sym.Dim) bool { return sym.Equal(a, b) }

// A rotation turns pairs of a head's coordinates by an angle that grows with
// the position (Su et al. 2021, RoFormer):
//
//	a′ = a·cos − b·sin,   b′ = b·cos + a·sin
//
// where a and b are the first and second half of the rotated width or,
// interleaved, its even and odd coordinates. The rest of the head passes.
type rotation struct {
	cos, sin    string // tables [positions, width/2], or already [B,T,width/2] where at is ""
	at          string // positions [T] or [B,T]
	interleaved bool
	headAxis    int64 // 1 for [B,heads,T,d], 2 for [B,T,heads,d]
}

// rotate emits the rotation of v.
func (x *expander) rotate(v, name string, r rotation) (string, error) {
	info := x.values.Of(v)
	if !info.Ranked || info.Rank() != 4 {
		return "", fmt.Errorf("rotated values %v", info)
	}
	whole, ok := info.Shape[3].Const()
	table := x.values.Of(r.cos)
	if !table.Ranked || !ok {
		return "", fmt.Errorf("rotary table %v for heads of %v", table, info.Shape[3])
	}
	half, ok := table.Shape[table.Rank()-1].Const()
	if !ok || 2*half > whole || half == 0 {
		return "", fmt.Errorf("rotary table %v for heads of width %d", table, whole)
	}
	cos, sin := x.angles(r.cos, name+"_cos", r), x.angles(r.sin, name+"_sin", r)
	turned, rest := v, ""
	if 2*half < whole {
		parts := x.split(v, name+"_rotary", 2*half, whole-2*half)
		turned, rest = parts[0], parts[1]
	}
	y := x.turn(turned, name, cos, sin, half, r.interleaved)
	if rest != "" {
		y = x.op("Concat", name+"_whole", ir.Attrs{"axis": int64(-1)}, y, rest)
	}
	return y, nil
}

// angles reads a table at the positions and makes room for the heads.
func (x *expander) angles(table, name string, r rotation) string {
	if r.at != "" {
		table = x.op("Gather", name, ir.Attrs{"axis": int64(0)}, table, r.at)
	}
	axis := r.headAxis
	if x.values.Of(table).Rank() == 2 { // [T, half]: no batch
		axis--
	}
	return x.op("Unsqueeze", name+"_heads", nil, table, x.ints(name+"_axis", axis))
}

// turn rotates a value whose whole last axis is 2·half wide.
func (x *expander) turn(v, name, cos, sin string, half int64, interleaved bool) string {
	var a, b string
	if interleaved {
		pairs := x.op("Reshape", name+"_pairs", nil, v, x.ints(name+"_pairs_shape", 0, 0, 0, half, 2))
		parts := x.split(pairs, name+"_pair", 1, 1)
		last := x.ints(name+"_last", -1)
		a, b = x.op("Squeeze", name+"_even", nil, parts[0], last), x.op("Squeeze", name+"_odd", nil, parts[1], last)
	} else {
		parts := x.split(v, name+"_half", half, half)
		a, b = parts[0], parts[1]
	}
	mul := func(p, q string) string { return x.op("Mul", name+"_term", nil, p, q) }
	first := x.op("Sub", name+"_first", nil, mul(a, cos), mul(b, sin))
	second := x.op("Add", name+"_second", nil, mul(b, cos), mul(a, sin))
	if !interleaved {
		return x.op("Concat", name+"_turned", ir.Attrs{"axis": int64(-1)}, first, second)
	}
	last := x.ints(name+"_new", -1)
	pair := x.op("Concat", name+"_turned_pairs", ir.Attrs{"axis": int64(-1)},
		x.op("Unsqueeze", name+"_even_back", nil, first, last), x.op("Unsqueeze", name+"_odd_back", nil, second, last))
	return x.op("Reshape", name+"_turned", nil, pair, x.ints(name+"_turned_shape", 0, 0, 0, 2*half))
}

// rotary23 expands RotaryEmbedding of opset 23: (X, cos, sin[, positions]).
func (x *expander) rotary23() error {
	return x.rotaryOf(rotation{cos: x.n.Input(1), sin: x.n.Input(2), at: x.n.Input(3), interleaved: x.n.Int("interleaved", 0) != 0})
}

// rotaryContrib expands com.microsoft.RotaryEmbedding: (X, positions, cos, sin);
// positions of shape [1] are the first position.
func (x *expander) rotaryContrib() error {
	if x.n.Int("is_packed_batching", 0) != 0 {
		return fmt.Errorf("packed batching joins records")
	}
	r := rotation{cos: x.n.Input(2), sin: x.n.Input(3), at: x.n.Input(1), interleaved: x.n.Int("interleaved", 0) != 0}
	at := x.info(1)
	if at.Ranked && at.Rank() == 1 {
		axis := int64(1)
		if x.info(0).Rank() == 4 {
			axis = 2
		}
		r.at = x.op("Add", "at", nil, x.positions(x.n.Input(0), "token", axis), r.at)
	}
	return x.rotaryOf(r)
}

// rotaryOf rotates operand 0, [B,heads,T,d] or [B,T,heads·d].
func (x *expander) rotaryOf(r rotation) error {
	info := x.info(0)
	v := x.n.Input(0)
	if !info.Ranked || info.Rank() != 3 && info.Rank() != 4 {
		return fmt.Errorf("its input is %v", info)
	}
	r.headAxis = 1
	if info.Rank() == 3 {
		heads, err := x.rotaryHeads(r)
		if err != nil {
			return err
		}
		r.headAxis = 2
		v = x.op("Reshape", "heads", nil, v, x.ints("heads_shape", 0, 0, heads, -1))
	}
	y, err := x.rotate(v, "x", r)
	if err != nil {
		return err
	}
	if info.Rank() == 4 {
		x.into(x.n.Output(0), "Identity", nil, y)
		return nil
	}
	x.into(x.n.Output(0), "Reshape", nil, y, x.ints("joined_shape", 0, 0, -1))
	return nil
}

// rotaryHeads finds how many heads an input of rank 3 holds: the attribute, or
// as many as the table is wide.
func (x *expander) rotaryHeads(r rotation) (int64, error) {
	last, ok := x.extent(0, 2)
	heads := x.n.Int("num_heads", 0)
	table := x.values.Of(r.cos)
	if heads == 0 && table.Ranked {
		if half, known := table.Shape[table.Rank()-1].Const(); known && half > 0 {
			heads = last / (2 * half)
		}
	}
	if !ok || heads <= 0 || last%heads != 0 {
		return 0, fmt.Errorf("%d heads in an input %v", heads, x.info(0))
	}
	return heads, nil
}
