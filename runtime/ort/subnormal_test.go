package ort

import (
	"math"
	"runtime"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
)

// half is below the smallest normal float64 if the thread has subnormal numbers.
//
//go:noinline
func half(x float64) float64 { return x / 2 }

// A session takes subnormal numbers for zero, on all its threads; Go's arithmetic
// does not, on the thread that opened the session and ran it.
func TestSubnormalNumbers(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const smallest = 0x1p-1022
	if half(smallest) == 0 {
		t.Skip("this thread has no subnormal numbers to begin with")
	}
	env := testEnv(t)
	model, err := irtest.New(18).Input("x", ir.Float32, "n").Output("y").Node("y = Mul(x,x)").Graph().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, threads := range []int{1, 2} {
		s, err := env.NewSession(model, Options{Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		if half(smallest) == 0 {
			t.Fatal("opening a session took the thread's subnormal numbers away")
		}
		data := make([]float32, 1<<20) // enough for every thread
		for i := range data {
			data[i] = 1e-20
		}
		out, err := s.Run(t.Context(), map[string]*Tensor{"x": tensor(t, []int64{1 << 20}, data...)})
		if err != nil {
			t.Fatal(err)
		}
		y, err := Data[float32](out["y"])
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range y {
			if v != 0 {
				t.Fatalf("%d threads: y[%d] = %g, a subnormal number", threads, i, v)
			}
		}
		if half(smallest) == 0 || math.Float32frombits(1)+math.Float32frombits(1) == 0 {
			t.Fatal("a run took the thread's subnormal numbers away")
		}
		s.Close()
	}
}
