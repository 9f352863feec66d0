package mpi

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// ErrAborted is returned to the ranks of a group that one of them has left by Abort.
var ErrAborted = errors.New("a rank has left")

// Local is one rank of a group of goroutines in one process.
type Local struct {
	rank  int
	group *group
}

// A group is where the ranks meet. A meeting is over when all have come.
type group struct {
	mu      sync.Mutex
	changed *sync.Cond
	size    int
	now     *meeting
	failed  error
}

// A meeting collects what the ranks bring to one collective.
type meeting struct {
	what    string
	brought []any
	missing int
	failed  error // the ranks did not come for the same
}

// NewLocal returns the ranks of a new group, each for a goroutine of its own.
func NewLocal(size int) []*Local {
	g := &group{size: size}
	g.changed = sync.NewCond(&g.mu)
	ranks := make([]*Local, size)
	for r := range ranks {
		ranks[r] = &Local{r, g}
	}
	return ranks
}

// Rank is this rank's number.
func (l *Local) Rank() int { return l.rank }

// Size is the number of ranks.
func (l *Local) Size() int { return l.group.size }

// Abort leaves the group: every collective of the others fails, those under way too.
func (l *Local) Abort() {
	l.group.mu.Lock()
	defer l.group.mu.Unlock()
	l.group.failed = fmt.Errorf("%w: rank %d", ErrAborted, l.rank)
	l.group.changed.Broadcast()
}

// meet waits for all ranks and returns what they brought.
func (l *Local) meet(what string, mine any) ([]any, error) {
	g := l.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.now == nil {
		g.now = &meeting{what: what, brought: make([]any, g.size), missing: g.size}
	}
	m := g.now
	if m.what != what {
		m.failed = fmt.Errorf("rank %d came to %s, others to %s", l.rank, what, m.what)
	}
	m.brought[l.rank] = mine
	if m.missing--; m.missing == 0 {
		g.now = nil
		g.changed.Broadcast()
	}
	for m.missing > 0 && g.failed == nil {
		g.changed.Wait()
	}
	if m.missing > 0 {
		return nil, g.failed
	}
	return m.brought, m.failed
}

// Exchange implements dpadam.Comm.
func (l *Local) Exchange(mine []byte) ([][]byte, error) {
	all, err := l.meet("Exchange", slices.Clone(mine))
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(all))
	for r, v := range all {
		if out[r] = slices.Clone(v.([]byte)); len(out[r]) != len(mine) {
			return nil, fmt.Errorf("rank %d exchanges %d bytes, rank %d %d", l.rank, len(mine), r, len(out[r]))
		}
	}
	return out, nil
}

// Broadcast implements dpadam.Comm.
func (l *Local) Broadcast(data []byte) error {
	all, err := l.meet("Broadcast", slices.Clone(data))
	if err != nil {
		return err
	}
	if first := all[0].([]byte); len(first) != len(data) {
		return fmt.Errorf("rank 0 broadcasts %d bytes, rank %d expects %d", len(first), l.rank, len(data))
	}
	copy(data, all[0].([]byte))
	return nil
}

// ReduceScatter implements dpadam.Comm.
func (l *Local) ReduceScatter(sums []int64, bounds []int) error {
	return addTogether(l, "ReduceScatter", sums, bounds)
}

// ReduceScatterFloats implements dpadam.Comm; it adds in the order of the ranks.
func (l *Local) ReduceScatterFloats(sums []float64, bounds []int) error {
	return addTogether(l, "ReduceScatterFloats", sums, bounds)
}

// addTogether: rank r reads the coordinates r of the others' vectors, which they neither read nor
// write meanwhile.
func addTogether[T int64 | float64](l *Local, what string, sums []T, bounds []int) error {
	all, err := vectors(l, what, sums, bounds)
	if err != nil {
		return err
	}
	lo, hi := bounds[l.rank], bounds[l.rank+1]
	total := make([]T, hi-lo)
	for _, v := range all {
		for i, x := range v[lo:hi] {
			total[i] += x
		}
	}
	copy(sums[lo:hi], total)
	_, err = l.meet(what+" is over", nil)
	return err
}

// AllGather implements dpadam.Comm.
func (l *Local) AllGather(values []float32, bounds []int) error {
	all, err := vectors(l, "AllGather", values, bounds)
	if err != nil {
		return err
	}
	for r, v := range all {
		if r != l.rank {
			copy(values[bounds[r]:bounds[r+1]], v[bounds[r]:bounds[r+1]])
		}
	}
	_, err = l.meet("AllGather is over", nil)
	return err
}

// vectors brings a vector to a meeting and returns those of all ranks.
func vectors[T any](l *Local, what string, mine []T, bounds []int) ([][]T, error) {
	if err := checkBounds(bounds, l.group.size, len(mine)); err != nil {
		return nil, err
	}
	all, err := l.meet(what, mine)
	if err != nil {
		return nil, err
	}
	out := make([][]T, len(all))
	for r, v := range all {
		if out[r] = v.([]T); len(out[r]) != len(mine) {
			return nil, fmt.Errorf("%s: rank %d has %d numbers, rank %d %d", what, l.rank, len(mine), r, len(out[r]))
		}
	}
	return out, nil
}

// checkBounds holds bounds to what dpadam.Comm asks of them.
func checkBounds(bounds []int, size, length int) error {
	if len(bounds) != size+1 || bounds[0] != 0 || bounds[size] != length || !slices.IsSorted(bounds) {
		return fmt.Errorf("bounds %v don't divide %d numbers among %d ranks", bounds, length, size)
	}
	return nil
}
