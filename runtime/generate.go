package runtime

import (
	"context"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime/decode"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// generateRows bounds the texts of one turn of Generate.
const generateRows = 16

// A Continuation is what Continue made of a prompt.
type Continuation struct {
	// IDs are the new tokens; an end-of-sequence id is kept, and nothing comes
	// after it. With a stop string they end with the token that completed it.
	IDs []int32
	// Text is IDs decoded, special tokens left out, cut before the first stop
	// string; "" without a tokenizer.
	Text string
	// LogProbs are the tokens' log-probabilities (see Token.LogProb).
	LogProbs []float64
	// Score is the sum of log-probabilities, for a beam search processed and over
	// its length to the power of the length penalty.
	Score float64
	// Finish is "stop" or "length".
	Finish string
}

// Generate continues every prompt and returns the best continuation's new ids.
// See Continue.
func (m *Model) Generate(ctx context.Context, prompts [][]int32, o GenerateOptions) ([][]int32, error) {
	all, err := m.Continue(ctx, prompts, o)
	if err != nil {
		return nil, err
	}
	out := make([][]int32, len(all))
	for i, c := range all {
		out[i] = c[0].IDs
	}
	return out, nil
}

// Continue continues every prompt, best continuation first: one, or
// GenerateOptions.Return of a beam search. Prompts of any length run together,
// with a cache of keys and values where the model has one or can be given one;
// the result for a prompt is that of the prompt alone.
func (m *Model) Continue(ctx context.Context, prompts [][]int32, o GenerateOptions) ([][]Continuation, error) {
	g, err := m.generator(o)
	if err != nil {
		return nil, err
	}
	waiting := make([]*task, len(prompts))
	index := map[*task]int{}
	for i, p := range prompts {
		if waiting[i], err = g.task(i, p); err != nil {
			return nil, err
		}
		index[waiting[i]] = i
	}
	step, err := m.newStepper(ctx)
	if err != nil {
		return nil, err
	}
	defer step.close()
	out := make([][]Continuation, len(prompts))
	b := &batch{step: step}
	var failed error
	for (len(waiting) > 0 || len(b.tasks) > 0) && failed == nil {
		for len(waiting) > 0 && (len(b.tasks) == 0 || b.rows()+g.plan.config.Beams <= generateRows) {
			b.tasks, waiting = append(b.tasks, waiting[0]), waiting[1:]
		}
		err := b.turn(ctx, func(t *task, token *Token, err error) bool {
			if err == nil && token != nil && o.OnToken != nil {
				err = o.OnToken(index[t], *token)
			}
			if err != nil && failed == nil {
				failed = err
			}
			if err == nil && t.search.done() {
				out[index[t]] = g.continuations(t.search)
				if o.OnDone != nil {
					if err = o.OnDone(index[t], out[index[t]]); err != nil && failed == nil {
						failed = err
					}
				}
			}
			return err != nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, failed
}

// A generator holds what all prompts of a call share.
type generator struct {
	start     int32 // what a decoder that has an encoder begins with; −1 otherwise
	plan      generationPlan
	config    modelConfig
	tokenizer *tokenize.Tokenizer // nil where there is none
}

// relativePositions are architectures whose positions are distances, so that
// what their configuration says of lengths (n_positions) bounds nothing.
var relativePositions = []string{"t5", "mt5", "umt5", "longt5"}

func (m *Model) generator(o GenerateOptions) (*generator, error) {
	s, err := m.session()
	if err != nil {
		return nil, err
	}
	config, err := m.readConfig()
	if err != nil {
		return nil, err
	}
	if slices.Contains(relativePositions, config.ModelType) {
		config.Positions = 0
	}
	seq2seq := false
	for _, in := range s.Inputs() {
		seq2seq = seq2seq || in.Name == "decoder_input_ids" || in.Name == encoderStates
		if in.Name == "input_ids" && len(in.Dims) == 2 && in.Dims[1] > 0 {
			config.Positions = in.Dims[1]
		}
	}
	for _, out := range s.Outputs() {
		if config.Vocabulary == 0 && len(out.Dims) == 3 && (out.Name == "logits" || out.Name == m.options.Output) {
			config.Vocabulary = max(0, out.Dims[2])
		}
	}
	g := &generator{config: config, tokenizer: o.Tokenizer, start: -1}
	if seq2seq {
		if g.start, err = decoderStart(m.Dir(), config); err != nil {
			return nil, err
		}
	}
	if g.plan, err = o.plan(m.Dir(), config); err != nil {
		return nil, err
	}
	if g.tokenizer == nil {
		// Without one continuations are ids only, unless a text is asked for.
		if g.tokenizer, err = m.Tokenizer(); err != nil && len(g.plan.stop) > 0 {
			return nil, usage("stop strings need a tokenizer: %v", err)
		}
	}
	return g, nil
}

// task makes the search of prompt i, refusing what can't be continued before
// anything is computed.
func (g *generator) task(i int, prompt []int32) (*task, error) {
	if len(prompt) == 0 {
		return nil, usage("prompt %d is empty: a continuation needs a token to start from", i+1)
	}
	for _, id := range prompt {
		if id < 0 || g.config.Vocabulary > 0 && int64(id) >= g.config.Vocabulary {
			return nil, usage("prompt %d: id %d is not in the model's vocabulary of %d", i+1, id, g.config.Vocabulary)
		}
	}
	var source []int32
	if g.start >= 0 {
		source, prompt = prompt, []int32{g.start}
		if g.config.Positions > 0 && int64(len(source)) > g.config.Positions {
			return nil, usage("prompt %d: %d tokens are more than the model's %d positions", i+1, len(source), g.config.Positions)
		}
	}
	c, err := g.plan.forPrompt(len(prompt), i, g.config.Positions)
	if err != nil {
		return nil, err
	}
	if len(g.plan.stop) > 0 {
		c.Stops = func(new []int32) bool {
			text := g.tokenizer.Decode(new, true)
			return slices.ContainsFunc(g.plan.stop, func(stop string) bool { return stop != "" && strings.Contains(text, stop) })
		}
	}
	s, err := newSearch(c, prompt)
	if err != nil {
		return nil, err
	}
	return &task{search: s, source: source, tokens: c.Beams * (len(prompt) + len(source) + c.MaxNewTokens), beams: c.Beams}, nil
}

func (g *generator) continuations(s search) []Continuation {
	var out []Continuation
	for _, r := range s.results() {
		out = append(out, Continuation{IDs: r.New, Text: g.text(r.New), LogProbs: r.LogProbs, Score: r.Score, Finish: r.Finish})
	}
	return out
}

// text decodes a continuation and cuts it before the first stop string.
func (g *generator) text(ids []int32) string {
	if g.tokenizer == nil {
		return ""
	}
	scanner := decode.NewStopScanner(g.plan.stop)
	text, stopped := scanner.Push(g.tokenizer.Decode(ids, true))
	if !stopped {
		text += scanner.Flush()
	}
	return text
}

// logitsOutput finds the output that holds scores for each position.
func logitsOutput(outputs []ort.Info, chosen string) (string, error) {
	var rank3 []string
	for _, o := range outputs {
		if o.Name == chosen || chosen == "" && o.Name == "logits" {
			return o.Name, nil
		}
		if len(o.Dims) == 3 {
			rank3 = append(rank3, o.Name)
		}
	}
	if chosen != "" {
		return "", usage("the model has no output %q; it has %s", chosen, infoNames(outputs))
	}
	if len(rank3) == 1 {
		return rank3[0], nil
	}
	return "", usage("no output is called logits; choose one of %s with --output", infoNames(outputs))
}

// singles returns a floating tensor's elements in single precision.
func singles(t *ort.Tensor) ([]float32, error) {
	if t.DType() == ort.Float16 || t.DType() == ort.BFloat16 {
		return HalfData(t)
	}
	single, err := convert(t, ort.Float32)
	if err != nil {
		return nil, err
	}
	return ort.Data[float32](single)
}
