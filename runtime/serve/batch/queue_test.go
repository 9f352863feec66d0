package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// A row of the tests: what a caller brings.
type row struct {
	key          string
	rows, length int
	id           int
}

func (r row) size() Size { return Size{r.rows, r.length} }

// Whatever arrives, every caller gets its own result, batches keep the bounds and
// the keys apart, and no more are computed at once than there are workers.
func TestEveryCallerGetsItsOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := Options{Tokens: rapid.IntRange(1, 64).Draw(t, "tokens"), Rows: rapid.IntRange(1, 8).Draw(t, "rows"), Workers: rapid.IntRange(1, 3).Draw(t, "workers"),
			Waiting: 100, Padding: rapid.SampledFrom([]float64{-1, .1, .25, 1}).Draw(t, "padding"), Delay: rapid.SampledFrom([]time.Duration{0, time.Microsecond}).Draw(t, "delay")}
		rows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) row {
			return row{key: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key"), rows: rapid.IntRange(1, 3).Draw(t, "n"), length: rapid.IntRange(0, 20).Draw(t, "length")}
		}), 1, 40).Draw(t, "callers")
		var at atomic.Int64
		var mu sync.Mutex
		var wrong []string
		q := New(o, func(_ context.Context, values []row) ([]int, error) {
			if n := at.Add(1); n > int64(o.Workers) {
				mu.Lock()
				wrong = append(wrong, fmt.Sprintf("%d batches at once", n))
				mu.Unlock()
			}
			defer at.Add(-1)
			if problem := misfit(o, values); problem != "" {
				mu.Lock()
				wrong = append(wrong, problem)
				mu.Unlock()
			}
			out := make([]int, len(values))
			for i, v := range values {
				out[i] = v.id * 7
			}
			return out, nil
		})
		var callers sync.WaitGroup
		for i, r := range rows {
			r.id = i
			callers.Go(func() {
				got, err := q.Do(context.Background(), r.key, r.size(), r)
				if err != nil || got != i*7 {
					mu.Lock()
					wrong = append(wrong, fmt.Sprintf("caller %d got %d, %v", i, got, err))
					mu.Unlock()
				}
			})
		}
		callers.Wait()
		q.Close()
		if len(wrong) > 0 {
			t.Fatal(wrong)
		}
	})
}

// misfit says which bound a batch of several breaks.
func misfit(o Options, values []row) string {
	if len(values) == 1 {
		return ""
	}
	longest, rows, real := 0, 0, 0
	for _, v := range values {
		longest, rows, real = max(longest, v.length), rows+v.rows, real+v.rows*v.length
		if v.key != values[0].key {
			return "two keys in a batch"
		}
	}
	made := longest*rows - real
	switch {
	case longest*rows > o.Tokens:
		return fmt.Sprintf("%d tokens, budget %d", longest*rows, o.Tokens)
	case rows > o.Rows:
		return fmt.Sprintf("%d rows, bound %d", rows, o.Rows)
	case float64(made) > max(0, o.Padding)*float64(longest*rows):
		return fmt.Sprintf("%d of %d tokens are padding, share allowed %v", made, longest*rows, o.Padding)
	}
	return ""
}

// held is a queue whose batches wait until they are let go.
type held struct {
	*Queue[int, int]
	begun chan []int
	goOn  chan error
}

func newHeld(t *testing.T, o Options) *held {
	h := &held{begun: make(chan []int, 16), goOn: make(chan error)}
	h.Queue = New(o, func(ctx context.Context, values []int) ([]int, error) {
		h.begun <- slices.Clone(values)
		select {
		case err := <-h.goOn:
			return values, err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	t.Cleanup(h.Close)
	return h
}

// ask calls Do in the background.
func (h *held) ask(ctx context.Context, v int) chan error {
	done := make(chan error, 1)
	go func() {
		got, err := h.Do(ctx, "", Size{1, 1}, v)
		if err == nil && got != v {
			err = fmt.Errorf("got %d, want %d", got, v)
		}
		done <- err
	}()
	return done
}

// Callers gather while the worker is busy and go together.
func TestCallersGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeld(t, Options{Rows: 3})
		first := h.ask(t.Context(), 0)
		<-h.begun
		rest := []chan error{}
		for v := 1; v <= 4; v++ {
			rest = append(rest, h.ask(t.Context(), v))
			synctest.Wait()
		}
		if n := h.Waiting(); n != 4 {
			t.Errorf("%d wait, want 4", n)
		}
		h.goOn <- nil
		if got := <-h.begun; !slices.Equal(got, []int{1, 2, 3}) {
			t.Errorf("the second batch is %v", got)
		}
		h.goOn <- nil
		if got := <-h.begun; !slices.Equal(got, []int{4}) {
			t.Errorf("the third batch is %v", got)
		}
		h.goOn <- nil
		for _, c := range append(rest, first) {
			if err := <-c; err != nil {
				t.Error(err)
			}
		}
	})
}

// A batch that is not full waits for Delay and no longer; a full one not at all.
func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeld(t, Options{Rows: 2, Delay: time.Second})
		begun := time.Now()
		one := h.ask(t.Context(), 1)
		<-h.begun
		if d := time.Since(begun); d != time.Second {
			t.Errorf("a lone caller waited %v", d)
		}
		h.goOn <- nil
		<-one
		begun = time.Now()
		two, three := h.ask(t.Context(), 2), h.ask(t.Context(), 3)
		if got := <-h.begun; len(got) != 2 || time.Since(begun) != 0 {
			t.Errorf("a full batch of %d waited %v", len(got), time.Since(begun))
		}
		h.goOn <- nil
		<-two
		<-three
	})
}

func TestFullAndClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeld(t, Options{Waiting: 1})
		first := h.ask(t.Context(), 0)
		<-h.begun
		second := h.ask(t.Context(), 1)
		synctest.Wait()
		if err := <-h.ask(t.Context(), 2); !errors.Is(err, ErrFull) {
			t.Errorf("beyond the bound: %v", err)
		}
		closed := make(chan bool)
		go func() { h.Close(); close(closed) }()
		synctest.Wait()
		if err := <-h.ask(t.Context(), 3); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		h.goOn <- nil
		<-h.begun
		h.goOn <- nil // what waited is computed
		<-closed
		for _, c := range []chan error{first, second} {
			if err := <-c; err != nil {
				t.Error(err)
			}
		}
	})
}

// Whoever goes is dropped: out of the line at once; out of a batch, whose context
// ends only with the last.
func TestCallersGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeld(t, Options{})
		ctx0, go0 := context.WithCancel(t.Context())
		ctx1, go1 := context.WithCancel(t.Context())
		ctx2, go2 := context.WithCancel(t.Context())
		blocker := h.ask(t.Context(), 9)
		<-h.begun
		waits := h.ask(ctx0, 0)
		a, b := h.ask(ctx1, 1), h.ask(ctx2, 2)
		synctest.Wait()
		go0()
		if err := <-waits; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if n := h.Waiting(); n != 2 {
			t.Errorf("%d wait, want 2", n)
		}
		h.goOn <- nil
		<-blocker
		if got := <-h.begun; len(got) != 2 {
			t.Fatalf("the batch is %v", got)
		}
		go1()
		<-a
		synctest.Wait()
		select {
		case <-h.begun:
			t.Error("the batch ended with one of two callers there")
		default:
		}
		go2()
		<-b
		synctest.Wait() // the context ended the run: the worker is free again
		last := h.ask(t.Context(), 5)
		<-h.begun
		h.goOn <- nil
		if err := <-last; err != nil {
			t.Error(err)
		}
	})
}

// One caller's bad value is its own failure.
func TestFailureIsOnesOwn(t *testing.T) {
	gate, begun := make(chan bool), make(chan bool, 16)
	bad := errors.New("bad value 3")
	q := New(Options{}, func(_ context.Context, values []int) ([]int, error) {
		begun <- true
		<-gate
		if slices.Contains(values, 4) {
			panic("a fault")
		}
		if slices.Contains(values, 3) {
			return nil, bad
		}
		return values, nil
	})
	defer q.Close()
	results := make([]error, 6)
	var callers sync.WaitGroup
	ask := func(v int) { callers.Go(func() { _, results[v] = q.Do(t.Context(), "", Size{1, 1}, v) }) }
	ask(0)
	<-begun // the worker holds value 0 alone: the others gather behind it
	for v := range 5 {
		ask(v + 1)
	}
	for q.Waiting() < 5 {
		time.Sleep(time.Millisecond)
	}
	close(gate)
	callers.Wait()
	for v, err := range results {
		if (err != nil) != (v == 3 || v == 4) || v == 3 && !errors.Is(err, bad) {
			t.Errorf("value %d: %v", v, err)
		}
	}
}

// Under load with callers that come and go, none is forgotten.
func TestChurn(t *testing.T) {
	var computed atomic.Int64
	q := New(Options{Workers: 2, Delay: 50 * time.Microsecond, Waiting: 64}, func(ctx context.Context, values []int) ([]int, error) {
		time.Sleep(20 * time.Microsecond)
		computed.Add(int64(len(values)))
		return values, ctx.Err()
	})
	var callers sync.WaitGroup
	var answered atomic.Int64
	for c := range 16 {
		callers.Go(func() {
			for i := range 200 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i%5)*40*time.Microsecond+time.Duration(i%2)*time.Second)
				v := c*1000 + i
				got, err := q.Do(ctx, fmt.Sprint(i%3), Size{1, i % 7}, v)
				cancel()
				switch {
				case err == nil && got != v:
					t.Errorf("got %d, want %d", got, v)
				case err == nil:
					answered.Add(1)
				case i%2 == 1 && !errors.Is(err, ErrFull):
					t.Errorf("a patient caller: %v", err)
				}
			}
		})
	}
	callers.Wait()
	q.Close()
	if n := q.Waiting(); n != 0 {
		t.Errorf("%d still wait", n)
	}
	if computed.Load() < answered.Load() || answered.Load() < 1600 {
		t.Errorf("%d computed, %d answered", computed.Load(), answered.Load())
	}
}

func BenchmarkDo(b *testing.B) {
	q := New(Options{}, func(_ context.Context, values []int) ([]int, error) { return values, nil })
	defer q.Close()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := q.Do(context.Background(), "", Size{1, 1}, 1); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// A delay that is over before the worker sleeps must not leave it asleep.
func TestShortDelaysEnd(t *testing.T) {
	for _, delay := range []time.Duration{time.Nanosecond, time.Microsecond, 5 * time.Microsecond} {
		q := New(Options{Delay: delay}, func(_ context.Context, values []int) ([]int, error) { return values, nil })
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		for v := range 6000 {
			if _, err := q.Do(ctx, "", Size{1, 1}, v); err != nil {
				t.Fatalf("delay %v, caller %d: %v", delay, v, err)
			}
		}
		cancel()
		q.Close()
	}
}
