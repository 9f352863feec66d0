package ghost

import (
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// A cut is a place in the forward pass where little is alive: between two layers of
// a transformer it is the residual stream. Everything behind it can be computed again
// from what is alive there.
type cut struct {
	at     int      // position in the order of execution: behind that node
	newest string   // the value that this node makes
	live   []string // all values that are made up to here and read behind
}

// A terrain is how much is alive behind each node of the forward pass.
type terrain struct {
	order []*ir.Node
	made  map[string]int // position of a value's producer
	last  map[string]int // position of its last reader, through views of it
	level []int64        // bytes
	size  func(value string) int64
}

// survey measures the forward pass in its order of execution. A view takes no memory
// and keeps alive what it shows.
func survey(order []*ir.Node, size func(string) int64) *terrain {
	t := &terrain{order: order, made: map[string]int{}, last: map[string]int{}, level: make([]int64, len(order)), size: size}
	for at, n := range order {
		for _, o := range n.Outputs {
			if o != "" {
				t.made[o], t.last[o] = at, at
			}
		}
		for _, in := range n.Reads() {
			if _, ok := t.made[in]; ok {
				t.last[in] = at
			}
		}
	}
	end := map[string]int{} // of a value and of the views of it
	for at := len(order) - 1; at >= 0; at-- {
		for _, o := range order[at].Outputs {
			end[o] = max(end[o], t.last[o])
		}
		if n := order[at]; isView(n) {
			end[n.Input(0)] = max(end[n.Input(0)], end[n.Output(0)])
		}
	}
	change := make([]int64, len(order)+1)
	for value, at := range t.made {
		if !isView(order[at]) {
			change[at] += size(value)
			change[end[value]] -= size(value)
		}
	}
	live := int64(0)
	for at := range order {
		live += change[at]
		t.level[at] = live
	}
	return t
}

func isView(n *ir.Node) bool { return n.Domain == "" && looks[n.Op] }

// cuts finds the narrow places: positions that can't be left for one as low or lower
// without climbing by more than the size of the value made there. Of a level
// stretch the first is taken, which of a layer normalised at its end is the sum that
// the normalisation, and its gradient, read.
func (t *terrain) cuts() (out []cut) {
	for at, n := range t.order {
		newest := n.Output(0)
		own := t.size(newest)
		if own == 0 || t.last[newest] == at || isView(n) {
			continue
		}
		before := t.climb(at, -1, func(l int64) bool { return l <= t.level[at] })
		if before <= own || t.climb(at, 1, func(l int64) bool { return l < t.level[at] }) <= own {
			continue
		}
		out = append(out, cut{at: at, newest: newest, live: t.across(at)})
	}
	return out
}

// climb is how far one must climb from a position, going one way, until a level is
// low; everything where none is.
func (t *terrain) climb(from, step int, low func(int64) bool) (height int64) {
	for at := from + step; at >= 0 && at < len(t.level); at += step {
		if low(t.level[at]) {
			return height
		}
		height = max(height, t.level[at]-t.level[from])
	}
	const everything = 1 << 62
	return everything
}

// across lists the values that are made up to a position and read behind it.
func (t *terrain) across(at int) (out []string) {
	for _, n := range t.order[:at+1] {
		for _, o := range n.Outputs {
			if o != "" && t.last[o] > at {
				out = append(out, o)
			}
		}
	}
	return out
}

// segment returns how many cuts lie before a value's producer.
func segment(cuts []cut, at int) int {
	k, _ := slices.BinarySearchFunc(cuts, at, func(c cut, at int) int { return c.at - at })
	return k
}
