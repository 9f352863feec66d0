package runtime

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// drain reads a stream to its end.
func drain(s *Stream) (ids []int32, finish string, err error) {
	for {
		t, err := s.Next()
		if errors.Is(err, io.EOF) {
			return ids, finish, nil
		}
		if err != nil {
			return ids, finish, err
		}
		ids, finish = append(ids, t.ID), t.Finish
	}
}

// engineRequests are prompts with options of every kind.
func engineRequests(n int) (prompts [][]int32, options []GenerateOptions) {
	r := rand.New(rand.NewPCG(7, 7))
	for i := range n {
		p := make([]int32, 1+r.IntN(12))
		for k := range p {
			p[k] = int32(r.IntN(700))
		}
		o := GenerateOptions{MaxNewTokens: 1 + r.IntN(9), EOS: []int64{}}
		switch i % 4 {
		case 1:
			o.Sample, o.Seed, o.Temperature = On, new(uint64(i)), 1.5
		case 2:
			o.Sample, o.Seed, o.TopP = On, new(uint64(i)), 0.8
		case 3:
			o.Beams = 3
		}
		prompts, options = append(prompts, p), append(options, o)
	}
	return prompts, options
}

// Whatever runs beside it, a request gets what Generate gives its prompt alone.
func TestEngineGivesWhatIsGivenAlone(t *testing.T) {
	m := openPath(t, pretrained)
	prompts, options := engineRequests(24)
	e, err := m.NewEngine(EngineOptions{MaxSequences: 6})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	got := make([][]int32, len(prompts))
	for i := range prompts {
		wg.Add(1)
		go func() {
			defer wg.Done()
			s, err := e.Submit(t.Context(), prompts[i], options[i])
			if err != nil {
				t.Error(err)
				return
			}
			var finish string
			if got[i], finish, err = drain(s); err != nil || finish != "length" {
				t.Errorf("request %d: finish %q, %v", i, finish, err)
			}
		}()
	}
	wg.Wait()
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range prompts {
		want, err := m.Generate(t.Context(), prompts[i:i+1], options[i])
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got[i], want[0]) {
			t.Errorf("request %d (%+v): %v, alone %v", i, options[i], got[i], want[0])
		}
	}
}

func TestEngineQueueIsBounded(t *testing.T) {
	m := openPath(t, pretrained)
	e, err := m.NewEngine(EngineOptions{MaxSequences: 1, Queue: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(t.Context())
	o := GenerateOptions{MaxNewTokens: 100, EOS: []int64{}}
	var streams []*Stream
	busy := 0
	for range 8 {
		s, err := e.Submit(t.Context(), []int32{5, 6}, o)
		if errors.Is(err, ErrBusy) {
			busy++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	if busy < 5 { // one runs, two wait
		t.Errorf("%d of 8 were refused", busy)
	}
	for _, s := range streams {
		if ids, _, err := drain(s); err != nil || len(ids) != 100 {
			t.Errorf("%d tokens, %v", len(ids), err)
		}
	}
}

// A cancelled request ends at once and gives its place to the next.
func TestEngineCancellation(t *testing.T) {
	m := openPath(t, pretrained)
	e, err := m.NewEngine(EngineOptions{MaxSequences: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	long, err := e.Submit(ctx, []int32{5}, GenerateOptions{MaxNewTokens: 120, EOS: []int64{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := long.Next(); err != nil {
		t.Fatal(err)
	}
	next, err := e.Submit(t.Context(), []int32{5}, GenerateOptions{MaxNewTokens: 2, EOS: []int64{}})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, _, err := drain(long); !errors.Is(err, context.Canceled) {
		t.Errorf("the cancelled stream says %v", err)
	}
	if ids, _, err := drain(next); err != nil || len(ids) != 2 {
		t.Errorf("the next request got %v, %v", ids, err)
	}
}

// Close refuses what is new and drains what is old, or gives up when its context
// ends; no goroutine is left.
func TestEngineClose(t *testing.T) {
	m := openPath(t, pretrained)
	before := runtime.NumGoroutine()
	e, err := m.NewEngine(EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.Submit(t.Context(), []int32{5}, GenerateOptions{MaxNewTokens: 20, EOS: []int64{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ids, _, err := drain(s); err != nil || len(ids) != 20 {
		t.Errorf("a drained request has %d tokens, %v", len(ids), err)
	}
	if _, err := e.Submit(t.Context(), []int32{5}, GenerateOptions{}); !errors.Is(err, ErrEngineClosed) {
		t.Errorf("a closed engine says %v", err)
	}
	e, err = m.NewEngine(EngineOptions{MaxSequences: 1})
	if err != nil {
		t.Fatal(err)
	}
	var streams []*Stream
	for range 9 {
		s, err := e.Submit(t.Context(), []int32{5}, GenerateOptions{MaxNewTokens: 120, EOS: []int64{}})
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := e.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an impatient close says %v", err)
	}
	if _, _, err := drain(streams[8]); !errors.Is(err, ErrEngineClosed) {
		t.Errorf("an abandoned request says %v", err)
	}
	for i := 0; runtime.NumGoroutine() > before && i < 100; i++ {
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, %d before", n, before)
	}
}

func TestEngineRefuses(t *testing.T) {
	m := openPath(t, pretrained)
	e, err := m.NewEngine(EngineOptions{MaxSequences: 2, MaxTokens: 50})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(t.Context())
	for what, c := range map[string]struct {
		prompt []int32
		o      GenerateOptions
	}{
		"an empty prompt":               {nil, GenerateOptions{}},
		"an unknown id":                 {[]int32{9999}, GenerateOptions{}},
		"more beams than places":        {[]int32{1}, GenerateOptions{Beams: 3}},
		"more tokens than the cache":    {[]int32{1}, GenerateOptions{MaxNewTokens: 50}},
		"a temperature that is nothing": {[]int32{1}, GenerateOptions{Temperature: -3}},
	} {
		if _, err := e.Submit(t.Context(), c.prompt, c.o); !errors.Is(err, ErrUsage) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A request that the model can't compute, here a text beyond the positions that nothing says, ends alone: those beside it
// get what they get without it.
func TestEngineFailureEndsOneRequest(t *testing.T) {
	dir := t.TempDir()
	data, err := os.ReadFile(filepath.Join(pretrained, "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "model.onnx"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	m := openPath(t, dir)
	e, err := m.NewEngine(EngineOptions{MaxSequences: 8})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(t.Context())
	long := make([]int32, 124)
	prompts := [][]int32{{5, 6}, long, {9, 10, 400}, {7}}
	o := GenerateOptions{MaxNewTokens: 20, EOS: []int64{}}
	var streams []*Stream
	for _, p := range prompts {
		s, err := e.Submit(t.Context(), p, o)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	for i, s := range streams {
		ids, _, err := drain(s)
		if i == 1 {
			if err == nil || len(ids) > 5 { // 128 positions
				t.Errorf("the long text has %d tokens, %v", len(ids), err)
			}
			continue
		}
		want, failed := m.Generate(t.Context(), prompts[i:i+1], o)
		if err != nil || failed != nil || !slices.Equal(ids, want[0]) {
			t.Errorf("request %d: %v, alone %v (%v, %v)", i, ids, want, err, failed)
		}
	}
}

// Requests that come, go and are cancelled at any time leave the others what they get alone.
func TestEngineUnderCancellation(t *testing.T) {
	m := openPath(t, pretrained)
	prompts, options := engineRequests(40)
	want := make([][]int32, len(prompts))
	for i := range prompts {
		if i%3 != 0 {
			out, err := m.Generate(t.Context(), prompts[i:i+1], options[i])
			if err != nil {
				t.Fatal(err)
			}
			want[i] = out[0]
		}
	}
	e, err := m.NewEngine(EngineOptions{MaxSequences: 5, MaxTokens: 200})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range prompts {
		ctx, cancel := context.WithCancel(t.Context())
		s, err := e.Submit(ctx, prompts[i], options[i])
		if err != nil {
			t.Fatal(err)
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer cancel()
			if i%3 == 0 {
				if i%2 == 0 {
					_, _ = s.Next()
				}
				cancel()
				if _, _, err := drain(s); !errors.Is(err, context.Canceled) {
					t.Errorf("cancelled request %d: %v", i, err)
				}
				return
			}
			if ids, _, err := drain(s); err != nil || !slices.Equal(ids, want[i]) {
				t.Errorf("request %d: %v (%v), alone %v", i, ids, err, want[i])
			}
		}()
	}
	wg.Wait()
	if running, waiting, tokens := e.Load(); waiting != 0 || running > 1 || tokens > 200 {
		t.Errorf("after all are done %d run, %d wait, %d tokens are held", running, waiting, tokens)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
