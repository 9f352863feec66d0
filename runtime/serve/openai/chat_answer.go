package openai

import (
	"net/http"

	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

type chatMessage struct {
	Role    string  `json:"role"`
	Content string  `json:"content"`
	Refusal *string `json:"refusal"`
}

type chatChoice struct {
	Index    int           `json:"index"`
	Message  chatMessage   `json:"message"`
	LogProbs *chatLogProbs `json:"logprobs"`
	Finish   string        `json:"finish_reason"`
}

// whole answers when all choices are done.
func (c *conversation) whole(w http.ResponseWriter, r *http.Request, b *batch) error {
	all := make([]gathered, len(c.jobs))
	if err := b.each(r.Context(), func(p piece) error {
		all[p.choice].add(p)
		return nil
	}); err != nil {
		return err
	}
	answer := struct {
		head
		Choices []chatChoice `json:"choices"`
		Usage   *usage       `json:"usage"`
	}{head: c.head}
	made := 0
	for i := range all {
		g := &all[i]
		choice := chatChoice{Index: i, Message: chatMessage{Role: "assistant", Content: g.text.String()}, Finish: g.finish}
		if or(c.request.LogProbs, false) {
			choice.LogProbs = chatTokens(g.tokens)
		}
		answer.Choices = append(answer.Choices, choice)
		made += g.count
	}
	answer.Usage = usageOf(c.prompt, made)
	return serve.WriteJSON(w, http.StatusOK, answer)
}

// chatDelta is what an event adds to a message.
type chatDelta struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
}

type chatPart struct {
	Index    int           `json:"index"`
	Delta    chatDelta     `json:"delta"`
	LogProbs *chatLogProbs `json:"logprobs"`
	Finish   *string       `json:"finish_reason"`
}

type chatChunk struct {
	head
	Choices []chatPart `json:"choices"`
	Usage   usageField `json:"usage,omitzero"`
}

// stream answers piece by piece: first the role of every choice, then its text, at last why it ended.
func (c *conversation) stream(w http.ResponseWriter, r *http.Request, b *batch) error {
	c.head.Object = "chat.completion.chunk"
	e := newEvents(w)
	chunk := func(parts ...chatPart) chatChunk {
		return chatChunk{c.head, append([]chatPart{}, parts...), usageField{asked: c.request.usage()}}
	}
	for k := range c.jobs {
		if err := e.send(chunk(chatPart{Index: k, Delta: chatDelta{Role: "assistant", Content: new(string)}})); err != nil {
			return err
		}
	}
	made := 0
	err := b.each(r.Context(), func(p piece) error {
		if p.text != "" || len(p.tokens) > 0 {
			part := chatPart{Index: p.choice, Delta: chatDelta{Content: &p.text}}
			if or(c.request.LogProbs, false) {
				part.LogProbs = chatTokens(p.tokens)
			}
			if err := e.send(chunk(part)); err != nil {
				return err
			}
		}
		if p.finish == "" {
			return nil
		}
		made += p.count
		return e.send(chunk(chatPart{Index: p.choice, Finish: &p.finish}))
	})
	if err != nil {
		return e.fail(err)
	}
	if c.request.usage() {
		last := chunk()
		last.Usage.usage = usageOf(c.prompt, made)
		if err := e.send(last); err != nil {
			return err
		}
	}
	return e.done()
}
