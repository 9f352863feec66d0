package runtime

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Encoder–decoder models in optimum's layouts give what transformers' generate
// gives (testdata/gen/seq2seq.py), with the cache and without.
func TestSeq2SeqIsTransformers(t *testing.T) {
	for _, name := range []string{"t5-merged", "bart-separate"} {
		dir := filepath.Join("../testdata/seq2seq", name)
		data, err := os.ReadFile(filepath.Join(dir, "expected.json"))
		if err != nil {
			t.Fatal(err)
		}
		var want struct {
			Prompts              [][]int32
			Greedy, Beams, First [][]int32
		}
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
		for _, noCache := range []bool{false, true} {
			m, err := Open(dir, Options{Threads: 1, NoCache: noCache})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if reason := m.CacheReason(t.Context()); (reason != nil) != noCache {
				t.Errorf("%s: the cache is not used: %v", name, reason)
			}
			for search, c := range map[string]struct {
				o    GenerateOptions
				want [][]int32
			}{
				"greedy": {GenerateOptions{MaxNewTokens: 10}, want.Greedy},
				"beams":  {GenerateOptions{MaxNewTokens: 10, Beams: 3, LengthPenalty: new(0.7)}, want.Beams},
				"first":  {GenerateOptions{MaxNewTokens: 10, Beams: 4, EarlyStopping: "true", NoRepeatNGram: 2}, want.First},
			} {
				got, err := m.Generate(t.Context(), want.Prompts, c.o)
				if err != nil {
					t.Fatal(err)
				}
				for i := range got {
					if !slices.Equal(got[i], c.want[i]) {
						t.Errorf("%s, %s, no cache %v, prompt %v: %v, want %v", name, search, noCache, want.Prompts[i], got[i], c.want[i])
					}
				}
			}
		}
	}
}
