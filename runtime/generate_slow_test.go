//go:build slow

package runtime

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
)

// A thousand prompts of 1 to 48 tokens, continued together with a cache, give token for token what recomputing each text
// gives: greedily, and sampled with a seed.
func TestThousandPrompts(t *testing.T) {
	const prompts, added = 1000, 16
	for _, dir := range []string{pretrained, filepath.Join(models, "gpt2-dyn18"), "../testdata/matrix/llama-ts17-ortopt"} {
		fast := openPath(t, dir)
		if reason := fast.CacheReason(t.Context()); reason != nil {
			t.Fatal(reason)
		}
		slow, err := Open(dir, Options{Threads: 1, NoCache: true})
		if err != nil {
			t.Fatal(err)
		}
		defer slow.Close()
		config, err := readConfig(fast.Dir())
		if err != nil {
			t.Fatal(err)
		}
		vocabulary := max(int(config.Vocabulary), 97)
		r := rand.New(rand.NewPCG(11, 11))
		texts := make([][]int32, prompts)
		for i := range texts {
			texts[i] = make([]int32, 1+r.IntN(min(48, int(max(config.Positions, 64))-added)))
			for k := range texts[i] {
				texts[i][k] = int32(r.IntN(vocabulary))
			}
		}
		for what, o := range map[string]GenerateOptions{
			"greedy":  {MaxNewTokens: added, EOS: []int64{}},
			"sampled": {MaxNewTokens: added, EOS: []int64{}, Sample: On, Seed: new(uint64(1)), Temperature: 1.2},
		} {
			got, err := fast.Generate(t.Context(), texts, o)
			if err != nil {
				t.Fatal(err)
			}
			want, err := slow.Generate(t.Context(), texts, o)
			if err != nil {
				t.Fatal(err)
			}
			different := 0
			for i := range got {
				if !slices.Equal(got[i], want[i]) {
					different++
					t.Errorf("%s, %s, prompt %d: %v, recomputed %v", dir, what, i, got[i], want[i])
				}
			}
			t.Logf("%s, %s: %d prompts, %d different", dir, what, prompts, different)
		}
	}
}
