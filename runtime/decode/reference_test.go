package decode

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Expected values are transformers 4.57.3's, written by testdata/gen/decoding.py.

const reference = "../../testdata/decoding"

// settings are a case's configuration under transformers' names.
type settings struct {
	MaxNew        *int            `json:"max_new_tokens"`
	MaxLength     int             `json:"max_length"`
	EOS           []int32         `json:"eos_token_id"`
	MinLength     int             `json:"min_length"`
	MinNew        int             `json:"min_new_tokens"`
	Beams         *int            `json:"num_beams"`
	Return        *int            `json:"num_return_sequences"`
	LengthPenalty *float64        `json:"length_penalty"`
	EarlyStopping json.RawMessage `json:"early_stopping"`
	Sample        bool            `json:"do_sample"`
	Temperature   *float64        `json:"temperature"`
	TopK          *int            `json:"top_k"`
	TopP          *float64        `json:"top_p"`
	MinP          *float64        `json:"min_p"`
	Typical       *float64        `json:"typical_p"`
	Epsilon       *float64        `json:"epsilon_cutoff"`
	Eta           *float64        `json:"eta_cutoff"`
	Repetition    *float64        `json:"repetition_penalty"`
	NGram         int             `json:"no_repeat_ngram_size"`
	Bad           [][]int32       `json:"bad_words_ids"`
	Suppress      []int32         `json:"suppress_tokens"`
	Begin         []int32         `json:"begin_suppress_tokens"`
	ForcedBOS     *int32          `json:"forced_bos_token_id"`
	ForcedEOS     *int32          `json:"forced_eos_token_id"`
	Renormalize   bool            `json:"renormalize_logits"`
}

func take[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func (s settings) config(prompt int) Config {
	c := Default()
	take(&c.MaxNewTokens, s.MaxNew)
	if s.MaxLength > 0 {
		c.MaxNewTokens = s.MaxLength - prompt
	}
	take(&c.Beams, s.Beams)
	take(&c.Return, s.Return)
	take(&c.LengthPenalty, s.LengthPenalty)
	take(&c.Temperature, s.Temperature)
	take(&c.TopK, s.TopK)
	take(&c.TopP, s.TopP)
	take(&c.MinP, s.MinP)
	take(&c.TypicalP, s.Typical)
	take(&c.EpsilonCut, s.Epsilon)
	take(&c.EtaCut, s.Eta)
	take(&c.RepetitionPenalty, s.Repetition)
	c.EOS, c.MinLength, c.MinNewTokens, c.NoRepeatNGram, c.Forbidden = s.EOS, s.MinLength, s.MinNew, s.NGram, s.Bad
	c.Suppress, c.BeginSuppress, c.ForcedBOS, c.Renormalize, c.Sample = s.Suppress, s.Begin, s.ForcedBOS, s.Renormalize, s.Sample
	if s.ForcedEOS != nil {
		c.ForcedEOS = []int32{*s.ForcedEOS}
	}
	switch string(s.EarlyStopping) {
	case "true":
		c.EarlyStopping = StopFirst
	case `"never"`:
		c.EarlyStopping = StopNever
	}
	return c
}

func load(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(reference, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

// tables is the language model of the cases: a row for the last token, plus one for the token in front of it.
type tables struct {
	Last, Before []float32
	v            int
}

func (m tables) logits(ids []int32) []float32 {
	out := slices.Clone(m.Last[int(ids[len(ids)-1])*m.v:][:m.v])
	if len(ids) > 1 {
		for i, x := range m.Before[int(ids[len(ids)-2])*m.v:][:m.v] {
			out[i] += x
		}
	}
	return out
}

// search continues a prompt; parents are checked to name the text that each continues.
func search(t *testing.T, m tables, c Config, prompt []int32) []Result {
	t.Helper()
	if c.Beams == 1 {
		s, err := NewSampler(c, prompt)
		if err != nil {
			t.Fatal(err)
		}
		for s.Finish() == "" {
			if _, err := s.Push(m.logits(s.IDs())); err != nil {
				t.Fatal(err)
			}
		}
		return []Result{{New: s.New(), Finish: s.Finish()}}
	}
	b, err := NewBeam(c, prompt)
	if err != nil {
		t.Fatal(err)
	}
	var last [][]int32
	for !b.Done() {
		texts, rows := b.Texts(), [][]float32(nil)
		for i, ids := range texts {
			if p := b.Parents()[i]; p >= 0 && !slices.Equal(last[p], ids[:len(ids)-1]) {
				t.Fatalf("text %v is said to continue %v", ids, last[p])
			}
			rows = append(rows, m.logits(ids))
		}
		last = texts
		if err := b.Advance(rows); err != nil {
			t.Fatal(err)
		}
	}
	return b.Results()
}

func TestSearchIsTransformers(t *testing.T) {
	var file struct {
		Vocabulary int
		Tables     tables
		Cases      []struct {
			Config json.RawMessage
			Prompt []int32
			New    [][]int32
			Scores []float64
		}
	}
	load(t, "search.json", &file)
	file.Tables.v = file.Vocabulary
	beams := 0
	for i, c := range file.Cases {
		var s settings
		if err := json.Unmarshal(c.Config, &s); err != nil {
			t.Fatal(err)
		}
		results := search(t, file.Tables, s.config(len(c.Prompt)), c.Prompt)
		if len(results) != len(c.New) {
			t.Fatalf("case %d: %d texts, want %d", i, len(results), len(c.New))
		}
		for k, r := range results {
			if !slices.Equal(r.New, c.New[k]) {
				t.Errorf("case %d, %s, prompt %v, text %d: %v (%g), want %v", i, c.Config, c.Prompt, k, r.New, r.Score, c.New[k])
				continue
			}
			if c.Scores == nil {
				continue
			}
			beams++
			if d := math.Abs(r.Score - c.Scores[k]); d > 1e-5*math.Max(1, math.Abs(c.Scores[k])) {
				t.Errorf("case %d, %s: score %v, want %v", i, c.Config, r.Score, c.Scores[k])
			}
		}
	}
	if beams < 200 {
		t.Errorf("only %d beam searches were compared", beams)
	}
}

func TestProcessorsAreTransformers(t *testing.T) {
	var file struct {
		Cases []struct {
			Config    json.RawMessage
			Prompt    int
			IDs       []int32
			Scores    []float32
			Processed []*float32
		}
	}
	load(t, "processors.json", &file)
	for i, c := range file.Cases {
		var s settings
		if err := json.Unmarshal(c.Config, &s); err != nil {
			t.Fatal(err)
		}
		scores := slices.Clone(c.Scores)
		for _, p := range s.config(c.Prompt).processors(c.Prompt) {
			p.process(c.IDs, scores)
		}
		for k, want := range c.Processed {
			switch {
			case want == nil && !math.IsInf(float64(scores[k]), -1), want != nil && math.IsInf(float64(scores[k]), -1):
				t.Errorf("case %d, %s: token %d has %v", i, c.Config, k, scores[k])
			case want != nil && math.Abs(float64(scores[k]-*want)) > 1e-6*math.Max(1, math.Abs(float64(*want))):
				t.Errorf("case %d, %s: token %d has %v, want %v", i, c.Config, k, scores[k], *want)
			}
		}
	}
}
