package openai

import (
	"crypto/rand"
	"strings"
	"time"
	"unicode/utf8"
)

// usage counts tokens: those of the prompts, each once, and those that the model made.
type usage struct {
	Prompt     int  `json:"prompt_tokens"`
	Completion *int `json:"completion_tokens,omitempty"`
	Total      int  `json:"total_tokens"`
}

func usageOf(prompt, completion int) *usage { return &usage{prompt, &completion, prompt + completion} }

// head is what every object of an answer begins with.
type head struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	Model   string `json:"model"`
}

func newHead(prefix, object, model string) head {
	return head{prefix + strings.ToLower(rand.Text()), object, time.Now().Unix(), model}
}

// A gathered is a choice of an answer that is given as a whole.
type gathered struct {
	text   strings.Builder
	tokens []spelled
	finish string
	count  int
	sum    float64
}

func (g *gathered) add(p piece) {
	g.text.WriteString(p.text)
	g.tokens = append(g.tokens, p.tokens...)
	if p.finish != "" {
		g.finish, g.count, g.sum = p.finish, p.count, p.sum
	}
}

// mean is the log-probability per token, by which best_of chooses.
func (g *gathered) mean() float64 { return g.sum / float64(max(1, g.count)) }

// completionLogProbs is the logprobs of a completion.
type completionLogProbs struct {
	Tokens   []string             `json:"tokens"`
	LogProbs []*float64           `json:"token_logprobs"` // null for the first token of an echo
	Top      []map[string]float64 `json:"top_logprobs"`
	Offsets  []int                `json:"text_offset"` // in characters
}

// completionTokens writes the tokens of an echo, and those that follow its text.
func completionTokens(echoed []spelled, echo string, tokens []spelled) *completionLogProbs {
	l := &completionLogProbs{Tokens: []string{}, LogProbs: []*float64{}, Top: []map[string]float64{}, Offsets: []int{}}
	for i := range echoed {
		l.add(&echoed[i], 0)
	}
	after := utf8.RuneCountInString(echo)
	for i := range tokens {
		l.add(&tokens[i], after)
	}
	return l
}

func (l *completionLogProbs) add(t *spelled, after int) {
	l.Tokens, l.Offsets = append(l.Tokens, t.text), append(l.Offsets, after+t.chars)
	if t.first {
		l.LogProbs, l.Top = append(l.LogProbs, nil), append(l.Top, nil)
		return
	}
	top := map[string]float64{}
	for _, a := range t.top {
		if _, have := top[a.text]; !have { // several halves of characters read the same; the likeliest stays
			top[a.text] = a.logProb
		}
	}
	if _, have := top[t.text]; !have {
		top[t.text] = t.logProb
	}
	l.LogProbs, l.Top = append(l.LogProbs, &t.logProb), append(l.Top, top)
}

// chatToken is a token in the logprobs of a chat completion.
type chatToken struct {
	Token   string      `json:"token"`
	LogProb float64     `json:"logprob"`
	Bytes   []int       `json:"bytes"` // null for half a character
	Top     []chatToken `json:"top_logprobs,omitempty"`
}

type chatLogProbs struct {
	Content []fullToken `json:"content"`
	Refusal []fullToken `json:"refusal"`
}

// fullToken always has its list of alternatives.
type fullToken struct {
	chatToken
	Top []chatToken `json:"top_logprobs"`
}

func chatTokens(tokens []spelled) *chatLogProbs {
	l := &chatLogProbs{Content: []fullToken{}}
	for _, t := range tokens {
		full := fullToken{chatToken: newChatToken(t.text, t.logProb), Top: []chatToken{}}
		for _, a := range t.top {
			full.Top = append(full.Top, newChatToken(a.text, a.logProb))
		}
		l.Content = append(l.Content, full)
	}
	return l
}

func newChatToken(text string, logProb float64) chatToken {
	t := chatToken{Token: text, LogProb: logProb}
	if !strings.ContainsRune(text, utf8.RuneError) {
		t.Bytes = make([]int, len(text))
		for i, b := range []byte(text) {
			t.Bytes[i] = int(b)
		}
	}
	return t
}
