package ort

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"
	"unsafe"
)

// Values of all sizes come and go in random order, from several threads at once: none may overlap another, each lies at
// a cache line, and when all are gone the pool holds nothing and is empty to the bottom.
func TestPool(t *testing.T) {
	e := testEnv(t)
	if !e.pooled {
		t.Skip("this system reserves no addresses")
	}
	before := e.Pool()
	var group sync.WaitGroup
	for worker := range byte(3) {
		group.Go(func() {
			r := rand.New(rand.NewPCG(uint64(worker), 1))
			type value struct {
				data []byte
				mark byte
			}
			var live []value
			drop := func(i int) {
				v := live[i]
				if bytes.Count(v.data, []byte{v.mark}) != len(v.data) {
					t.Error("another value was written into this one")
				}
				poolFree(unsafe.Pointer(&v.data[0]))
				live[i] = live[len(live)-1]
				live = live[:len(live)-1]
			}
			for n := range 3000 {
				if len(live) > 60 || len(live) > 0 && r.IntN(2) == 0 {
					drop(r.IntN(len(live)))
					continue
				}
				size := 1 + r.IntN(1<<(4+r.IntN(17)))
				p := poolAlloc(size)
				if uintptr(p)%cacheLine != 0 {
					t.Error("a value does not begin at a cache line")
				}
				v := value{unsafe.Slice((*byte)(p), size), worker<<6 | byte(n&63)}
				for i := range v.data {
					v.data[i] = v.mark
				}
				live = append(live, v)
			}
			for len(live) > 0 {
				drop(0)
			}
		})
	}
	group.Wait()
	after := e.Pool()
	if after.Used != before.Used {
		t.Errorf("all is freed, but the pool went from %+v to %+v", before, after)
	}
	if most := PoolHolds(after.MostUsed); after.MostHeld > most || after.Held > most {
		t.Errorf("the pool holds more than it may: %+v", after)
	}
	if e.TrimPool(); e.Pool().Held != before.Used {
		t.Errorf("after trimming the pool still holds memory: %+v", e.Pool())
	}
}

// A gap is used again for what fits into it, the smallest first, and neighbouring gaps are one.
func TestPoolGaps(t *testing.T) {
	e := testEnv(t)
	if !e.pooled {
		t.Skip("this system reserves no addresses")
	}
	const unit = 64 << 10
	take := func(units int) unsafe.Pointer { return poolAlloc(units*unit - cacheLine) }
	a, b, c, d, last := take(4), take(2), take(1), take(3), take(1)
	used := e.Pool().Used
	poolFree(a)
	poolFree(d)
	if p := take(3); p != d {
		t.Error("the larger of two gaps was cut although the other fits")
	}
	poolFree(d)
	poolFree(c) // joins d above it
	poolFree(b) // joins a below and c above: 10 units
	if p := take(10); p != a {
		t.Error("neighbouring gaps are not one")
	}
	if e.Pool().Used != used {
		t.Error("what is used is not what was taken")
	}
	poolFree(a)
	poolFree(last)
	// A value that fits into no gap takes new memory; what the gaps hold goes.
	e.RestartPool()
	low, high := take(40), take(1)
	poolFree(low)
	big := take(60)
	if s := e.Pool(); s.MostHeld > PoolHolds(s.MostUsed) {
		t.Errorf("the pool holds more than it may: %+v", s)
	}
	if p := take(40); p != low {
		t.Error("the gap whose memory went is not used again")
	} else {
		clear(unsafe.Slice((*byte)(p), 30*unit))
		poolFree(p)
	}
	poolFree(big)
	poolFree(high)
}

// Sessions share the pool: what one has given back the next one takes.
func TestPoolIsShared(t *testing.T) {
	e := testEnv(t)
	if !e.pooled {
		t.Skip("this system reserves no addresses")
	}
	const rows, width = 512, 64
	run := func() int64 {
		s := testSession(t, chainGraph(6, width), Options{})
		feeds := map[string]*Tensor{}
		for _, in := range s.Inputs() {
			feeds[in.Name], _ = NewZeros(Float32, []int64{width, width})
		}
		feeds["h0"], _ = NewZeros(Float32, []int64{rows, width})
		e.RestartPool()
		if _, err := s.Run(t.Context(), feeds); err != nil {
			t.Fatal(err)
		}
		return e.Pool().MostHeld
	}
	first := run()
	if first < 4*rows*width*6 { // the activations of six layers are kept for the backward pass
		t.Errorf("the pool's peak is %d bytes, the activations alone need %d", first, 4*rows*width*6)
	}
	if second := run(); second != first {
		t.Errorf("a second session raised the peak from %d to %d", first, second)
	}
	e.TrimPool()
	if third := run(); third != first {
		t.Errorf("after the memory went back to the system the peak is %d, not %d", third, first)
	}
}
