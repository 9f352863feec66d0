package runtime

import "runtime/debug"

// memoryBeside is what a run takes beside its microbatch. What the process holds
// already is measured; the rest is counted.
func (f *finetune) memoryBeside() MemoryUse {
	u := vectorMemory(f.program, f.options.optimizer(0), f.options.EMA > 0, f.ranks)
	if f.trainer.kept != nil {
		u.Sums = 0
	}
	f.env.TrimPool()
	debug.FreeOSMemory() // what reading and rewriting the model left, before the vectors come
	u.Process = residentMemory()
	u.Sessions = libraryBytes
	for _, s := range f.trainer.sets() {
		u.Sessions += s.sessionBytes()
	}
	if f.losses != nil {
		u.Sessions += f.losses.sessionBytes()
	}
	u.Garbage = garbageBytes
	return u
}

// microbatchPeak predicts the values of a run of so many records. Sums that stay
// where the run left them are among these; the vector that takes the noised sum is
// there only between runs.
func (f *finetune) microbatchPeak(records int) (peak int64) {
	if f.trainer.kept != nil {
		peak = 4 * elements(f.program.Trained)
	}
	for _, s := range f.trainer.sets() {
		if p := s.peakBytes(records); s.shares() {
			peak = max(peak, p)
		} else {
			peak += p
		}
	}
	return peak
}

// safePeak is what a limit must leave for a run of so many records: the prediction
// and three eighths, which the runtime was seen to take beyond it (peak_test.go).
func (f *finetune) safePeak(records int) int64 { return f.microbatchPeak(records) / 8 * 11 }

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
		return usage("a microbatch of %d records needs %d MB, with the rest of the run %d; --max-memory allows %d: give a smaller --microbatch, shorten --max-length or raise --max-memory",
			size, f.use.Microbatch>>20+1, f.use.Total()>>20+1, int64(f.options.MaxMemory)>>20)
	}
	return nil
}
