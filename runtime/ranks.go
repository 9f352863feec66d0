package runtime

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"unsafe"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/separate"
)

// ranks are the processes of a distributed run; nil where there is one. All read model and data and take every
// step together. Everything else is done by rank 0, which tells the others what comes next (order): they wait in
// no collective that rank 0 does not know of. Methods take nil.
type ranks struct {
	comm    dpadam.Comm
	local   int // this rank's number among those on this machine
	nearby  int // and how many these are
	threads int // this rank's fair share of the processors it may use; 0 if unknown
}

// ErrRanks marks a failure that leaves the ranks of a distributed run out of step: whoever meets it must end the
// other processes too.
var ErrRanks = dpadam.ErrComm

// rankKinds are the errors that all ranks are to end with alike, for the exit code.
var rankKinds = []error{ErrUsage, ErrInterrupted, onnxgrad.ErrNoGradient, separate.ErrMixed, ir.ErrUnsupported, ir.ErrInvalid, dpadam.ErrBudgetFile}

// newRanks meets the others.
func newRanks(c dpadam.Comm) (*ranks, error) {
	if c == nil {
		return nil, nil
	}
	r := &ranks{comm: c}
	all, err := c.Exchange(placement())
	if err != nil {
		return nil, rankError(err)
	}
	r.local, r.nearby, r.threads = shareOf(all, c.Rank())
	return r, nil
}

func rankError(err error) error {
	if err == nil || errors.Is(err, ErrRanks) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrRanks, err)
}

// first reports whether this process is the one that writes: rank 0, or the only one.
func (r *ranks) first() bool { return r == nil || r.comm.Rank() == 0 }

// size is the number of ranks.
func (r *ranks) size() int {
	if r == nil {
		return 1
	}
	return r.comm.Size()
}

// here is the number of ranks on this machine.
func (r *ranks) here() int {
	if r == nil {
		return 1
	}
	return r.nearby
}

// agree makes a failure of one rank a failure of all.
func (r *ranks) agree(err error) error {
	if r == nil || errors.Is(err, ErrRanks) {
		return err
	}
	return dpadam.Agree(r.comm, err, rankKinds...)
}

// exchange is the comm's, nil-safe.
func (r *ranks) exchange(mine []byte) ([][]byte, error) {
	if r == nil {
		return [][]byte{mine}, nil
	}
	all, err := r.comm.Exchange(mine)
	return all, rankError(err)
}

// least agrees on the smallest of the ranks' numbers, or on a failure.
func (r *ranks) least(n int, err error) (int, error) {
	if err = r.agree(err); err != nil || r == nil {
		return n, err
	}
	all, err := r.exchange(binary.BigEndian.AppendUint64(nil, uint64(n)))
	for _, v := range all {
		n = min(n, int(binary.BigEndian.Uint64(v)))
	}
	return n, err
}

// fromFirst returns rank 0's number, or rank 0's failure.
func (r *ranks) fromFirst(n int, err error) (int, error) {
	if err = r.agree(err); err != nil || r == nil {
		return n, err
	}
	v := binary.BigEndian.AppendUint64(nil, uint64(n))
	err = r.comm.Broadcast(v)
	return int(binary.BigEndian.Uint64(v)), rankError(err)
}

// own are the coordinates that this rank noises, updates and keeps the moments of.
func (r *ranks) own(dim int64) dpadam.Range {
	if r == nil {
		return dpadam.Range{Start: 0, End: int(dim)}
	}
	b := dpadam.RankBounds(dim, r.comm.Size())
	return dpadam.Range{Start: b[r.comm.Rank()], End: b[r.comm.Rank()+1]}
}

// gather gives every rank the others' coordinates of a vector.
func (r *ranks) gather(v []float32) error {
	if r == nil {
		return nil
	}
	return rankError(r.comm.AllGather(v, dpadam.RankBounds(int64(len(v)), r.comm.Size())))
}

// spread gives every rank rank 0's vector.
func (r *ranks) spread(v []float32) error {
	if len(v) == 0 {
		return nil
	}
	return rankError(r.comm.Broadcast(floatBytes(v)))
}

// floatBytes are the bytes of a vector that is not empty, in the machine's order: all ranks run the same binary.
func floatBytes(v []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v))
}

// deal returns this rank's part of what a step consists of: of microbatches sorted by their length every K-th, so
// that the ranks' work differs by at most one microbatch of each length. It is a function of the sample.
func deal[T any](r *ranks, list []T) []T {
	if r == nil {
		return list
	}
	var out []T
	for k := r.comm.Rank(); k < len(list); k += r.comm.Size() {
		out = append(out, list[k])
	}
	return out
}

// An order is what rank 0 has the others do next.
type order struct {
	kind        int64
	step, total int64 // of orderStep
	bytes       int64 // of orderEnd: the size of the result that follows; 0 for none
}

// The orders.
const (
	orderStep  = iota + 1 // take optimizer step of total
	orderState            // gather the optimizer's state
	orderEnd              // the run is over
)

// give gives an order to the others.
func (r *ranks) give(o order) error {
	if r == nil {
		return nil
	}
	_, err := r.pass(o)
	return err
}

// pass broadcasts rank 0's order.
func (r *ranks) pass(o order) (order, error) {
	numbers := [4]int64{o.kind, o.step, o.total, o.bytes}
	msg, err := binary.Append(nil, binary.BigEndian, numbers)
	if err != nil {
		return o, err
	}
	if err := r.comm.Broadcast(msg); err != nil {
		return o, rankError(err)
	}
	_, err = binary.Decode(msg, binary.BigEndian, &numbers)
	return order{numbers[0], numbers[1], numbers[2], numbers[3]}, err
}

// end tells the other ranks how the run ended, unless they are lost.
func (r *ranks) end(result *FinetuneResult, failed error) error {
	if r == nil || errors.Is(failed, ErrRanks) {
		return failed
	}
	var b bytes.Buffer
	if result != nil {
		if err := gob.NewEncoder(&b).Encode(result); err != nil {
			return errors.Join(failed, err)
		}
	}
	if err := r.give(order{kind: orderEnd, bytes: int64(b.Len())}); err != nil {
		return errors.Join(failed, err)
	}
	if b.Len() > 0 {
		if err := r.comm.Broadcast(b.Bytes()); err != nil {
			return errors.Join(failed, rankError(err))
		}
	}
	return r.agree(failed)
}

// ended hears from rank 0 how the run ended.
func (r *ranks) ended(o order) (*FinetuneResult, error) {
	var result *FinetuneResult
	if o.bytes > 0 {
		data := make([]byte, o.bytes)
		if err := r.comm.Broadcast(data); err != nil {
			return nil, rankError(err)
		}
		result = &FinetuneResult{}
		if err := gob.NewDecoder(bytes.NewReader(data)).Decode(result); err != nil {
			return nil, rankError(err)
		}
	}
	return result, r.agree(nil)
}

// join adds up what the ranks learned in a step, and reports whether one was asked to stop.
func (r *ranks) join(s *stepStats, stop bool) (bool, error) {
	if r == nil {
		return stop, nil
	}
	mine := []float64{0, s.Loss, s.NormMean, s.NormMax, s.Clipped, float64(s.NotFinite), float64(s.finite), float64(s.scored), float64(len(s.norms)), 1}
	if stop {
		mine[0] = 1
	}
	if !s.debug { // only rank 0 writes that, and says so
		mine[9] = 0
	}
	all, err := r.exchange(appendFloats(nil, mine...))
	if err != nil {
		return stop, err
	}
	sum, largest, longest := make([]float64, len(mine)), 0.0, 0
	for _, data := range all {
		theirs := floatsOf(data)
		for i := range sum {
			sum[i] += theirs[i]
		}
		largest, longest = max(largest, theirs[3]), max(longest, int(theirs[8]))
	}
	s.Loss, s.NormMean, s.NormMax, s.Clipped = sum[1], sum[2], largest, sum[4]
	s.NotFinite, s.finite, s.scored = int(sum[5]), int(sum[6]), int(sum[7])
	if sum[9] > 0 {
		err = r.joinNorms(s, longest)
	}
	return sum[0] > 0, err
}
