package dpadam

import "testing"

func BenchmarkGaussian(b *testing.B) {
	g, err := newGaussian(1 << 41)
	if err != nil {
		b.Fatal(err)
	}
	block, _ := newCipher([32]byte{1})
	var src stream
	src.open(block, 1, 1)
	dst := make([]int64, 4096)
	for _, l := range levels() {
		b.Run(l.String(), func(b *testing.B) {
			g.level = l
			b.SetBytes(4096 * 8)
			for b.Loop() {
				g.fill(dst, &src)
			}
			b.ReportMetric(float64(b.N)*4096/b.Elapsed().Seconds()/1e6, "Msamples/s")
		})
	}
}

func BenchmarkKeystream(b *testing.B) {
	block, _ := newCipher([32]byte{1})
	var src stream
	src.open(block, 1, 1)
	b.SetBytes(int64(len(src.buf)))
	for b.Loop() {
		src.refill()
	}
}

func BenchmarkNewGaussian(b *testing.B) {
	for b.Loop() {
		if _, err := newGaussian(1 << 41); err != nil {
			b.Fatal(err)
		}
	}
}
