package runtime

import (
	"errors"
	"math"
	"runtime/debug"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/ghost"
)

func TestHeldBytes(t *testing.T) {
	p := &ghost.Program{
		Trained:   []ghost.Parameter{{Shape: []int64{10, 5}}, {Shape: []int64{50}}},
		Frozen:    []ghost.Parameter{{Shape: []int64{30}}},
		Unreached: []ghost.Parameter{{Shape: []int64{20}}},
	}
	for vectors, o := range map[int64]dpadam.OptimizerSpec{6: dpadam.Adam(1), 4: dpadam.SGD(1, 0), 5: dpadam.SGD(1, 0.9)} {
		if got, want := heldBytes(p, o, false, nil), 4*(100*vectors+50); got != want {
			t.Errorf("%s: %d bytes, want %d", o.Name, got, want)
		}
	}
	if got := heldBytes(p, dpadam.Adam(1), true, nil); got != 4*750 {
		t.Errorf("with an average of the weights: %d bytes", got)
	}
	if got := heldBytes(p, (&FinetuneOptions{}).optimizer(0), false, nil); got != 4*650 {
		t.Errorf("the default optimizer: %d bytes", got)
	}
}

func TestMicrobatchMemory(t *testing.T) {
	if got, err := microbatchMemory(1000, 400, 1); got != 600 || err != nil {
		t.Errorf("of 1000 beside 400: %d, %v", got, err)
	}
	for _, held := range []int64{1000, 2000} {
		if _, err := microbatchMemory(1000, held, 1); !errors.Is(err, ErrUsage) {
			t.Errorf("of 1000 beside %d: %v", held, err)
		}
	}
	if availableMemory() == 0 {
		t.Skip("this system does not say what is free")
	}
	if got, err := microbatchMemory(0, 1<<20, 1); got <= 0 || err != nil {
		t.Errorf("of what is free: %d, %v", got, err)
	}
	if _, err := microbatchMemory(0, math.MaxInt64, 1); !errors.Is(err, ErrUsage) {
		t.Errorf("more than there is: %v", err)
	}
}

// The collector's limit is never set over the user's own, and is undone.
func TestLimitGarbage(t *testing.T) {
	was := debug.SetMemoryLimit(math.MaxInt64)
	defer debug.SetMemoryLimit(was)
	limit := func() int64 { return debug.SetMemoryLimit(-1) }
	restore := limitGarbage(4 << 30)
	if l := limit(); l <= 4<<30 || l > 6<<30 {
		t.Errorf("the limit is %d", l)
	}
	if restore(); limit() != math.MaxInt64 {
		t.Error("the limit stays")
	}
	debug.SetMemoryLimit(1 << 40)
	if limitGarbage(4 << 30); limit() != 1<<40 {
		t.Error("the user's limit was changed")
	}
}
