package ort

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTensorShares(t *testing.T) {
	values := []float32{1, 2, 3, 4, 5, 6}
	x := tensor(t, []int64{2, 3}, values...)
	values[0] = 9
	data[float32](t, x)[5] = 8
	y, err := x.Reshape([]int64{3, 2})
	if err != nil {
		t.Fatal(err)
	}
	if got := data[float32](t, y); !slices.Equal(got, []float32{9, 2, 3, 4, 5, 8}) || values[5] != 8 {
		t.Errorf("got %v, slice %v", got, values)
	}
	if x.String() != "float32[2 3]" || y.String() != "float32[3 2]" || y.Len() != 6 {
		t.Errorf("got %s and %s", x, y)
	}
	shape := x.Shape()
	shape[0] = 77
	if x.Shape()[0] != 2 {
		t.Error("Shape is shared")
	}
	if _, err := x.Reshape([]int64{7}); err == nil || err.Error() != "can't reshape float32[2 3] to [7]: 6 elements against 7" {
		t.Errorf("got %v", err)
	}
	if got := data[float32](t, x); cap(got) != 6 {
		t.Errorf("capacity %d reaches over the data", cap(got))
	}
}

func TestTensorRefuses(t *testing.T) {
	for _, c := range []struct {
		shape []int64
		n     int
		want  string
	}{
		{[]int64{2, 3}, 5, "shape [2 3] has 6 elements, the data 5"},
		{[]int64{}, 0, "shape [] has 1 elements, the data 0"},
		{[]int64{0}, 1, "shape [0] has 0 elements, the data 1"},
		{[]int64{2, -1}, 2, "shape [2 -1]: dimension 1 is negative"},
		{[]int64{0, -1}, 0, "shape [0 -1]: dimension 1 is negative"},
		{[]int64{math.MaxInt64, 3}, 2, fmt.Sprintf("shape [%d 3] has more elements than fit 64 bits", math.MaxInt64)},
		{[]int64{1 << 32, 1 << 32}, 0, "shape [4294967296 4294967296] has more elements than fit 64 bits"},
		{[]int64{1 << 61}, 0, "shape [2305843009213693952] needs more bytes than can be addressed"},
	} {
		if _, err := NewTensor(c.shape, make([]float64, c.n)); err == nil || err.Error() != c.want {
			t.Errorf("%v: got %v, want %s", c.shape, err, c.want)
		}
		if c.n == 0 && len(c.shape) == 0 {
			continue // NewZeros has no data to disagree with
		}
		if _, err := NewZeros(Float64, c.shape); err == nil && !strings.Contains(c.want, "the data") {
			t.Errorf("NewZeros %v: no error", c.shape)
		}
	}
	if _, err := NewZeros(DType(8), nil); err == nil || err.Error() != "can't make a tensor of type 8" {
		t.Errorf("got %v", err)
	}
}

// TestElements compares the checked product of dimensions with one in big steps: never negative, exact, or an error.
func TestElements(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := rapid.SliceOfN(rapid.Int64Range(0, 1<<20), 0, 5).Draw(t, "shape")
		want := 1.0
		for _, d := range shape {
			want *= float64(d)
		}
		n, err := elements(shape, 8)
		switch {
		case want <= math.MaxInt64/16 && (err != nil || float64(n) != want && math.Abs(float64(n)-want) > 1e-9*want):
			t.Fatalf("%v: got %d, %v, want %v", shape, n, err, want)
		case want >= math.MaxInt64/4 && err == nil:
			t.Fatalf("%v: got %d, want an error", shape, n)
		}
	})
}

func TestDataTypes(t *testing.T) {
	half, err := NewFloat16([]int64{1}, []uint16{0x3c00})
	if err != nil {
		t.Fatal(err)
	}
	brain, err := NewBFloat16([]int64{1}, []uint16{0x3f80})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []*Tensor{half, brain, Scalar[uint16](1)} {
		if v, err := Data[uint16](x); err != nil || len(v) != 1 {
			t.Errorf("%s: got %v, %v", x, v, err)
		}
		if _, err := Data[float32](x); !errors.Is(err, ErrType) {
			t.Errorf("%s as float32: got %v", x, err)
		}
	}
	if _, err := Data[uint16](Scalar[int16](1)); err == nil || err.Error() != "wrong element type: the tensor holds int16, not uint16" {
		t.Errorf("got %v", err)
	}
	if v, err := Data[bool](tensor[bool](t, []int64{0})); err != nil || v == nil || len(v) != 0 {
		t.Errorf("empty: got %v, %v", v, err)
	}
}

func TestDType(t *testing.T) {
	names := 0
	for code := DType(-1); code < 40; code++ {
		if code.Size() == 0 {
			if want := fmt.Sprintf("type %d", int(code)); code.String() != want {
				t.Errorf("got %s, want %s", code, want)
			}
			continue
		}
		names++
		if back, err := ParseDType(code.String()); err != nil || back != code {
			t.Errorf("%s: got %v, %v", code, back, err)
		}
	}
	if names != 13 {
		t.Errorf("%d types, want 13", names)
	}
	for _, name := range []string{"", "float", "type 8", "string"} {
		if _, err := ParseDType(name); err == nil {
			t.Errorf("%q: no error", name)
		}
	}
}
