package runtime

import (
	"context"
	"errors"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
)

// MemoryAuto, an option of Finetune beside the modes of ghost, is normal memory
// unless low fits where normal does not, or lets runs be so much larger that they
// take less time.
const MemoryAuto = "auto"

// ParseMemoryMode reads --memory of a command that has no limit to choose by: auto is
// normal.
func ParseMemoryMode(s string) (ghost.Memory, error) {
	if s == MemoryAuto {
		s = ""
	}
	m, err := ghost.ParseMemory(s)
	if err != nil {
		return "", usage("--memory: %w, beside %s", err, MemoryAuto)
	}
	return m, nil
}

// errNoRoom is what errors about too little memory for a microbatch are.
var errNoRoom = errors.New("no room for a microbatch")

// A roomError is a usage error that is errNoRoom.
type roomError struct{ error }

func (e roomError) Unwrap() error        { return e.error }
func (e roomError) Is(target error) bool { return target == errNoRoom }

// noRoom makes a usage error that is errNoRoom.
func noRoom(format string, args ...any) error { return roomError{usage(format, args...)} }

// memoryMode is what the programs are compiled for.
func (f *finetune) memoryMode() ghost.Memory {
	if f.lowered || f.options.Memory == string(ghost.LowMemory) {
		return ghost.LowMemory
	}
	return ghost.NormalMemory
}

// What a run costs beside the products of its tokens, in tokens: reading every
// weight, and adding its sum to the step's, whatever the number of records. And what
// low memory adds to the time of a token (docs/performance.md).
const (
	runCost   = 96
	againCost = 0.5
)

// fewTokens is the size of a run up to which runs of several times that size in low
// memory can take less time: twice as long as normal ones for the runs' own cost and
// the products together, runCost/n ≥ againCost·T for n records of T tokens.
const fewTokens = runCost / againCost

// lowerMemory looks, where the choice is automatic and normal memory gave runs of
// size records, or err, whether low memory is better, and if so settles for it.
func (f *finetune) lowerMemory(ctx context.Context, planned, size int, err error) (int, error) {
	tokens := f.longest()
	chosen := f.options.Microbatch == 0 && planned == 0 && !f.trainer.fixed
	switch {
	case f.options.Memory != MemoryAuto && f.options.Memory != "":
		return size, err
	case err != nil && !errors.Is(err, errNoRoom):
		return size, err
	case err == nil && (!chosen || size*tokens >= fewTokens || size >= largestMicrobatch):
		return size, err
	}
	low, lowErr := f.settleAgain(ctx, planned, true)
	gain := func(low int) float64 { return runCost/float64(size) - runCost/float64(low) }
	if lowErr == nil && (err != nil || gain(low) > againCost*float64(tokens)) {
		return low, nil
	}
	if err != nil { // neither fits; the smaller demand is the better advice
		return 0, lowErr
	}
	return f.settleAgain(ctx, planned, false)
}

// settleAgain compiles the programs for another memory mode and settles the
// microbatch by them.
func (f *finetune) settleAgain(ctx context.Context, planned int, low bool) (int, error) {
	errs := []error{f.trainer.close()}
	if f.losses != nil {
		errs = append(errs, f.losses.Close())
	}
	f.lowered = low
	if err := errors.Join(append(errs, f.compile(ctx))...); err != nil {
		return 0, err
	}
	return f.settleRows(ctx, planned)
}

// longest is the greatest padding length.
func (f *finetune) longest() int {
	edges := f.data.buckets.Edges()
	return edges[len(edges)-1]
}
