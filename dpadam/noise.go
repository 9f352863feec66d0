package dpadam

import (
	"context"
	"crypto/cipher"
	"fmt"
	"runtime"
)

// Noiser draws a step's noise, once for each permit. Coordinates are cut into chunks of
// fixed size, each with an AES-256-CTR stream of its own, so the result does not depend on
// the number of workers.
type Noiser struct {
	plan    *Plan
	own     Range     // coordinates that it releases: all, or a rank's slice
	gauss   *gaussian // nil without noise
	count   *gaussian // of the count; nil unless the plan adapts C
	keys    ratchet
	workers int
	scratch []noiseScratch
	hook    func(point string)
	level   level
}

// noiseScratch is what one worker needs; it is kept so that steps make no garbage.
type noiseScratch struct {
	src stream
	z   [noiseBlock]int64
}

const (
	noiseChunk = 1 << 16 // coordinates that share a stream
	noiseBlock = 1 << 11 // coordinates in flight
)

// Names of the points at which a hook is called, in the order of a step. A test that
// kills the process there must find that no release went uncharged.
const (
	PointLedgerBeforeWrite = "ledger.before-write"
	PointLedgerAfterWrite  = "ledger.after-write"
	PointLedgerBeforeSync  = "ledger.before-sync"
	PointLedgerAfterSync   = "ledger.after-sync"
	PointNoiseBefore       = "noise.before"
	PointNoiseAfter        = "noise.after"
	PointUpdateBefore      = "update.before" // called by whoever drives the optimizer
	PointUpdateAfter       = "update.after"
)

// callHook calls hook if there is one.
func callHook(hook func(string), point string) {
	if hook != nil {
		hook(point)
	}
}

// NewNoiser returns a noiser with a fresh key. workers <= 0 means one for each processor.
func NewNoiser(p *Plan, workers int, hook func(point string)) (*Noiser, error) {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	n := &Noiser{plan: p, own: Range{0, int(p.spec.Dim)}, workers: workers, hook: hook, level: bestLevel()}
	if !p.Noisy() {
		return n, nil
	}
	var err error
	if n.gauss, err = newGaussian(p.spec.Lattice.Sigma); err != nil {
		return nil, err
	}
	if a := p.spec.adaptive(); a != nil {
		if n.count, err = newGaussian(a.CountSigma); err != nil {
			return nil, err
		}
	}
	n.scratch = make([]noiseScratch, workers)
	n.keys.state, err = freshKey(p.spec.Seed, "noise")
	return n, err
}

// Release spends the permit, writes the noised sum of acc into out and empties acc:
//
//	out = float32(gamma*(K+Z)),  Z_j = round(N(0, s^2)) on every coordinate,
//
// times C_t/C_1 under adaptive clipping, where the count is released with it and acc's clipping
// norm becomes C_{t+1}.
// (out is the plain sum under a plan without noise.) It fails, before the permit is spent, for
// a permit that was used or belongs to another plan, for an accumulator that failed, and for
// lengths that differ. If ctx ends meanwhile the permit stays spent and out is zero.
func (n *Noiser) Release(ctx context.Context, permit *Permit, acc *Accumulator, out []float32) error {
	switch {
	case permit == nil || acc == nil:
		return fmt.Errorf("%w: release needs a permit and an accumulator", ErrMisuse)
	case permit.plan != n.plan || acc.plan != n.plan:
		return fmt.Errorf("%w: permit, accumulator and noise belong to different plans", ErrMisuse)
	case acc.err != nil:
		return fmt.Errorf("step not released: %w", acc.err)
	case int64(len(out)) != n.plan.spec.Dim:
		return fmt.Errorf("%w: gradient has %d coordinates, the plan %d", ErrMisuse, len(out), n.plan.spec.Dim)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if !permit.used.CompareAndSwap(false, true) {
		return fmt.Errorf("%w: the permit of charge %d was used before; a step's noise is drawn once", ErrMisuse, permit.index)
	}
	callHook(n.hook, PointNoiseBefore)
	err := n.draw(ctx, permit.index, acc, out)
	acc.empty()
	if err != nil {
		acc.Reset()
		clear(out)
		return err
	}
	callHook(n.hook, PointNoiseAfter)
	return nil
}

func (n *Noiser) draw(ctx context.Context, index uint64, acc *Accumulator, out []float32) error {
	if n.gauss == nil {
		parallelN(n.workers, n.own.End-n.own.Start, updateStretch, func(_, lo, hi int) {
			for i := n.own.Start + lo; i < n.own.Start+hi; i++ {
				out[i], acc.f[i] = float32(acc.f[i]), 0
			}
		})
		return nil
	}
	key, err := n.keys.advance(index)
	if err != nil {
		return err
	}
	block, err := newCipher(key)
	clear(key[:])
	if err != nil {
		return err
	}
	scale := n.plan.spec.Lattice.Gamma() * (acc.clip / n.plan.spec.ClipNorm)
	first := n.own.Start / noiseChunk * noiseChunk // chunks are whole, whatever is cut from them
	parallelN(n.workers, n.own.End-first, noiseChunk, func(worker, lo, hi int) {
		if ctx.Err() == nil {
			n.chunk(&n.scratch[worker], block, index, Range{first + lo, first + hi}, scale, acc.k, out)
		}
	})
	if err = ctx.Err(); err == nil && n.count != nil {
		n.adapt(block, index, acc)
	}
	for w := range n.scratch {
		n.scratch[w].src.wipe()
		clear(n.scratch[w].z[:])
	}
	return err
}

// chunk noises the noiser's own coordinates of one chunk, scales them back, and empties them. Noise is
// drawn from the chunk's first coordinate on, as if all were its own, so that a coordinate's noise is
// a function of key, charge and coordinate whatever the slice.
func (n *Noiser) chunk(s *noiseScratch, block cipher.Block, index uint64, c Range, scale float64, k []int64, out []float32) {
	s.src.open(block, index, uint64(c.Start/noiseChunk))
	for at := c.Start; at < c.End; at += noiseBlock {
		z := s.z[:min(noiseBlock, len(k)-at)]
		n.gauss.fill(z, &s.src)
		lo, hi := max(at, n.own.Start), min(at+len(z), c.End)
		if lo < hi {
			n.level.release(out[lo:hi], k[lo:hi], z[lo-at:hi-at], scale)
		}
	}
}
