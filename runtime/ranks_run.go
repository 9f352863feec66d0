package runtime

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"unsafe"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// validateRanks refuses what is not done by several processes.
func (o *FinetuneOptions) validateRanks() error {
	if o.Ranks == nil {
		return nil
	}
	if o.search != nil || o.canaries != nil || o.planted != nil {
		return usage("searches and audits run in one process; start this one without mpirun")
	}
	return nil
}

// meet joins the ranks before anything is read, and settles what this one may take of its machine.
func (f *finetune) meet(context.Context) (err error) {
	o := f.options
	if f.ranks, err = newRanks(o.Ranks); err != nil || f.ranks == nil {
		return err
	}
	if !f.ranks.first() {
		o.Progress, o.Debug = silent{}, false
	}
	if o.givenThreads = o.Threads; o.Threads == 0 {
		o.Threads = f.ranks.threads
	}
	return nil
}

// device is --device. Of several ranks on a machine each takes a GPU of its own among those that it sees.
func (f *finetune) device() string {
	if f.ranks == nil || f.options.Device != "cuda" {
		return f.options.Device
	}
	gpus, err := ort.GPUs()
	if err != nil || len(gpus) == 0 {
		return f.options.Device // opening the model says what is missing
	}
	return fmt.Sprintf("cuda:%d", f.ranks.local%len(gpus))
}

// verify refuses ranks that don't have the same program, plan, model and data, before anything is charged.
func (f *finetune) verify(context.Context) error {
	if f.ranks == nil {
		return nil
	}
	items := []struct {
		name   string
		digest func(h hash.Hash) error
	}{
		{"binary of ghostwriter", hashBinary}, {"onnxruntime library", f.hashLibrary}, {"list of options", f.hashOptions}, {"plan", f.hashPlan},
		{"model", f.hashModel}, {"training step", f.hashPrograms}, {"data set", f.hashData},
	}
	var mine []byte
	var failed error
	for _, item := range items {
		h := sha256.New()
		if err := item.digest(h); err != nil {
			failed = errors.Join(failed, fmt.Errorf("hash of the %s: %w", item.name, err))
		}
		mine = h.Sum(mine)
	}
	if err := f.ranks.agree(failed); err != nil {
		return err
	}
	all, err := f.ranks.exchange(mine)
	if err != nil {
		return err
	}
	for k, item := range items {
		for r, theirs := range all {
			if at := k * sha256.Size; !slices.Equal(theirs[at:at+sha256.Size], all[0][at:at+sha256.Size]) {
				return usage("rank %d has another %s than rank 0; every rank needs the same files and options", r, item.name)
			}
		}
	}
	return nil
}

func hashBinary(h hash.Hash) error {
	path, err := os.Executable()
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(h, file)
	return err
}

func (f *finetune) hashLibrary(h hash.Hash) error {
	_, err := io.WriteString(h, f.env.Version())
	return err
}

// hashOptions covers what a step does beside the plan, without what a machine may have of its own.
func (f *finetune) hashOptions(h hash.Hash) error {
	o := *f.options
	o.Debug, o.Threads, o.givenThreads = false, 0, 0
	for _, p := range []*string{&o.Model, &o.Train, &o.Valid, &o.Out, &o.Tokenizer, &o.SamplePrompts, &o.Library, &o.Budget} {
		*p = ""
	}
	data, err := marshalOptions(&o, "")
	h.Write(data)
	return err
}

func (f *finetune) hashPlan(h hash.Hash) error {
	_, err := io.WriteString(h, f.plan.Hash())
	return err
}

func (f *finetune) hashModel(h hash.Hash) error {
	for _, a := range []*ort.Arena{f.trainer.weights.Trained, f.trainer.weights.Frozen} {
		for _, p := range a.Params() {
			fmt.Fprintf(h, "%q %v\n", p.Name, p.Shape)
		}
		hashNumbers(h, a.Data())
	}
	return nil
}

// hashPrograms covers the graphs of every padding length, and the records of a run.
func (f *finetune) hashPrograms(h hash.Hash) error {
	fmt.Fprintln(h, f.trainer.size, f.trainer.fixed)
	for _, s := range f.trainer.sets() {
		for _, length := range f.data.buckets.Edges() {
			for hash, st := range s.byHash {
				if st == s.byLength[length] {
					h.Write(binary.BigEndian.AppendUint64(nil, uint64(length)))
					h.Write(hash[:])
				}
			}
		}
	}
	return nil
}

func (f *finetune) hashData(h hash.Hash) error {
	d := f.data
	fmt.Fprintln(h, d.loss, d.padID, d.startID, d.labelWords, d.buckets.Edges(), len(d.examples), len(d.units))
	for _, e := range d.examples {
		for _, v := range [][]int32{e.IDs, e.TypeIDs, e.Labels, e.Target, {e.Label, e.MaskPosition}} {
			hashNumbers(h, v)
		}
		fmt.Fprintln(h, e.Dropped)
	}
	for _, u := range d.units {
		fmt.Fprintln(h, u)
	}
	return nil
}

// hashNumbers hashes a vector and its length.
func hashNumbers[T int32 | float32](h hash.Hash, v []T) {
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(v))))
	if len(v) > 0 {
		h.Write(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v)))
	}
}

// announceRanks says how many processes train, and when some of them will have nothing to do.
func (f *finetune) announceRanks() {
	if f.ranks == nil {
		return
	}
	say, s, k := f.options.Progress.Message, f.plan.Spec(), f.ranks.size()
	say(fmt.Sprintf("%d ranks, %d of them on this machine", k, f.ranks.here()))
	if n := s.ExpectedBatch / float64(s.Microbatch); n < float64(k) {
		say(fmt.Sprintf("a step has about %.3g full microbatches for %d ranks, so some will wait: take a smaller --microbatch, a larger --expected-batch or fewer ranks", n, k))
	}
}

// follow takes the steps that rank 0 orders. What fails in a step rank 0 learns there; it says what comes then.
func (f *finetune) follow(ctx context.Context) (*FinetuneResult, error) {
	for {
		o, err := f.ranks.pass(order{})
		if err != nil {
			return nil, err
		}
		switch o.kind {
		case orderStep:
			_, err = f.trainer.step(ctx, o.step, o.total)
		case orderState:
			_, err = f.trainer.gatherState()
		case orderEnd:
			return f.ranks.ended(o)
		default:
			err = fmt.Errorf("%w: order %d", ErrRanks, o.kind)
		}
		if errors.Is(err, ErrRanks) {
			return nil, err
		}
	}
}

// joinRanks makes the stepper of a rank, after rank 0 has opened the ledger (opened is whether that went well), and
// gives all of them rank 0's weights and moments.
func (f *finetune) joinRanks(opened error) (err error) {
	if err := f.ranks.agree(opened); err != nil {
		return err
	}
	if err := f.shareState(); err != nil {
		return err
	}
	rows := f.data.size() + f.options.planted.records()
	o := dpadam.StepperOptions{Workers: f.options.Threads, Hook: f.options.Hook.At, ClipNorm: f.clipNorm}
	if f.ranks != nil {
		o.Ranks = f.ranks.comm
	}
	if f.ranks.first() {
		f.trainer.stepper, err = dpadam.NewStepper(f.ledger, rows, o)
	} else {
		f.trainer.stepper, err = dpadam.FollowStepper(f.plan, rows, o)
	}
	return err
}

// shareState gives the ranks the state that rank 0 has taken from a checkpoint.
func (f *finetune) shareState() error {
	if f.ranks == nil || !f.options.Resume {
		return nil
	}
	t := f.trainer
	msg := binary.BigEndian.AppendUint64(nil, uint64(f.taken))
	msg, err := binary.Append(msg, binary.BigEndian, f.clipNorm)
	if err != nil {
		return err
	}
	if err := f.ranks.comm.Broadcast(msg); err != nil {
		return rankError(err)
	}
	if _, err := binary.Decode(msg[8:], binary.BigEndian, &f.clipNorm); err != nil {
		return err
	}
	f.taken = int64(binary.BigEndian.Uint64(msg))
	if f.taken == 0 {
		return nil // no checkpoint: the given model
	}
	if err := f.ranks.spread(t.weights.Trained.Data()); err != nil {
		return err
	}
	for k, whole := range t.wholeState() {
		if err := f.ranks.spread(whole.Data); err != nil {
			return err
		}
		own := t.optimizer.State()[k].Data
		copy(own, whole.Data[t.own.Start:])
	}
	return f.ranks.agree(t.optimizer.SetStep(f.taken))
}

// wholeState are vectors for the whole state of the optimizer: its own in one process. Of several ranks only rank 0
// needs them at the same time, to write or read a checkpoint; the first is the vector of the sums, free between steps.
func (t *trainer) wholeState() []dpadam.Slot {
	slots := t.optimizer.State()
	if t.ranks == nil {
		return slots
	}
	for k := range slots {
		v := t.sums.Data()
		if k > 0 && t.ranks.first() {
			if t.whole == nil {
				t.whole = make([]float32, len(v))
			}
			v = t.whole
		}
		slots[k].Data = v
	}
	return slots
}

// gatherState gathers the state of the optimizer from the ranks.
func (t *trainer) gatherState() ([]dpadam.Slot, error) {
	whole := t.wholeState()
	if t.ranks == nil {
		return whole, nil
	}
	for k, own := range t.optimizer.State() {
		copy(whole[k].Data[t.own.Start:t.own.End], own.Data)
		if err := t.ranks.gather(whole[k].Data); err != nil {
			return nil, err
		}
	}
	return whole, nil
}
