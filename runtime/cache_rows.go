package runtime

import (
	"sync"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// A cacheRow is where one text lies in a cacheGroup: tokens begin to begin+n of
// the cache's tokens axis.
type cacheRow struct{ begin, n int }

// A cacheGroup is the cache of texts that run together, one tensor for each
// slot. Positions of a row outside its tokens hold anything finite; the mask
// hides them.
type cacheGroup struct {
	slots  []*ort.Tensor
	rows   []cacheRow
	length int // extent of the tokens axis
	source int // of the source's, the same for all rows
}

// release gives memory of the runtime back.
func (g *cacheGroup) release() {
	for _, t := range g.slots {
		t.Release()
	}
}

// aligned reports whether every row's tokens end where the tokens axis does, so
// that a new one can be appended.
func (g *cacheGroup) aligned() bool {
	for _, r := range g.rows {
		if r.begin+r.n != g.length {
			return false
		}
	}
	return true
}

// A cacheRef is a row of a group.
type cacheRef struct {
	group *cacheGroup
	row   int
}

// whole reports whether refs are just one group as it is.
func whole(refs []cacheRef) bool {
	for i, r := range refs {
		if r.group != refs[0].group || r.row != i {
			return false
		}
	}
	return len(refs) == len(refs[0].group.rows) && refs[0].group.aligned()
}

// gather copies rows into a new group, their tokens at the end of the axis. The
// slots are copied in parallel.
func gather(layout []cacheSlot, refs []cacheRef) (*cacheGroup, error) {
	g := &cacheGroup{slots: make([]*ort.Tensor, len(layout)), source: refs[0].group.source}
	for _, r := range refs {
		g.length = max(g.length, r.group.rows[r.row].n)
	}
	for _, r := range refs {
		n := r.group.rows[r.row].n
		g.rows = append(g.rows, cacheRow{begin: g.length - n, n: n})
	}
	var wait sync.WaitGroup
	failed := make([]error, len(layout))
	for i, slot := range layout {
		wait.Go(func() {
			g.slots[i], failed[i] = gatherSlot(slot, i, refs, g)
		})
	}
	wait.Wait()
	for _, err := range failed {
		if err != nil {
			return nil, err
		}
	}
	return g, nil
}

// gatherSlot copies the rows of one slot.
func gatherSlot(slot cacheSlot, index int, refs []cacheRef, to *cacheGroup) (*ort.Tensor, error) {
	t, err := ort.NewZeros(slot.dtype, slot.shape(len(refs), to.length, to.source))
	if err != nil {
		return nil, err
	}
	before, between, after := slot.extents()
	after *= slot.dtype.Size()
	dst, extent := t.Bytes(), to.length
	if slot.cross {
		extent = to.source
	}
	for at, ref := range refs {
		src, from := ref.group.slots[index].Bytes(), ref.group.rows[ref.row]
		rows, length, into := len(ref.group.rows), ref.group.length, to.rows[at].begin
		if slot.cross {
			from, length, into = cacheRow{0, to.source}, to.source, 0
		}
		for o := range before {
			for m := range between {
				s := (((o*rows+ref.row)*between+m)*length + from.begin) * after
				d := (((o*len(refs)+at)*between+m)*extent + into) * after
				copy(dst[d:d+from.n*after], src[s:s+from.n*after])
			}
		}
	}
	return t, nil
}

// extents are the numbers of elements before the rows axis, between rows and
// tokens, and behind the tokens axis.
func (c cacheSlot) extents() (before, between, after int) {
	before, between, after = 1, 1, 1
	for i, d := range c.dims {
		switch {
		case i < c.batch:
			before *= int(d)
		case i > c.batch && i < c.time:
			between *= int(d)
		case i > c.time:
			after *= int(d)
		}
	}
	return before, between, after
}
