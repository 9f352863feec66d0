package ort

import (
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// An output that is kept is fed to the next run where it lies, round after round, and says so when it was released.
func TestKeptOutputsAreFedAgain(t *testing.T) {
	s := testSession(t, addGraph(), Options{Name: "add"})
	b := tensor[float32](t, []int64{2, 2}, 1, 2, 3, 4)
	a := tensor[float32](t, []int64{2, 2}, 0, 0, 0, 0)
	var last *Tensor
	for range 5 {
		out, err := s.Run(t.Context(), map[string]*Tensor{"a": a, "b": b}, Fetch{Name: "y", Keep: true})
		if err != nil {
			t.Fatal(err)
		}
		a.Release()
		last, a = a, out["y"]
	}
	if got, want := data[float32](t, a), []float32{5, 10, 15, 20}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	view, err := a.Reshape([]int64{4})
	if err != nil || !slices.Equal(data[float32](t, view), []float32{5, 10, 15, 20}) {
		t.Errorf("reshaped: %v", err)
	}
	_, err = s.Run(t.Context(), map[string]*Tensor{"a": last, "b": b})
	if err == nil || !strings.Contains(err.Error(), `input "a"`) {
		t.Errorf("a released tensor is fed: %v", err)
	}
	last.Release() // again
}

// What nobody releases goes with its last tensor, also one made by Reshape.
func TestKeptOutputsLiveAsLongAsTheirTensors(t *testing.T) {
	s := testSession(t, addGraph(), Options{Name: "add"})
	feeds := map[string]*Tensor{"a": tensor[float32](t, []int64{1, 2}, 1, 2), "b": tensor[float32](t, []int64{1, 2}, 3, 4)}
	out, err := s.Run(t.Context(), feeds, Fetch{Name: "y", Keep: true})
	if err != nil {
		t.Fatal(err)
	}
	view, err := out["y"].Reshape([]int64{2})
	if err != nil {
		t.Fatal(err)
	}
	handle := view.kept.owned
	out = nil
	runtime.GC()
	time.Sleep(10 * time.Millisecond)
	if handle.freed.Load() || !slices.Equal(data[float32](t, view), []float32{4, 6}) {
		t.Error("freed while a tensor shares the memory")
	}
	runtime.KeepAlive(view)
	view = nil
	for i := 0; i < 100 && !handle.freed.Load(); i++ {
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	if !handle.freed.Load() {
		t.Error("not freed after its last tensor")
	}
}
