package dpadam

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Comm joins the ranks of a distributed run: K processes that take every step together. Each method
// is collective: all ranks call the same ones in the same order, with arguments of the same lengths.
// An error means that the ranks are out of step, and the run must end.
//
// Messages carry sums without noise and secret keys: whoever can read them can undo the privacy of
// the run (doc.go).
type Comm interface {
	// Rank is this process's number, 0 to Size()-1.
	Rank() int
	Size() int
	// Broadcast gives every rank the bytes of rank 0.
	Broadcast(data []byte) error
	// Exchange returns what each rank gave, by rank.
	Exchange(mine []byte) ([][]byte, error)
	// ReduceScatter adds up the ranks' sums, exactly. Rank r gets the coordinates
	// [bounds[r], bounds[r+1]) in place; what its other coordinates hold then is undefined.
	// There are Size()+1 bounds, from 0 to len(sums).
	ReduceScatter(sums []int64, bounds []int) error
	// ReduceScatterFloats is ReduceScatter for a plan without noise; the order of the additions
	// is not defined.
	ReduceScatterFloats(sums []float64, bounds []int) error
	// AllGather gives every rank the coordinates [bounds[r], bounds[r+1]) of each rank r, in place.
	AllGather(values []float32, bounds []int) error
}

// ErrComm is wrapped by errors of a Comm.
var ErrComm = errors.New("the ranks of the run lost each other")

// RankBounds divides dim coordinates among size ranks: rank r has [bounds[r], bounds[r+1]). The
// shares differ by at most 1; some are empty where there are more ranks than coordinates.
func RankBounds(dim int64, size int) []int {
	bounds := make([]int, size+1)
	for r := range bounds {
		bounds[r] = int(dim / int64(size) * int64(r))
		bounds[r] += int(dim % int64(size) * int64(r) / int64(size))
	}
	return bounds
}

// RankError is the failure of another rank.
type RankError struct {
	Rank int
	Text string
	kind error // what errors.Is is to find, or nil
}

// Error says which rank failed, and how.
func (e *RankError) Error() string { return fmt.Sprintf("rank %d: %s", e.Rank, e.Text) }

// Unwrap returns the kind of the failure, if it is one that all ranks know.
func (e *RankError) Unwrap() error { return e.kind }

// rankKinds are the errors whose kind is told to the other ranks.
var rankKinds = []error{ErrBudgetSpent, ErrLedger, ErrInvalid, ErrUnsupported, ErrSensitivity, ErrMisuse, context.Canceled, context.DeadlineExceeded}

// failureBytes is the size of a rank's report of a failure: whether there is one, its kind, and as
// much of its text as fits.
const failureBytes = 512

func encodeFailure(err error, kinds []error) []byte {
	out := make([]byte, failureBytes)
	if err == nil {
		return out
	}
	out[0] = 1
	for k, kind := range kinds {
		if errors.Is(err, kind) {
			out[1] = byte(k + 1)
			break
		}
	}
	copy(out[2:], strings.ToValidUTF8(err.Error(), "?"))
	return out
}

// decodeFailure returns nil for a rank that did not fail.
func decodeFailure(rank int, data []byte, kinds []error) error {
	if data[0] == 0 {
		return nil
	}
	text, _, _ := bytes.Cut(data[2:], []byte{0})
	e := &RankError{Rank: rank, Text: strings.ToValidUTF8(string(text), "")}
	if k := int(data[1]); k > 0 && k <= len(kinds) {
		e.kind = kinds[k-1]
	}
	return e
}

// Agree makes a failure of one rank a failure of all. It returns err where this rank failed,
// elsewhere a *RankError of the first rank that did, and nil where none did. kinds are errors whose
// kind the others are to know beside this package's, the same on every rank, at most 200.
func Agree(c Comm, err error, kinds ...error) error {
	kinds = append(kinds, rankKinds...)
	all, cerr := c.Exchange(encodeFailure(err, kinds))
	if cerr != nil {
		return errors.Join(err, commError(cerr))
	}
	return firstFailure(err, all, kinds)
}

// AgreeOn fails with ErrMisuse, on every rank, unless all ranks have the same value, of the same
// length, of what is named.
func AgreeOn(c Comm, name string, value []byte) error {
	all, err := c.Exchange(value)
	if err != nil {
		return commError(err)
	}
	for r, v := range all {
		if !bytes.Equal(v, all[0]) {
			return fmt.Errorf("%w: rank %d has another %s than rank 0", ErrMisuse, r, name)
		}
	}
	return nil
}

func firstFailure(mine error, all [][]byte, kinds []error) error {
	if mine != nil {
		return mine
	}
	for rank, data := range all {
		if err := decodeFailure(rank, data, kinds); err != nil {
			return err
		}
	}
	return nil
}

func commError(err error) error {
	if err == nil || errors.Is(err, ErrComm) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrComm, err)
}

// team is a stepper's part in a distributed run; nil for a run of one process.
type team struct {
	comm   Comm
	bounds []int
	own    Range
}

func newTeam(c Comm, dim int64) *team {
	bounds := RankBounds(dim, c.Size())
	return &team{comm: c, bounds: bounds, own: Range{bounds[c.Rank()], bounds[c.Rank()+1]}}
}

// share gives every rank rank 0's keys, so that sample, choice of records and noise are functions of
// the charge, the record and the coordinate alone, however many ranks there are. It fails on all
// ranks where drawing them failed on one, or where the plans differ.
func (t *team) share(p *Plan, k *stepKeys, failed error) error {
	if err := Agree(t.comm, failed); err != nil {
		return err
	}
	if err := AgreeOn(t.comm, "plan", []byte(p.Hash())); err != nil {
		return err
	}
	msg := slices.Concat(k.sampling[:], k.choosing[:], k.noise[:])
	err := t.comm.Broadcast(msg)
	copy(k.sampling[:], msg)
	copy(k.choosing[:], msg[keyBytes:])
	copy(k.noise[:], msg[2*keyBytes:])
	clear(msg)
	return commError(err)
}

// charge has rank 0 charge a step, and gives every rank the permit once the line is synced.
func (t *team) charge(ctx context.Context, l *Ledger, p *Plan, n int64) (*Permit, error) {
	msg := make([]byte, failureBytes+16)
	var permit *Permit
	var err error
	if t.comm.Rank() == 0 {
		if permit, err = l.Charge(ctx, n); err == nil {
			binary.BigEndian.PutUint64(msg[failureBytes:], permit.index)
			binary.BigEndian.PutUint64(msg[failureBytes+8:], uint64(permit.step))
		}
		copy(msg, encodeFailure(err, rankKinds))
	}
	if cerr := t.comm.Broadcast(msg); cerr != nil {
		return nil, errors.Join(err, commError(cerr))
	}
	if t.comm.Rank() == 0 {
		return permit, err
	}
	if err := decodeFailure(0, msg, rankKinds); err != nil {
		return nil, err
	}
	permit = &Permit{plan: p, index: binary.BigEndian.Uint64(msg[failureBytes:]), step: int64(binary.BigEndian.Uint64(msg[failureBytes+8:]))}
	if permit.step != n {
		return nil, fmt.Errorf("%w: rank 0 charged step %d, this rank is at step %d", ErrComm, permit.step, n)
	}
	return permit, nil
}

// partial is what a rank tells of its part of a step.
type partial struct {
	records, microbatches, doubled int64
}

const partialBytes = 24

// settle exchanges what the ranks added to a step, failures included, and adds it up.
func (t *team) settle(mine partial, failed error) (partial, error) {
	msg := binary.BigEndian.AppendUint64(nil, uint64(mine.records))
	msg = binary.BigEndian.AppendUint64(msg, uint64(mine.microbatches))
	msg = binary.BigEndian.AppendUint64(msg, uint64(mine.doubled))
	all, err := t.comm.Exchange(append(msg, encodeFailure(failed, rankKinds)...))
	if err != nil {
		return mine, errors.Join(failed, commError(err))
	}
	var sum partial
	for r, data := range all {
		sum.records += int64(binary.BigEndian.Uint64(data))
		sum.microbatches += int64(binary.BigEndian.Uint64(data[8:]))
		sum.doubled += int64(binary.BigEndian.Uint64(data[16:]))
		all[r] = data[partialBytes:]
	}
	return sum, firstFailure(failed, all, rankKinds)
}

// collect replaces what a rank added by the step's whole sum on the rank's own coordinates, and 0
// elsewhere.
func (t *team) collect(a *Accumulator) (err error) {
	if a.k != nil {
		err = t.comm.ReduceScatter(a.k, t.bounds)
		clear(a.k[:t.own.Start])
		clear(a.k[t.own.End:])
	} else {
		err = t.comm.ReduceScatterFloats(a.f, t.bounds)
		clear(a.f[:t.own.Start])
		clear(a.f[t.own.End:])
	}
	return commError(err)
}

// shareClip gives every rank rank 0's clipping norm of the next step, which all have computed from
// the same numbers, perhaps on different processors.
func (t *team) shareClip(a *Accumulator) error {
	msg := binary.BigEndian.AppendUint64(nil, math.Float64bits(a.clip))
	if err := t.comm.Broadcast(msg); err != nil {
		return commError(err)
	}
	return a.SetClipNorm(math.Float64frombits(binary.BigEndian.Uint64(msg)))
}
