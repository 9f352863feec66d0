package floatfmt_test

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/floatfmt"
)

// Numbers are written and read across the borders of the chunks in which they
// are converted.
func TestWriteAndRead(t *testing.T) {
	for _, f := range []floatfmt.Format{floatfmt.F16, floatfmt.BF16, floatfmt.F32, floatfmt.F64} {
		for _, n := range []int{0, 1, floatfmt.Chunk - 1, floatfmt.Chunk, floatfmt.Chunk + 1, 3 * floatfmt.Chunk} {
			want := make([]float32, n)
			for i := range want {
				want[i] = float32(i%256) / 16 // exact in every format
			}
			var b bytes.Buffer
			if err := f.Write(&b, want); err != nil || b.Len() != n*f.Size {
				t.Fatalf("%s: %d numbers became %d bytes, %v", f.Name, n, b.Len(), err)
			}
			if !bytes.Equal(b.Bytes(), f.Append(nil, want)) {
				t.Errorf("%s: Write and Append differ", f.Name)
			}
			got := make([]float32, n)
			if err := f.Read(bytes.NewReader(b.Bytes()), got); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %d numbers came back otherwise, %v", f.Name, n, err)
			}
			if n > 0 && f.Read(bytes.NewReader(b.Bytes()[1:]), got) == nil {
				t.Errorf("%s: read from too few bytes", f.Name)
			}
		}
	}
}

func TestCheckFits(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, c := range []struct {
		format floatfmt.Format
		v      float32
		fits   bool
	}{
		{floatfmt.F16, 65504, true}, {floatfmt.F16, 65519.99, true}, {floatfmt.F16, 65520, false}, {floatfmt.F16, -65520, false},
		{floatfmt.F16, inf, true}, {floatfmt.F16, nan, true}, {floatfmt.F16, 1e-30, true},
		{floatfmt.BF16, 3.38e38, true}, {floatfmt.BF16, math.MaxFloat32, false}, {floatfmt.F32, math.MaxFloat32, true}, {floatfmt.F64, 1e38, true},
	} {
		if err := c.format.CheckFits([]float32{0, c.v}); (err == nil) != c.fits {
			t.Errorf("%v as %s: %v", c.v, c.format.Name, err)
		}
	}
}
