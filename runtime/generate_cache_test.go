package runtime

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// decoders are the committed exports of decoders, by exporter and family.
func decoders(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, pattern := range []string{"models/gpt2-*", "matrix/*"} {
		dirs, err := filepath.Glob(filepath.Join("../testdata", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range dirs {
			family, _, _ := strings.Cut(filepath.Base(d), "-")
			if slices.Contains([]string{"gpt2", "gpt", "llama", "mistral", "qwen2", "qwen3", "phi", "gemma", "falcon", "opt"}, family) && !strings.Contains(d, "gpt2-base") {
				out = append(out, d)
			}
		}
	}
	return out
}

// Every decoder continues texts of different length, all in one batch, with a
// cache of its own or an added one, exactly as by recomputing them one by one.
func TestCacheEqualsRecomputation(t *testing.T) {
	for _, dir := range decoders(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			m := openPath(t, dir)
			g, err := m.generation(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if g.reason != nil {
				t.Fatalf("no cache: %v", g.reason)
			}
			if !g.ragged {
				t.Error("texts of different length do not run together")
			}
			slow, err := Open(dir, Options{Threads: 1, NoCache: true})
			if err != nil {
				t.Fatal(err)
			}
			defer slow.Close()
			r := rand.New(rand.NewPCG(1, 1))
			prompts := make([][]int32, 8)
			for i := range prompts {
				prompts[i] = make([]int32, 1+r.IntN(16))
				for k := range prompts[i] {
					prompts[i][k] = int32(r.IntN(90))
				}
			}
			o := GenerateOptions{MaxNewTokens: 12, EOS: []int64{}}
			got, err := m.Generate(t.Context(), prompts, o)
			if err != nil {
				t.Fatal(err)
			}
			for i, p := range prompts {
				want, err := slow.Generate(t.Context(), [][]int32{p}, o)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got[i], want[0]) {
					t.Errorf("prompt %v: %v, recomputed %v", p, got[i], want[0])
				}
			}
		})
	}
}
