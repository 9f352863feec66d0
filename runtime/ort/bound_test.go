package ort

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The code for devices runs here with the processor as the device: the same allocators, bindings and copies, whose
// results must be those of ordinary runs bit for bit. gpu_test.go has the same with a GPU, where there is one.

func testMemory(t testing.TB, d Device) *DeviceMemory {
	t.Helper()
	m, err := testEnv(t).NewDeviceMemory(d, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// upload makes a device tensor of numbers.
func upload(t testing.TB, m *DeviceMemory, from *Tensor) *DeviceTensor {
	t.Helper()
	x, err := m.NewTensor(from.DType(), from.Shape())
	if err == nil {
		err = x.Upload(t.Context(), from)
	}
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func download(t testing.TB, x *DeviceTensor) *Tensor {
	t.Helper()
	to, err := NewZeros(x.DType(), x.Shape())
	if err == nil {
		err = x.Download(t.Context(), to)
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func TestDeviceTensorCopies(t *testing.T) { testDeviceCopies(t, Device{}) }

func testDeviceCopies(t *testing.T, d Device) {
	m := testMemory(t, d)
	for _, from := range []*Tensor{
		tensor(t, []int64{2, 3}, float32(1), 2, 3, 4, 5, 6),
		tensor(t, []int64{}, float32(7)),
		tensor[float32](t, []int64{0, 4}),
		tensor(t, []int64{3}, int64(-1), 0, 1<<62),
		tensor(t, []int64{2}, true, false),
		tensor(t, []int64{2}, uint16(1), 2),
	} {
		x := upload(t, m, from)
		if got := download(t, x); got.String() != from.String() || !slices.Equal(got.Bytes(), from.Bytes()) {
			t.Errorf("%s came back as %s, %v", from, got, got.Bytes())
		}
		if want := from.String() + " on " + d.String(); x.String() != want || x.Len() != from.Len() {
			t.Errorf("%s, want %s", x, want)
		}
		x.Release()
		x.Release()
		if err := x.Upload(t.Context(), from); from.Len() > 0 && (err == nil || !strings.Contains(err.Error(), "released")) {
			t.Errorf("upload to a released tensor: %v", err)
		}
	}
}

// trainingRun is a step of chainGraph: its weights, its batch and the sums it gives by an ordinary run.
type trainingRun struct {
	session *Session
	weights map[string]*Tensor
	batch   map[string]*Tensor
}

func newTrainingRun(t testing.TB, o Options, layers, width, rows int) *trainingRun {
	r := &trainingRun{testSession(t, chainGraph(layers, width), o), map[string]*Tensor{}, map[string]*Tensor{}}
	for i := 1; i <= layers; i++ {
		w := make([]float32, width*width)
		for j := range w {
			w[j] = float32((j*i)%7-3) / float32(width)
		}
		r.weights[fmt.Sprintf("w%d", i)] = tensor(t, []int64{int64(width), int64(width)}, w...)
	}
	r.feed(t, rows, width, 1)
	return r
}

func (r *trainingRun) feed(t testing.TB, rows, width, seed int) {
	h := make([]float32, rows*width)
	for j := range h {
		h[j] = float32((j*seed)%11-5) / 10
	}
	r.batch["h0"] = tensor(t, []int64{int64(rows), int64(width)}, h...)
}

// plain runs with everything in main memory.
func (r *trainingRun) plain(t testing.TB) map[string]*Tensor {
	t.Helper()
	feeds := map[string]*Tensor{"h0": r.batch["h0"]}
	for name, w := range r.weights {
		feeds[name] = w
	}
	out, err := r.session.Run(t.Context(), feeds)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func equalOutputs(t testing.TB, got, want map[string]*Tensor) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d outputs, want %d", len(got), len(want))
		return
	}
	for name, w := range want {
		if got[name] == nil || got[name].String() != w.String() || !slices.Equal(got[name].Bytes(), w.Bytes()) {
			t.Errorf("%s: %v, want %v", name, got[name], w)
		}
	}
}

// Weights that lie on the device give what fed ones do, also after an update in place; outputs can stay there.
func TestRunBound(t *testing.T) {
	const layers, width, rows = 3, 8, 5
	r := newTrainingRun(t, Options{}, layers, width, rows)
	m := testMemory(t, Device{})
	there := map[string]*DeviceTensor{}
	for name, w := range r.weights {
		there[name] = upload(t, m, w)
	}
	for range 2 {
		want := r.plain(t)
		got, err := r.session.RunBound(t.Context(), Bound{Feeds: r.batch, Device: there})
		if err != nil {
			t.Fatal(err)
		}
		equalOutputs(t, got, want)

		sum := tensor(t, []int64{}, float32(-1))
		stays, err := m.NewTensor(Float32, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err = r.session.RunBound(t.Context(), Bound{
			Feeds: r.batch, Device: there, Fetches: []Fetch{{Name: "norm2", Into: sum}, {Name: "norm1"}}, Into: map[string]*DeviceTensor{"norm3": stays},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got["norm2"] != sum || len(got) != 2 {
			t.Errorf("got %v", got)
		}
		got["norm3"] = download(t, stays)
		equalOutputs(t, got, want)

		for name, w := range r.weights { // the update
			for j := range data[float32](t, w) {
				data[float32](t, w)[j] *= 1.5
			}
			if err := there[name].Upload(t.Context(), w); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestRunBoundRefuses(t *testing.T) {
	r := newTrainingRun(t, Options{Name: "step"}, 2, 4, 3)
	m, other := testMemory(t, Device{}), testMemory(t, Device{})
	w1, w2 := upload(t, m, r.weights["w1"]), upload(t, m, r.weights["w2"])
	gone := upload(t, m, r.weights["w2"])
	gone.Release()
	wide, err := m.NewTensor(Float32, []int64{4, 5})
	if err != nil {
		t.Fatal(err)
	}
	scalar, err := m.NewTensor(Int64, nil)
	if err != nil {
		t.Fatal(err)
	}
	both := func(b *DeviceTensor) map[string]*DeviceTensor { return map[string]*DeviceTensor{"w1": w1, "w2": b} }
	for want, b := range map[string]Bound{
		`session step: input "w2" is not fed: want float32[4 4]`:                                     {Feeds: r.batch, Device: map[string]*DeviceTensor{"w1": w1}},
		`session step: "w2": got no tensor (nil)`:                                                    {Feeds: r.batch, Device: both(nil)},
		`session step: input "w2": the tensor was released`:                                          {Feeds: r.batch, Device: both(gone)},
		`session step: input "w2": got size 5 on axis 1 (float32[4 5]), want 4 (float32[4 4])`:       {Feeds: r.batch, Device: both(wide)},
		`session step: input "w1" is fed from main memory and from the device`:                       {Feeds: map[string]*Tensor{"h0": r.batch["h0"], "w1": r.weights["w1"]}, Device: both(w2)},
		`session step: the model has no input "v": its inputs are ["h0" "w1" "w2"]`:                  {Feeds: r.batch, Device: map[string]*DeviceTensor{"w1": w1, "w2": w2, "v": w2}},
		`session step: output "norm1" is fetched twice`:                                              {Feeds: r.batch, Device: both(w2), Fetches: Outputs("norm1"), Into: map[string]*DeviceTensor{"norm1": w1}},
		`session step: the model has no output "x": its outputs are ["norm1" "norm2"]`:               {Feeds: r.batch, Device: both(w2), Into: map[string]*DeviceTensor{"x": w1}},
		`session step: output "norm1": the destination is int64[] on cpu, the model gives float32[]`: {Feeds: r.batch, Device: both(w2), Into: map[string]*DeviceTensor{"norm1": scalar}},
		`session step: output "norm1": the tensor was released`:                                      {Feeds: r.batch, Device: both(w2), Into: map[string]*DeviceTensor{"norm1": gone}},
	} {
		if _, err := r.session.RunBound(t.Context(), b); err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
	if _, err := r.session.RunBound(t.Context(), Bound{Feeds: r.batch, Device: both(upload(t, other, r.weights["w2"]))}); err == nil || !strings.Contains(err.Error(), "another device memory") {
		t.Errorf("got %v", err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := r.session.RunBound(stopped, Bound{Feeds: r.batch, Device: both(w2)}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := w1.Upload(t.Context(), r.batch["h0"]); err == nil {
		t.Error("a tensor of another shape was copied")
	}
	if _, err := m.NewTensor(Undefined, nil); err == nil {
		t.Error("a tensor of no type")
	}
	if _, err := m.NewTensor(Float32, []int64{-1}); err == nil {
		t.Error("a tensor of a negative size")
	}
}

// Close and Release wait for the runs under way, and what comes later is refused. Under -race this is where a lock that
// is missing shows.
func TestDeviceMemoryConcurrently(t *testing.T) {
	r := newTrainingRun(t, Options{Threads: 1}, 2, 16, 64)
	want := r.plain(t)
	m := testMemory(t, Device{})
	there := map[string]*DeviceTensor{"w1": upload(t, m, r.weights["w1"]), "w2": upload(t, m, r.weights["w2"])}
	var all sync.WaitGroup
	began := make(chan struct{}, 64)
	for range 4 {
		all.Go(func() {
			for range 10000 {
				got, err := r.session.RunBound(t.Context(), Bound{Feeds: r.batch, Device: there})
				if err != nil {
					if !strings.Contains(err.Error(), "released") {
						t.Error(err)
					}
					return
				}
				equalOutputs(t, got, want)
				select {
				case began <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 8 {
		select {
		case <-began:
		case <-time.After(20 * time.Second):
			t.Fatal("no run ends")
		}
	}
	there["w2"].Release()
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	all.Wait()
	if _, err := m.NewTensor(Float32, []int64{1}); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("a tensor of closed memory: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if f, foreign := m.HostFloats(3); len(f) != 3 || foreign {
		t.Errorf("got %v", f)
	}
}
