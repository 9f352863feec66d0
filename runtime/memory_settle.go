package runtime

import (
	"context"
	"math"
	"runtime/debug"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// openSessions opens the sessions of all programs, measures what the process holds
// before and what they add, and learns what the runtime made of the programs. On a
// GPU they are opened when they are needed, and what they take is a guess.
func (f *finetune) openSessions(ctx context.Context) error {
	f.use.Process, f.use.Sessions = f.settledMemory(), libraryBytes
	if !f.place.device.IsCPU() {
		for _, s := range f.allSets() {
			f.use.Sessions += s.sessionBytes()
		}
		return nil
	}
	if err := f.openSets(ctx); err != nil {
		return err
	}
	f.use.Sessions += max(0, f.settledMemory()-f.use.Process)
	return nil
}

// allSets are the programs of training and those of validation.
func (f *finetune) allSets() []*stepSet {
	if f.losses == nil {
		return f.trainer.sets()
	}
	return append(f.trainer.sets(), f.losses)
}

// openSets opens the sessions that are not open yet, on the processor.
func (f *finetune) openSets(ctx context.Context) error {
	if !f.place.device.IsCPU() {
		return nil
	}
	for _, s := range f.allSets() {
		if err := s.open(ctx); err != nil {
			return err
		}
	}
	return nil
}

// settledMemory is what the process holds without what it could give back.
func (f *finetune) settledMemory() int64 {
	f.env.TrimPool()
	debug.FreeOSMemory()
	return residentMemory()
}

// countVectors adds what a run holds from its first step to its last, and the garbage
// that it leaves.
func (f *finetune) countVectors() {
	u := vectorMemory(f.program, f.options.optimizer(0), f.options.EMA > 0, f.ranks)
	if f.trainer.kept != nil {
		u.Sums = 0
	}
	if n := f.movedNumbers(); n > 0 { // they and their gradient; the moments are theirs
		u.Weights += 2 * 4 * n
		u.Moments = 4 * n * int64(f.options.optimizer(0).StateVectors())
	}
	u.Process, u.Sessions, u.Garbage = f.use.Process, f.use.Sessions, garbageBytes
	f.use = u
}

// microbatchPeak predicts the values of a run of so many records. Sums that stay
// where the run left them are among these; the vector that takes the noised sum is
// there only between runs.
func (f *finetune) microbatchPeak(records int) (peak int64) {
	peak = f.noisedSum()
	for _, s := range f.trainer.sets() {
		if p := s.peakBytes(records); s.shares() {
			peak = max(peak, p)
		} else {
			peak += p
		}
	}
	return peak
}

// noisedSum is the vector that takes the noised sum between runs, where the runs' sums
// have no vector of their own.
func (f *finetune) noisedSum() int64 {
	if f.trainer.kept == nil {
		return 0
	}
	return 4 * elements(f.program.Trained)
}

// stepPeak predicts what a step's runs take when of each length there are as many
// records as the expected batch has, and three standard deviations more; validation
// has whole microbatches.
func (f *finetune) stepPeak(batch float64, lengths []LengthEstimate) int64 {
	peak := f.noisedSum()
	for i := range lengths {
		l := &lengths[i]
		expected := batch * l.Share / float64(f.ranks.size())
		rows := min(f.trainer.size, int(math.Ceil(expected+3*math.Sqrt(expected))))
		if f.trainer.fixed {
			rows = f.trainer.size
		}
		var most, all int64
		for _, s := range f.trainer.sets() {
			bytes := s.byLength[l.Tokens].peak(rows, l.Tokens).Bytes
			most, all = max(most, bytes), all+bytes
		}
		if !f.trainer.steps.shares() {
			most = all
		}
		peak = max(peak, most)
	}
	if f.losses != nil {
		peak = max(peak, f.losses.peakBytes(f.trainer.size))
	}
	return peak
}

// safePeak is what a limit must leave for a run of so many records: the prediction
// and what the pool may hold beyond it, a sixteenth. Where it is not known what the
// runtime made of the programs it is three eighths, by which the prediction was too
// low at most.
func (f *finetune) safePeak(records int) int64 {
	peak := f.microbatchPeak(records)
	for _, s := range f.trainer.sets() {
		if !s.seen() {
			return peak / 8 * 11
		}
	}
	return ort.PoolHolds(peak)
}

// hostMemory is what is left of main memory for the values of a microbatch.
func (f *finetune) hostMemory() (int64, error) {
	beside := f.use.Vectors() + f.use.Sessions + f.use.Garbage
	if f.options.MaxMemory > 0 { // the limit of the whole process
		beside += f.use.Process
	}
	return microbatchMemory(int64(f.options.MaxMemory), beside, f.ranks.here())
}

// checkMemory refuses a microbatch that was given, by the user or by the model's
// declared batch, and does not fit into --max-memory.
func (f *finetune) checkMemory(size int) error {
	if f.options.MaxMemory == 0 || !f.place.device.IsCPU() {
		return nil
	}
	limit, err := f.hostMemory()
	if err != nil {
		return err
	}
	if f.safePeak(size) > limit {
		return noRoom("a microbatch of %d records needs %d MB, with the rest of the run %d; --max-memory allows %d: give a smaller --microbatch, shorten --max-length or raise --max-memory",
			size, f.use.Microbatch>>20+1, f.use.Total()>>20+1, int64(f.options.MaxMemory)>>20)
	}
	return nil
}
