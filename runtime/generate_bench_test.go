package runtime

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkGenerate continues 1 and 16 prompts of 24 tokens by 64, greedily, with a cache of keys and values and by
// recomputing. The figure to look at is the ratio of tokens/s; docs/generation.md has what was measured.
func BenchmarkGenerate(b *testing.B) {
	for _, rows := range []int{1, 16} {
		for _, noCache := range []bool{false, true} {
			b.Run(fmt.Sprintf("rows=%d/recompute=%v", rows, noCache), func(b *testing.B) {
				m, err := Open(pretrained, Options{NoCache: noCache})
				if err != nil {
					b.Fatal(err)
				}
				defer m.Close()
				if reason := m.CacheReason(b.Context()); (reason != nil) != noCache {
					b.Fatal(reason)
				}
				r := rand.New(rand.NewPCG(2, 2))
				prompts := make([][]int32, rows)
				for i := range prompts {
					prompts[i] = make([]int32, 24)
					for k := range prompts[i] {
						prompts[i][k] = int32(r.IntN(700))
					}
				}
				const added = 64
				for b.Loop() {
					if _, err := m.Generate(b.Context(), prompts, GenerateOptions{MaxNewTokens: added, EOS: []int64{}}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N*rows*added)/b.Elapsed().Seconds(), "tokens/s")
			})
		}
	}
}

// BenchmarkEngine serves 64 requests of different length, 1 and 16 at a time.
func BenchmarkEngine(b *testing.B) {
	m, err := Open(pretrained, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	prompts, _ := engineRequests(64)
	for _, together := range []int{1, 16} {
		b.Run(fmt.Sprintf("sequences=%d", together), func(b *testing.B) {
			tokens := 0
			for b.Loop() {
				e, err := m.NewEngine(EngineOptions{MaxSequences: together, Queue: len(prompts)})
				if err != nil {
					b.Fatal(err)
				}
				var streams []*Stream
				for i, p := range prompts {
					s, err := e.Submit(context.Background(), p, GenerateOptions{MaxNewTokens: 8 + i%48, EOS: []int64{}})
					if err != nil {
						b.Fatal(err)
					}
					streams = append(streams, s)
				}
				for _, s := range streams {
					ids, _, err := drain(s)
					if err != nil {
						b.Fatal(err)
					}
					tokens += len(ids)
				}
				if err := e.Close(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
