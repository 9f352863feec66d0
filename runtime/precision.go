package runtime

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// validateDevice checks --device and --precision.
func (o *FinetuneOptions) validateDevice() error {
	d, err := parseDevice(o.Device)
	if err != nil {
		return err
	}
	p, err := ghost.ParsePrecision(o.Precision)
	switch {
	case err != nil:
		return usage("--precision: %w", err)
	case p.IsHalf() && o.TwoPass:
		return usage("--precision %s: the second of two passes would round other gradients than those whose norms the first computed; use one pass", p)
	case p.IsHalf() && d.IsCPU() && !o.halfOnCPU:
		return usage("--precision %s: the processor would compute in fp32 all the same, and round; it is for --device cuda", p)
	}
	return nil
}

// arithmetic says in the plan what computes the sums, where that is not fp32 on the
// processor, on which ρ was measured.
func (o *FinetuneOptions) arithmetic() string {
	if o.NoPrivacy {
		return ""
	}
	d, _ := parseDevice(o.Device) // validated
	p, _ := ghost.ParsePrecision(o.Precision)
	with := ""
	if !d.IsCPU() {
		with = "a CUDA device in fp32"
	}
	if p.IsHalf() {
		with = "the processor"
		if !d.IsCPU() {
			with = "a CUDA device"
		}
		with += fmt.Sprintf(", products in %s (norms and sums in fp32; that a record's gradient does not depend on its place was tried on made-up records)", p)
	}
	return with
}

// leastCapability is the compute capability from which on a GPU has fast products of
// a precision.
var leastCapability = map[ghost.Precision]float64{ghost.Half: 7.0, ghost.Brain: 8.0}

// checkPrecision refuses a half precision where products are not faster in it.
func (w workplace) checkPrecision(p ghost.Precision, onCPU bool) error {
	if !p.IsHalf() || onCPU {
		return nil
	}
	if w.device.IsCPU() {
		return usage("precision %s: the processor would compute in fp32 all the same, and round; it is for --device cuda", p)
	}
	gpus, err := ort.GPUs()
	if err != nil {
		return err
	}
	for _, g := range gpus {
		if g.Device == w.device {
			return checkCapability(g, p)
		}
	}
	return nil
}

func checkCapability(g ort.GPU, p ghost.Precision) error {
	if has, err := strconv.ParseFloat(g.Capability, 64); err != nil || has < leastCapability[p] {
		return usage("precision %s needs a GPU of compute capability %.1f, and %s (%s) has %s", p, leastCapability[p], g.Device, g.Name, g.Capability)
	}
	return nil
}

// checkPlaces makes sure that what a run says of a record does not depend on where
// in the microbatch it stands, nor on its neighbours: not in one bit.
//
// In fp32 it may, by the rounding of sums, which ρ allows for. A half precision
// rounds activations and gradients after every product; where a sum that was added up
// in another order falls to the other side of a rounding, whole activations change by
// 2^-9, and when one record more repacks a step this happens to all others. So a
// record has to have the same bits wherever it is packed: every run of a length has
// the same shape (trainer.fixed), and the kernels have to treat rows alike, which is
// what is tried here with records that are made up.
func (f *finetune) checkPlaces(ctx context.Context) error {
	t := f.trainer
	if !f.oneShape() || !f.plan.Noisy() || t.size == 1 {
		return nil
	}
	probe := *t
	all := make([]int, t.size)
	for i := range all {
		all[i] = i
	}
	for _, edge := range f.data.buckets.Edges() {
		probe.data = f.data.madeUp(edge, t.size, f.vocabulary())
		first, err := probe.run(ctx, microbatch{all, edge, t.size})
		if err != nil {
			return err
		}
		for _, shift := range []int{1, t.size / 2} {
			turned := slices.Concat(all[shift:], all[:shift])
			r, err := probe.run(ctx, microbatch{turned, edge, t.size})
			if err != nil {
				return err
			}
			if err := f.samePlaces(r, first, turned, edge); err != nil {
				return err
			}
		}
	}
	return nil
}

// oneShape reports a run whose microbatches of a length all have the same number of
// rows, whatever records they hold. Units are added alone, so that their records'
// neighbours are always the same.
func (f *finetune) oneShape() bool {
	return ghost.Precision(f.options.Precision).IsHalf() && f.data.units == nil
}

// samePlaces compares the rows of a run with those of the first.
func (f *finetune) samePlaces(r, first *ran, turned []int, edge int) error {
	for i, k := range turned {
		if !sameBits(r, i, first, k) {
			return usage("--precision %s: on %s a record's gradient depends on its place among %d records of %d tokens, which the privacy proof excludes in a half precision; take --precision fp32 or --microbatch 1",
				f.options.Precision, f.place.device, f.trainer.size, edge)
		}
	}
	return nil
}

// vocabulary is the number of ids that the model has rows for.
func (f *finetune) vocabulary() int32 {
	rows := int64(1 << 30)
	for _, input := range []string{"input_ids", "decoder_input_ids"} {
		if limit, ok := f.prepared.IndexLimit()[input]; ok {
			rows = min(rows, limit.Rows)
		}
	}
	return int32(rows)
}

// sameBits compares row i of a with row k of b.
func sameBits(a *ran, i int, b *ran, k int) bool {
	same := a.loss[i] == b.loss[k] && a.finite[i] == b.finite[k]
	if a.norm != nil {
		same = same && a.norm[i] == b.norm[k]
	}
	for g := range a.group {
		same = same && a.group[g][i] == b.group[g][k]
	}
	return same
}

// madeUp is a data set of n records for a padding length without any data: ids,
// labels and lengths are drawn with a constant seed, so that a model is refused or
// taken whatever its data are.
func (d *dataset) madeUp(edge, n int, vocabulary int32) *dataset {
	made := *d
	rng := rand.New(rand.NewPCG(uint64(edge), uint64(n)))
	made.examples = make([]tokenize.Example, n)
	for i := range made.examples {
		e := tokenize.Example{MaskPosition: -1, IDs: make([]int32, edge-rng.IntN(edge/2+1))}
		for k := range e.IDs {
			e.IDs[k] = rng.Int32N(vocabulary)
		}
		switch d.loss {
		case "causal-lm", "masked-lm":
			e.Labels = e.IDs
		case "seq2seq":
			e.Target = e.IDs
		case "infill":
			e.MaskPosition, e.Label = rng.Int32N(int32(len(e.IDs))), rng.Int32N(int32(len(d.labelWords)))
		}
		made.examples[i] = e
	}
	return &made
}
