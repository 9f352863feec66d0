package openai

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

// sampling are the fields that completions and chat completions share. A nil one was not sent.
type sampling struct {
	Model         string             `json:"model"`
	Temperature   *float64           `json:"temperature"`
	TopP          *float64           `json:"top_p"`
	N             *int               `json:"n"`
	Stream        *bool              `json:"stream"`
	StreamOptions *streamOptions     `json:"stream_options"`
	Stop          json.RawMessage    `json:"stop"`
	Seed          *int64             `json:"seed"`
	Presence      *float64           `json:"presence_penalty"`
	Frequency     *float64           `json:"frequency_penalty"`
	LogitBias     map[string]float64 `json:"logit_bias"`

	// Beyond OpenAI's API, as other servers have them.
	TopK       *int     `json:"top_k"`
	MinP       *float64 `json:"min_p"`
	Repetition *float64 `json:"repetition_penalty"`

	stops []string
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

const (
	maxStops = 4
	maxStop  = 1000 // bytes of a stop string
	maxBias  = 1024 // tokens
)

// check refuses what is outside the documented ranges, naming field and bound.
func (s *sampling) check() error {
	for _, r := range []struct {
		name      string
		v         *float64
		low, high float64
	}{
		{"temperature", s.Temperature, 0, 2}, {"top_p", s.TopP, 0, 1}, {"presence_penalty", s.Presence, -2, 2},
		{"frequency_penalty", s.Frequency, -2, 2}, {"min_p", s.MinP, 0, 1}, {"repetition_penalty", s.Repetition, 0.01, 100},
	} {
		if r.v != nil && !(*r.v >= r.low && *r.v <= r.high) {
			return serve.BadRequest(r.name, "%s is %g; it must be from %g to %g", r.name, *r.v, r.low, r.high)
		}
	}
	if s.N != nil && *s.N < 1 {
		return serve.BadRequest("n", "n is %d; it must be at least 1", *s.N)
	}
	if s.TopK != nil && *s.TopK < -1 {
		return serve.BadRequest("top_k", "top_k is %d; it must be at least 1, or -1 or 0 for no bound", *s.TopK)
	}
	if s.StreamOptions != nil && !s.streams() {
		return serve.BadRequest("stream_options", "stream_options is only allowed with stream")
	}
	return s.checkLists()
}

func (s *sampling) checkLists() error {
	var err error
	if s.stops, err = stringOrList("stop", s.Stop); err != nil {
		return err
	}
	if len(s.stops) > maxStops {
		return serve.BadRequest("stop", "stop has %d strings; at most %d are allowed", len(s.stops), maxStops)
	}
	for _, stop := range s.stops {
		if stop == "" || len(stop) > maxStop {
			return serve.BadRequest("stop", "a stop string has %d bytes; it must have 1 to %d", len(stop), maxStop)
		}
	}
	if len(s.LogitBias) > maxBias {
		return serve.BadRequest("logit_bias", "logit_bias has %d tokens; at most %d are allowed", len(s.LogitBias), maxBias)
	}
	_, err = s.bias()
	return err
}

// bias reads logit_bias, whose keys are ids in strings.
func (s *sampling) bias() (map[int32]float64, error) {
	if len(s.LogitBias) == 0 {
		return nil, nil
	}
	out := map[int32]float64{}
	for key, b := range s.LogitBias {
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil || id < 0 {
			return nil, serve.BadRequest("logit_bias", "logit_bias has the key %s, which is no token id", quoted(key))
		}
		if !(b >= -100 && b <= 100) {
			return nil, serve.BadRequest("logit_bias", "logit_bias of token %d is %g; it must be from -100 to 100", id, b)
		}
		out[int32(id)] = b
		if b == -100 {
			out[int32(id)] = math.Inf(-1) // "a ban", as the API documents it
		}
	}
	return out, nil
}

func (s *sampling) streams() bool { return s.Stream != nil && *s.Stream }
func (s *sampling) usage() bool   { return s.StreamOptions != nil && s.StreamOptions.IncludeUsage }

// choices is how many continuations of a prompt are wanted.
func (s *sampling) choices() int {
	if s.N == nil {
		return 1
	}
	return *s.N
}

// options are the engine's: temperature 1 and no filters where nothing is said, as OpenAI documents; temperature 0 is
// greedy. Choice k of a seeded request draws with seed + k.
func (s *sampling) options(k, newTokens, top int) (runtime.GenerateOptions, error) {
	bias, err := s.bias()
	if err != nil {
		return runtime.GenerateOptions{}, err
	}
	o := runtime.GenerateOptions{
		MaxNewTokens: newTokens, Beams: 1, Sample: runtime.On, Temperature: or(s.Temperature, 1), TopP: or(s.TopP, 1), TopK: -1, MinP: or(s.MinP, 0),
		FrequencyPenalty: or(s.Frequency, 0), PresencePenalty: or(s.Presence, 0), RepetitionPenalty: or(s.Repetition, 0),
		LogitBias: bias, TopLogProbs: top, Stop: []string{},
	}
	if s.TopK != nil && *s.TopK > 0 {
		o.TopK = *s.TopK
	}
	if o.Temperature == 0 {
		o.Sample, o.Temperature = runtime.Off, 1
	}
	if s.TopP != nil && *s.TopP == 0 {
		o.Sample, o.TopP = runtime.Off, 1 // nothing but the likeliest token
	}
	if s.Seed != nil {
		seed := uint64(*s.Seed) + uint64(k)
		o.Seed = &seed
	}
	return o, nil
}

func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}
