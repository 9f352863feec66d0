package runtime

import (
	"os"
	"testing"
)

// A microbatch of the trainer on a model that computes next to nothing: what is left is the cost of calling the
// runtime and of the garbage that a call makes. GHOSTWRITER_BENCH_MODEL names another model directory.
func BenchmarkMicrobatchOverhead(b *testing.B) {
	o := tinyBench()
	if dir := os.Getenv("GHOSTWRITER_BENCH_MODEL"); dir != "" {
		o.Model = dir
	}
	o.Logical, o.Rounds = 64, 1<<20
	bench, err := openBench(o)
	if err != nil {
		b.Fatal(err)
	}
	defer bench.close()
	c := bench.newCell(5, 1)
	defer c.close()
	t, err := c.openTrainer()
	if err != nil {
		b.Fatal(err)
	}
	m := microbatch{records: []int{0}, edge: 5, rows: 1}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := t.run(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
}
