package safetensors_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/ghostwriter-dp/ghostwriter/runtime/safetensors"
)

// What is written is read again, whatever names, shapes and sizes from 0.
func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	rapid.Check(t, func(rt *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringN(1, 8, 32), 0, 6, rapid.ID).Draw(rt, "names")
		var list []safetensors.Tensor
		for _, name := range names {
			if name == "__metadata__" {
				continue
			}
			shape := rapid.SliceOfN(rapid.Int64Range(0, 4), 0, 3).Draw(rt, "shape")
			n := int64(4)
			for _, d := range shape {
				n *= d
			}
			list = append(list, safetensors.Tensor{Name: name, DType: "F32", Shape: shape, Data: rapid.SliceOfN(rapid.Byte(), int(n), int(n)).Draw(rt, "data")})
		}
		if err := safetensors.WriteFile(path, list, map[string]string{"format": "pt"}, nil); err != nil {
			rt.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := safetensors.Parse(data)
		if err != nil {
			rt.Fatal(err)
		}
		if len(got) != len(list) {
			rt.Fatalf("%d tensors of %d", len(got), len(list))
		}
		byName := map[string]safetensors.Tensor{}
		for _, x := range got {
			byName[x.Name] = x
		}
		for _, want := range list {
			x, ok := byName[want.Name]
			if !ok || x.DType != want.DType || fmt.Sprint(x.Shape) != fmt.Sprint(want.Shape) || !bytes.Equal(x.Data, want.Data) {
				rt.Fatalf("%q: %v, want %v", want.Name, x, want)
			}
		}
	})
}

// file makes a file of a header and so many bytes of data.
func file(header string, size int) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(out, header...), make([]byte, size)...)
}

func TestHostileFiles(t *testing.T) {
	for what, data := range map[string][]byte{
		"nothing":             {},
		"seven bytes":         make([]byte, 7),
		"header too long":     binary.LittleEndian.AppendUint64(nil, 1<<40),
		"header past end":     binary.LittleEndian.AppendUint64(nil, 100),
		"not JSON":            file("hello", 0),
		"a list":              file("[]", 0),
		"past the end":        file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 4),
		"backwards":           file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, 4),
		"negative":            file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}`, 4),
		"overlap":             file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}`, 6),
		"a gap":               file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8),
		"bytes at the end":    file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 8),
		"size and shape":      file(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,4]}}`, 4),
		"shape overflow":      file(`{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}`, 0),
		"negative shape":      file(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4),
		"an unknown type":     file(`{"a":{"dtype":"Q3","shape":[1],"data_offsets":[0,4]}}`, 4),
		"a name twice":        file(`{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}`, 0),
		"two objects":         file(`{}{}`, 0),
		"metadata of numbers": file(`{"__metadata__":{"a":1}}`, 0),
		"three offsets":       file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}`, 8),
	} {
		if _, err := safetensors.Parse(data); !errors.Is(err, safetensors.ErrFormat) {
			t.Errorf("%s: %v", what, err)
		}
		path := filepath.Join(t.TempDir(), "hostile")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := safetensors.Open(path); !errors.Is(err, safetensors.ErrFormat) {
			t.Errorf("%s, opened: %v", what, err)
		}
	}
}

// Numbers are written from memory and read back in place, across the borders of
// the chunks they are converted in.
func TestFloats(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	var list []safetensors.Tensor
	for _, n := range []int{0, 1, 65535, 65536, 65537, 200000} {
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(i) - 0.5
		}
		list = append(list, safetensors.Tensor{Name: fmt.Sprint(n), DType: "F32", Shape: []int64{int64(n)}, Floats: values})
	}
	if err := safetensors.WriteFile(path, list, nil, nil); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(f.Names()) != len(list) {
		t.Errorf("%d tensors, want %d", len(f.Names()), len(list))
	}
	for _, want := range list {
		got := make([]float32, len(want.Floats))
		if err := f.ReadFloat32(want.Name, got); err != nil || !slices.Equal(got, want.Floats) {
			t.Errorf("%s numbers: other numbers, %v", want.Name, err)
		}
	}
	if f.ReadFloat32("1", make([]float32, 2)) == nil || f.ReadFloat32("2", make([]float32, 2)) == nil {
		t.Error("a tensor of another length, or none, was read")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"__metadata__":{"k":"v"}}`, 4))
	f.Add(file(`{}`, 0))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		tensors, err := safetensors.Parse(data)
		if err != nil {
			if !errors.Is(err, safetensors.ErrFormat) {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		for _, x := range tensors {
			if len(x.Data) > len(data) {
				t.Errorf("%q has more bytes than the file", x.Name)
			}
		}
	})
}
