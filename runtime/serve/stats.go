package serve

import (
	"sync"
	"time"
)

// Stats count what a loaded model has done, from its loading on.
type Stats struct {
	Succeeded, Failed Tally     // requests, from entering the queue to their result
	Queued            Tally     // requests, until their run began
	Computed          Tally     // requests, for as long as their run took
	Runs              uint64    // forward passes
	Last              time.Time // end of the last one; zero where there was none
}

// A Tally counts events and sums their durations.
type Tally struct {
	Count uint64
	Total time.Duration
}

func (t *Tally) add(d time.Duration) { t.Count++; t.Total += d }

// statsBox guards an instance's Stats.
type statsBox struct {
	mu sync.Mutex
	Stats
}

// Stats returns what the model has done.
func (i *instance) Stats() Stats {
	i.stats.mu.Lock()
	defer i.stats.mu.Unlock()
	return i.stats.Stats
}

// answered counts a request.
func (s *statsBox) answered(took time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.Failed.add(took)
		return
	}
	s.Succeeded.add(took)
}

// ran counts a forward pass of jobs that began at begun.
func (s *statsBox) ran(jobs []*job, begun time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Last = time.Now()
	s.Runs++
	for _, j := range jobs {
		s.Queued.add(begun.Sub(j.arrived))
		s.Computed.add(s.Last.Sub(begun))
	}
}
