package runtime

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/runtime/decode"
)

// planOf resolves options against the text of a generation_config.json.
func planOf(t testing.TB, file string, o GenerateOptions) (generationPlan, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "generation_config.json"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	return o.plan(dir, modelConfig{})
}

// What a file says holds unless an option says otherwise; nulls say nothing.
func TestGenerationConfig(t *testing.T) {
	for file, want := range map[string]func(*decode.Config){
		`{}`: func(*decode.Config) {},
		`{"eos_token_id": null, "top_k": null, "early_stopping": null, "bad_words_ids": null}`: func(*decode.Config) {},
		`{"do_sample": true, "temperature": 0.6, "top_p": 0.9, "top_k": 0, "eos_token_id": [2, 3]}`: func(c *decode.Config) {
			c.Sample, c.Temperature, c.TopP, c.TopK, c.EOS = true, 0.6, 0.9, 0, []int32{2, 3}
		},
		`{"num_beams": 4, "length_penalty": 2.0, "early_stopping": true, "no_repeat_ngram_size": 3, "forced_eos_token_id": 2, "eos_token_id": 2}`: func(c *decode.Config) {
			c.Beams, c.LengthPenalty, c.EarlyStopping, c.NoRepeatNGram, c.ForcedEOS, c.EOS = 4, 2, decode.StopFirst, 3, []int32{2}, []int32{2}
		},
		`{"early_stopping": "never", "repetition_penalty": 1.1, "min_length": 5, "suppress_tokens": [1], "bad_words_ids": [[4, 5]]}`: func(c *decode.Config) {
			c.EarlyStopping, c.RepetitionPenalty, c.MinLength, c.Suppress, c.Forbidden = decode.StopNever, 1.1, 5, []int32{1}, [][]int32{{4, 5}}
		},
		`{"guidance_scale": 1.0, "num_beam_groups": 1, "diversity_penalty": 0.0, "encoder_no_repeat_ngram_size": 0}`: func(*decode.Config) {},
	} {
		got, err := planOf(t, file, GenerateOptions{})
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		expected := decode.Default()
		want(&expected)
		if !reflect.DeepEqual(got.config, expected) {
			t.Errorf("%s: %+v, want %+v", file, got.config, expected)
		}
	}
	p, err := planOf(t, `{"do_sample": true, "num_beams": 4, "top_k": 7, "max_new_tokens": 9, "eos_token_id": 3}`, GenerateOptions{Sample: Off, Beams: 1, TopK: -1, MaxNewTokens: 2, EOS: []int64{}})
	if err != nil || p.config.Sample || p.config.Beams != 1 || p.config.TopK != 0 || p.new != 2 || p.config.EOS != nil {
		t.Errorf("options over the file: %+v, %v", p, err)
	}
	for file, says := range map[string]string{
		`{"guidance_scale": 2.5}`: "guidance_scale", `{"num_beam_groups": 2}`: "num_beam_groups", `{"temperature": -1}`: "temperature",
		`{"num_beams": 100000}`: "num_beams", `{"early_stopping": "soon"}`: "soon", `[]`: "generation_config.json", `{"max_length": "x"}`: "generation_config.json",
	} {
		if _, err := planOf(t, file, GenerateOptions{}); ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// Any file gives a plan that can be checked, or an error that is the caller's.
func FuzzGenerationConfig(f *testing.F) {
	for _, seed := range []string{`{}`, `{"eos_token_id":[1,2],"num_beams":3,"early_stopping":"never"}`, `{"forced_eos_token_id":{},"stop_strings":["a"],"top_k":-4}`, `{"max_length":1e99}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, file string) {
		p, err := planOf(t, file, GenerateOptions{})
		if err != nil {
			if ExitCode(err) != ExitUsage {
				t.Fatalf("%q: %v", file, err)
			}
			return
		}
		c, err := p.forPrompt(3, 0, 64)
		if err == nil && (c.MaxNewTokens < 1 || c.MaxNewTokens > 61) {
			t.Fatalf("%q: %d new tokens behind 3 of 64", file, c.MaxNewTokens)
		}
	})
}
