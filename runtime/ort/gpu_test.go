package ort

import (
	"math"
	"testing"
)

// Tests on a GPU: `make gpu-test`. Each is skipped, with the reason, where there is none that the library can use.

// gpu is the first GPU.
func gpu(t testing.TB) Device {
	t.Helper()
	if err := testEnv(t).CheckDevice(CUDA(0)); err != nil {
		t.Skip("no GPU: ", err)
	}
	return CUDA(0)
}

func TestGPUCopies(t *testing.T) { testDeviceCopies(t, gpu(t)) }

func TestGPUHostFloats(t *testing.T) {
	m := testMemory(t, gpu(t))
	if m.pinned == nil {
		t.Error("no page-locked memory")
	}
	floats, _ := m.HostFloats(1000)
	for i := range floats {
		floats[i] = float32(i)
	}
	x := upload(t, m, tensor(t, []int64{1000}, floats...))
	if back := data[float32](t, download(t, x)); back[999] != 999 {
		t.Errorf("got %v", back[999])
	}
}

// A training step's norms agree with the processor's within the rounding of float32 sums, which TF32 would exceed: its
// factors have 10 bits.
func TestGPUTrainingRun(t *testing.T) {
	const layers, width, rows = 3, 64, 96
	d := gpu(t)
	want := newTrainingRun(t, Options{}, layers, width, rows).plain(t)
	r := newTrainingRun(t, Options{Device: d}, layers, width, rows)
	m := testMemory(t, d)
	there := map[string]*DeviceTensor{}
	for name, w := range r.weights {
		there[name] = upload(t, m, w)
	}
	got, err := r.session.RunBound(t.Context(), Bound{Feeds: r.batch, Device: there})
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range want {
		a, b := float64(data[float32](t, got[name])[0]), float64(data[float32](t, w)[0])
		if math.Abs(a-b) > 1e-5*math.Abs(b) {
			t.Errorf("%s: %g on the GPU, %g on the processor", name, a, b)
		}
	}
	again, err := r.session.RunBound(t.Context(), Bound{Feeds: r.batch, Device: there})
	if err != nil {
		t.Fatal(err)
	}
	equalOutputs(t, again, got)
}
