package openai

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// completionRequest is the body of POST /v1/completions.
type completionRequest struct {
	sampling
	Prompt    json.RawMessage `json:"prompt"`
	MaxTokens *int            `json:"max_tokens"`
	BestOf    *int            `json:"best_of"`
	LogProbs  *int            `json:"logprobs"`
	Echo      *bool           `json:"echo"`

	prompts []input
}

// defaultMaxTokens is what OpenAI documents for completions.
const defaultMaxTokens = 16

// refusedByBoth are fields of other servers that completions and chat refuse alike.
var refusedByBoth = []refusedField{
	{"guided_json", nil, "the form of the text can't be constrained"},
	{"guided_regex", nil, "the form of the text can't be constrained"},
	{"guided_choice", nil, "the form of the text can't be constrained"},
	{"guided_grammar", nil, "the form of the text can't be constrained"},
	{"use_beam_search", []string{"false"}, "use the command generate for beam search"},
	{"ignore_eos", []string{"false"}, "a text ends where the model ends it"},
	{"stop_token_ids", []string{"[]"}, "use stop"},
	{"min_tokens", []string{"0"}, "a text ends where the model ends it"},
}

var refusedByCompletions = slices.Concat([]refusedField{
	{"suffix", []string{`""`}, "text is only continued, not filled in"},
	{"response_format", []string{`{"type":"text"}`}, "the form of the text can't be constrained"},
}, refusedByBoth, []refusedField{
	{"prompt_logprobs", []string{"0"}, "the prompt is not scored"},
})

// parseCompletion reads and checks a request.
func parseCompletion(data []byte) (*completionRequest, error) {
	q := &completionRequest{}
	if err := serve.ParseJSON(data, q); err != nil {
		return nil, err
	}
	if err := refuse(data, refusedByCompletions); err != nil {
		return nil, err
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	q.prompts = []input{{}}
	if given(q.Prompt) {
		var err error
		if q.prompts, err = inputs("prompt", q.Prompt); err != nil {
			return nil, err
		}
	}
	return q, q.checkOwn()
}

func (q *completionRequest) checkOwn() error {
	low := 1
	if or(q.Echo, false) {
		low = 0 // the prompt alone
	}
	switch {
	case q.MaxTokens != nil && *q.MaxTokens < low:
		return serve.BadRequest("max_tokens", "max_tokens is %d; it must be at least 1, or 0 with echo", *q.MaxTokens)
	case q.BestOf != nil && *q.BestOf < q.choices():
		return serve.BadRequest("best_of", "best_of is %d; it must be at least n, which is %d", *q.BestOf, q.choices())
	case q.BestOf != nil && *q.BestOf > q.choices() && q.streams():
		return serve.BadRequest("best_of", "best_of greater than n can't be streamed: the best is known at the end")
	case q.LogProbs != nil && (*q.LogProbs < 0 || *q.LogProbs > 5):
		return serve.BadRequest("logprobs", "logprobs is %d; it must be from 0 to 5", *q.LogProbs)
	}
	return nil
}

// candidates is how many continuations of each prompt are made.
func (q *completionRequest) candidates() int { return or(q.BestOf, q.choices()) }

type completionChoice struct {
	Text     string              `json:"text"`
	Index    int                 `json:"index"`
	LogProbs *completionLogProbs `json:"logprobs"`
	Finish   *string             `json:"finish_reason"`
}

type completionObject struct {
	head
	Choices []completionChoice `json:"choices"`
	Usage   *usage             `json:"usage,omitempty"`
}

func (a *api) completions(w http.ResponseWriter, r *http.Request) error {
	data, err := serve.ReadBody(r)
	if err != nil {
		return err
	}
	q, err := parseCompletion(data)
	if err != nil {
		return err
	}
	lease, err := a.acquire(r, q.Model)
	if err != nil {
		return err
	}
	defer lease.Release()
	tokenizer, err := lease.Model().Tokenizer()
	if err != nil {
		return err
	}
	c := &completion{request: q, head: newHead("cmpl-", "text_completion", q.Model)}
	if err := c.prepare(tokenizer, a.server.Limits().Inputs); err != nil {
		return err
	}
	if err := c.score(r.Context(), lease.Model(), tokenizer); err != nil {
		return err
	}
	if or(q.MaxTokens, defaultMaxTokens) == 0 {
		return c.echoOnly(w)
	}
	engine, err := lease.Engine()
	if err != nil {
		return err
	}
	b := &batch{tokenizer: tokenizer, stops: q.stops, spell: q.LogProbs != nil}
	if err := b.submit(r.Context(), engine, c.jobs); err != nil {
		return err
	}
	defer b.close()
	if q.streams() {
		return c.stream(w, r, b)
	}
	return c.whole(w, r, b)
}

// A completion is a request on its way to an answer.
type completion struct {
	request *completionRequest
	head    head
	jobs    []job
	echoes  []string    // by prompt, "" without echo
	scored  [][]spelled // by prompt, its tokens where they are echoed with log-probabilities
	prompt  int         // tokens of the prompts
}

// prepare encodes the prompts and makes the jobs: prompt p's candidate k is job p·candidates + k.
func (c *completion) prepare(t *tokenize.Tokenizer, most int) error {
	q := c.request
	n := q.candidates()
	if n > most || n*len(q.prompts) > most {
		return serve.BadRequest("prompt", "%d prompts of %d continuations each are more than the %d that one request may have", len(q.prompts), n, most)
	}
	for p, prompt := range q.prompts {
		ids, err := encodePrompt(t, prompt)
		if err != nil {
			return err
		}
		c.prompt += len(ids)
		echo := ""
		if or(q.Echo, false) {
			if echo = prompt.text; prompt.ids != nil {
				echo = t.Decode(ids, true)
			}
		}
		c.echoes = append(c.echoes, echo)
		for k := range n {
			options, err := q.options(p*n+k, or(q.MaxTokens, defaultMaxTokens), or(q.LogProbs, 0))
			if err != nil {
				return err
			}
			c.jobs = append(c.jobs, job{p*n + k, ids, options})
		}
	}
	return nil
}

// score computes the log-probabilities of prompts that are echoed with them.
func (c *completion) score(ctx context.Context, m *runtime.Model, t *tokenize.Tokenizer) error {
	c.scored = make([][]spelled, len(c.echoes))
	if c.request.LogProbs == nil || !or(c.request.Echo, false) {
		return nil
	}
	for p := range c.echoes {
		tokens, err := m.Score(ctx, c.jobs[p*c.request.candidates()].prompt, *c.request.LogProbs)
		if err != nil {
			return err
		}
		c.scored[p] = spellPrompt(t, tokens)
	}
	return nil
}

// encodePrompt gives a prompt's ids. An empty one, or none, begins a new text.
func encodePrompt(t *tokenize.Tokenizer, prompt input) ([]int32, error) {
	if prompt.ids != nil {
		return prompt.ids, nil
	}
	ids, err := t.Encode(prompt.text)
	if err != nil {
		return nil, serve.BadRequest("prompt", "prompt: %v", err)
	}
	if len(ids) > 0 {
		return ids, nil
	}
	for _, id := range []int32{t.Specials().BOS, t.Specials().EOS} {
		if id >= 0 {
			return []int32{id}, nil
		}
	}
	return nil, serve.BadRequest("prompt", "the prompt is empty, and the model has no token that begins a text")
}

func (c *completion) echoOnly(w http.ResponseWriter) error {
	answer := completionObject{head: c.head, Choices: []completionChoice{}, Usage: usageOf(c.prompt, 0)}
	length := "length"
	for p, echo := range c.echoes {
		for range c.request.choices() {
			choice := completionChoice{Text: echo, Index: len(answer.Choices), Finish: &length}
			if c.request.LogProbs != nil {
				choice.LogProbs = completionTokens(c.scored[p], echo, nil)
			}
			answer.Choices = append(answer.Choices, choice)
		}
	}
	if !c.request.streams() {
		return serve.WriteJSON(w, http.StatusOK, answer)
	}
	e := newEvents(w)
	if err := e.send(answer); err != nil {
		return err
	}
	return e.done()
}

// whole answers when all continuations are done, of each prompt the n likeliest by token.
func (c *completion) whole(w http.ResponseWriter, r *http.Request, b *batch) error {
	all := make([]gathered, len(c.jobs))
	if err := b.each(r.Context(), func(p piece) error {
		all[p.choice].add(p)
		return nil
	}); err != nil {
		return err
	}
	answer := completionObject{head: c.head}
	made, n := 0, c.request.candidates()
	for p, echo := range c.echoes {
		candidates := make([]*gathered, n)
		for k := range n {
			candidates[k] = &all[p*n+k]
			made += candidates[k].count
		}
		if n > c.request.choices() {
			slices.SortStableFunc(candidates, func(x, y *gathered) int { return -cmp.Compare(x.mean(), y.mean()) })
		}
		for _, g := range candidates[:c.request.choices()] {
			choice := completionChoice{Text: echo + g.text.String(), Index: len(answer.Choices), Finish: &g.finish}
			if c.request.LogProbs != nil {
				choice.LogProbs = completionTokens(c.scored[p], echo, g.tokens)
			}
			answer.Choices = append(answer.Choices, choice)
		}
	}
	answer.Usage = usageOf(c.prompt, made)
	return serve.WriteJSON(w, http.StatusOK, answer)
}

// completionChunk is an event of a stream; usage is null in all but the last of those that were asked for it.
type completionChunk struct {
	head
	Choices []completionChoice `json:"choices"`
	Usage   usageField         `json:"usage,omitzero"`
}

// usageField is left out unless it was asked for.
type usageField struct {
	asked bool
	usage *usage
}

// MarshalJSON writes the usage, or null.
func (u usageField) MarshalJSON() ([]byte, error) { return json.Marshal(u.usage) }

// stream answers piece by piece.
func (c *completion) stream(w http.ResponseWriter, r *http.Request, b *batch) error {
	e := newEvents(w)
	asked, made := c.request.usage(), 0
	echoed := make([]bool, len(c.jobs))
	err := b.each(r.Context(), func(p piece) error {
		choice := completionChoice{Text: p.text, Index: p.choice}
		prompt := p.choice / c.request.candidates()
		var before []spelled
		if !echoed[p.choice] {
			choice.Text, echoed[p.choice], before = c.echoes[prompt]+p.text, true, c.scored[prompt]
		}
		if c.request.LogProbs != nil {
			choice.LogProbs = completionTokens(before, c.echoes[prompt], p.tokens)
		}
		if p.finish != "" {
			choice.Finish = &p.finish
			made += p.count
		}
		return e.send(completionChunk{c.head, []completionChoice{choice}, usageField{asked: asked}})
	})
	if err != nil {
		return e.fail(err)
	}
	if asked {
		if err := e.send(completionChunk{c.head, []completionChoice{}, usageField{true, usageOf(c.prompt, made)}}); err != nil {
			return err
		}
	}
	return e.done()
}
