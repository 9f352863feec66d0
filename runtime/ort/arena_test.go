package ort

import (
	"fmt"
	"slices"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

func TestArena(t *testing.T) {
	a, err := NewArena([]Param{{"w", []int64{2, 3}}, {"none", []int64{0, 4}}, {"scale", []int64{}}, {"b", []int64{3}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Data()) != 10 || uintptr(unsafe.Pointer(&a.Data()[0]))%cacheLine != 0 {
		t.Errorf("%d values at %p, want 10 at a multiple of %d", len(a.Data()), &a.Data()[0], cacheLine)
	}
	for i := range a.Data() {
		a.Data()[i] = float32(i)
	}
	for _, c := range []struct {
		name   string
		offset int
		want   []float32
		tensor string
	}{
		{"w", 0, []float32{0, 1, 2, 3, 4, 5}, "float32[2 3]"},
		{"none", 6, []float32{}, "float32[0 4]"},
		{"scale", 6, []float32{6}, "float32[]"},
		{"b", 7, []float32{7, 8, 9}, "float32[3]"},
	} {
		offset, ok := a.Offset(c.name)
		x, err := a.Tensor(c.name)
		if err != nil || !ok || offset != c.offset || !slices.Equal(a.Slice(c.name), c.want) || x.String() != c.tensor || !slices.Equal(data[float32](t, x), c.want) {
			t.Errorf("%s: offset %d, %v, %s, %v", c.name, offset, a.Slice(c.name), x, err)
		}
		if y := a.Tensors()[c.name]; y.String() != c.tensor || !slices.Equal(data[float32](t, y), c.want) {
			t.Errorf("Tensors: %s is %s", c.name, y)
		}
		if s := a.Slice(c.name); cap(s) != len(s) {
			t.Errorf("%s: an append would write into the next parameter", c.name)
		}
	}
	like := a.Like()
	if !slices.Equal(like.Data(), make([]float32, 10)) || len(like.Params()) != 4 || like.Slice("b") == nil {
		t.Errorf("got %v", like)
	}
	like.Slice("b")[0] = 5
	if a.Slice("b")[0] != 7 {
		t.Error("Like shares memory")
	}
	if _, ok := a.Offset("x"); ok || a.Has("x") || a.Slice("x") != nil || !a.Has("w") {
		t.Error("unknown name")
	}
	if _, err := a.Tensor("x"); err == nil || err.Error() != `the arena has no parameter "x"` {
		t.Errorf("got %v", err)
	}
}

// An arena in a device's host memory is one like any other, also where that is not Go's.
func TestArenaLikeIn(t *testing.T) {
	m := testMemory(t, Device{})
	a, err := NewArena([]Param{{"w", []int64{2, 3}}, {"b", []int64{3}}})
	if err != nil {
		t.Fatal(err)
	}
	like := a.LikeIn(m)
	if !like.foreign {
		t.Error("the runtime gave no memory")
	}
	w, err := like.Tensor("w")
	if err != nil {
		t.Fatal(err)
	}
	from := tensor(t, []int64{2, 3}, float32(1), 2, 3, 4, 5, 6)
	if err := upload(t, m, from).Download(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if want := []float32{1, 2, 3, 4, 5, 6, 0, 0, 0}; !slices.Equal(like.Data(), want) {
		t.Errorf("got %v, want %v", like.Data(), want)
	}
	if back := download(t, upload(t, m, w)); !slices.Equal(data[float32](t, back), like.Slice("w")) {
		t.Errorf("got %v", back)
	}
	like.Discard()
	if !slices.Equal(like.Data(), make([]float32, 9)) {
		t.Errorf("after Discard: %v", like.Data())
	}
}

func TestArenaRefuses(t *testing.T) {
	for want, params := range map[string][]Param{
		`parameter "a" is in the arena twice`:                                               {{"a", []int64{1}}, {"a", []int64{1}}},
		`parameter "a": shape [-1]: dimension 0 is negative`:                                {{"a", []int64{-1}}},
		`parameter "b": the arena needs more bytes than can be addressed`:                   {{"a", []int64{1 << 60}}, {"b", []int64{1 << 60}}},
		`parameter "a": shape [4611686018427387904] needs more bytes than can be addressed`: {{"a", []int64{1 << 62}}},
	} {
		if _, err := NewArena(params); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestArenaCovers: every element of Data belongs to exactly one parameter, in order, for any list of shapes.
func TestArenaCovers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shapes := rapid.SliceOfN(rapid.SliceOfN(rapid.Int64Range(0, 6), 0, 3), 0, 8).Draw(t, "shapes")
		params := make([]Param, len(shapes))
		for i, s := range shapes {
			params[i] = Param{Name: fmt.Sprint(i), Shape: s}
		}
		a, err := NewArena(params)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range params {
			for i := range a.Slice(p.Name) {
				a.Slice(p.Name)[i]++
			}
		}
		for i, v := range a.Data() {
			if v != 1 {
				t.Fatalf("element %d belongs to %v parameters", i, v)
			}
		}
	})
}
