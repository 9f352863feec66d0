package runtime

import (
	"context"
	"errors"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// A workplace says where sessions run.
type workplace struct {
	threads int
	device  ort.Device
}

// options are those of a session.
func (p workplace) options(name string) ort.Options {
	return ort.Options{Name: name, Threads: p.threads, Device: p.device}
}

// parseDevice reads --device.
func parseDevice(text string) (ort.Device, error) {
	d, err := ort.ParseDevice(text)
	if err != nil {
		return d, usage("--device: %w", err)
	}
	return d, nil
}

// workplace is where the model's sessions run.
func (m *Model) workplace() (workplace, error) {
	d, err := parseDevice(m.options.Device)
	return workplace{m.options.Threads, d}, err
}

// sessionOptions are those of a session of the model.
func (m *Model) sessionOptions(name string) (ort.Options, error) {
	p, err := m.workplace()
	return p.options(name), err
}

// A resident is a copy of the weights in a device's memory, from where runs read
// them. The arenas stay what is updated and written; what changed there is copied
// before the next run.
type resident struct {
	memory  *ort.DeviceMemory
	tensors map[string]*ort.DeviceTensor
	stale   map[string]*ort.Tensor // what has to be copied
}

// reside gives all weights a copy in a device's memory.
func (w *Weights) reside(memory *ort.DeviceMemory) error {
	r := &resident{memory: memory, tensors: map[string]*ort.DeviceTensor{}, stale: map[string]*ort.Tensor{}}
	for _, a := range []*ort.Arena{w.Trained, w.Frozen} {
		for name, t := range a.Tensors() {
			there, err := memory.NewTensor(ort.Float32, t.Shape())
			if err != nil {
				return err
			}
			r.tensors[name], r.stale[name] = there, t
		}
	}
	w.resident = r
	return nil
}

// changed says that the trained weights were written to. Whoever writes to them
// calls it; without a device it does nothing.
func (w *Weights) changed() {
	if w.resident == nil {
		return
	}
	for name, t := range w.Trained.Tensors() {
		w.resident.stale[name] = t
	}
}

// current copies what changed, and returns the weights on the device; nil without
// one. It must not run beside a step that reads them.
func (w *Weights) current(ctx context.Context) (map[string]*ort.DeviceTensor, error) {
	r := w.resident
	if r == nil {
		return nil, nil
	}
	for name, t := range r.stale {
		if err := r.tensors[name].Upload(ctx, t); err != nil {
			return nil, err
		}
		delete(r.stale, name)
	}
	return r.tensors, nil
}

// openDevice settles where a training run computes. On a device, weights stay in
// its memory, and where a vector takes the sums of a run, it lies where the device
// copies to fastest.
func (f *finetune) openDevice() (err error) {
	if f.place, err = f.model.workplace(); err != nil {
		return err
	}
	p := ghost.Precision(f.options.Precision)
	if p.IsHalf() && f.options.UnitColumn == "" && f.ranks.size() > 1 {
		return usage("--precision %s: by several processes a record could be computed on another GPU when others join it, and get other bits; use one process, or --unit-column", p)
	}
	if err := f.place.checkPrecision(p, f.options.halfOnCPU); err != nil {
		return err
	}
	if f.place.device.IsCPU() && !f.options.resident {
		return nil
	}
	if err := f.env.CheckDevice(f.place.device); err != nil {
		return err
	}
	if f.memory, err = f.env.NewDeviceMemory(f.place.device, 0); err != nil {
		return err
	}
	return nil
}

// moveToDevice gives weights and sums their places there, where there is a device.
func (f *finetune) moveToDevice() error {
	t := f.trainer
	if f.memory == nil {
		t.sums = t.weights.Trained.Like()
		return nil
	}
	if t.kept != nil { // no run writes into it
		t.sums = t.weights.Trained.Like()
	} else {
		t.sums = t.weights.Trained.LikeIn(f.memory)
	}
	return t.weights.reside(f.memory)
}

// microbatchLimit is the memory that a run of a microbatch may take.
func (f *finetune) microbatchLimit() (int64, error) {
	if f.place.device.IsCPU() {
		return f.hostMemory()
	}
	return f.deviceMemory()
}

// deviceMemory is what a microbatch may take of a GPU's memory: of --max-memory, or
// else of nine tenths of all that it has, what weights and sums leave.
func (f *finetune) deviceMemory() (int64, error) {
	limit := int64(f.options.MaxMemory)
	if limit == 0 {
		gpus, err := ort.GPUs()
		if err != nil {
			return 0, err
		}
		for _, g := range gpus {
			if g.Device == f.place.device {
				limit = g.Bytes / 10 * 9
			}
		}
	}
	return leftOnDevice(f.place.device, limit, f.program)
}

func leftOnDevice(d ort.Device, limit int64, p *ghost.Program) (int64, error) {
	held := 4 * (2*elements(p.Trained) + elements(p.Frozen) + elements(p.Unreached))
	if limit <= held {
		return 0, usage("weights and sums need %d MB of the memory of %s, of which %d may be used; train fewer parameters (--trainable, --method bias-only) or take a larger GPU", held>>20+1, d, limit>>20)
	}
	return limit - held, nil
}

// closeDevice gives the device's memory back, after everything that uses it.
func (f *finetune) closeDevice() error {
	if f.memory == nil {
		return nil
	}
	return f.memory.Close()
}

// isDeviceError reports an error about a device that can't be used.
func isDeviceError(err error) bool {
	var d *ort.DeviceError
	return errors.As(err, &d)
}
