package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime/chat"
	"github.com/ghostwriter-dp/ghostwriter/runtime/chat/jinja"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

// chatRequest is the body of POST /v1/chat/completions.
type chatRequest struct {
	sampling
	Messages      json.RawMessage `json:"messages"`
	MaxTokens     *int            `json:"max_tokens"`
	MaxCompletion *int            `json:"max_completion_tokens"`
	LogProbs      *bool           `json:"logprobs"`
	TopLogProbs   *int            `json:"top_logprobs"`
	Variables     json.RawMessage `json:"chat_template_kwargs"`

	messages  *jinja.List
	variables *jinja.Mapping
}

const noTools = "the server runs no tools and does not read calls of them out of a text"

var refusedByChat = slices.Concat([]refusedField{
	{"tools", []string{"[]"}, noTools},
	{"tool_choice", []string{`"none"`, `"auto"`}, noTools},
	{"functions", []string{"[]"}, noTools},
	{"function_call", []string{`"none"`, `"auto"`}, noTools},
	{"response_format", []string{`{"type":"text"}`}, "the form of the text can't be constrained; only {\"type\": \"text\"} is"},
	{"modalities", []string{`["text"]`}, "the models read and write text"},
	{"audio", nil, "the models read and write text"},
	{"reasoning_effort", []string{`"none"`}, "no model here takes it; use chat_template_kwargs where a template does"},
	{"verbosity", []string{`"medium"`}, "no model here takes it"},
	{"web_search_options", nil, "the server looks nothing up"},
	{"continue_final_message", []string{"false"}, "the assistant's answer begins a message of its own"},
	{"add_generation_prompt", []string{"true"}, "an answer always begins where the template lets the assistant speak"},
	{"chat_template", nil, "the model's own template is used"},
	{"documents", []string{"[]"}, "put them into the messages"},
}, refusedByBoth)

// parseChat reads and checks a request.
func parseChat(data []byte) (*chatRequest, error) {
	q := &chatRequest{}
	if err := serve.ParseJSON(data, q); err != nil {
		return nil, err
	}
	if err := refuse(data, refusedByChat); err != nil {
		return nil, err
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	if err := q.checkOwn(); err != nil {
		return nil, err
	}
	var err error
	if q.messages, err = parseMessages(q.Messages); err != nil {
		return nil, err
	}
	if given(q.Variables) {
		v, err := jinja.FromJSON(q.Variables)
		variables, ok := v.(*jinja.Mapping)
		if err != nil || !ok {
			return nil, serve.BadRequest("chat_template_kwargs", "chat_template_kwargs must be an object")
		}
		q.variables = variables
	}
	return q, nil
}

func (q *chatRequest) checkOwn() error {
	for _, f := range []struct {
		name string
		v    *int
	}{{"max_tokens", q.MaxTokens}, {"max_completion_tokens", q.MaxCompletion}} {
		if f.v != nil && *f.v < 1 {
			return serve.BadRequest(f.name, "%s is %d; it must be at least 1", f.name, *f.v)
		}
	}
	switch {
	case q.MaxTokens != nil && q.MaxCompletion != nil && *q.MaxTokens != *q.MaxCompletion:
		return serve.BadRequest("max_tokens", "max_tokens and max_completion_tokens are both set and differ")
	case q.TopLogProbs != nil && (*q.TopLogProbs < 0 || *q.TopLogProbs > 20):
		return serve.BadRequest("top_logprobs", "top_logprobs is %d; it must be from 0 to 20", *q.TopLogProbs)
	case q.TopLogProbs != nil && *q.TopLogProbs > 0 && !or(q.LogProbs, false):
		return serve.BadRequest("top_logprobs", "top_logprobs needs logprobs to be true")
	}
	return nil
}

// roles are those that a message may have; a developer is what templates call system.
var roles = map[string]string{"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}

// parseMessages reads the messages into what templates take: every field of the client's in its order, the content as one
// text.
func parseMessages(raw json.RawMessage) (*jinja.List, error) {
	if !given(raw) {
		return nil, serve.BadRequest("messages", "messages is missing")
	}
	v, err := jinja.FromJSON(raw)
	if err != nil {
		return nil, serve.BadRequest("messages", "messages: %v", err)
	}
	list, ok := v.(*jinja.List)
	if !ok {
		return nil, serve.BadRequest("messages", "messages must be a list")
	}
	if len(list.Items) == 0 {
		return nil, serve.BadRequest("messages", "messages is empty")
	}
	out := jinja.NewList()
	for i, item := range list.Items {
		m, err := parseMessage(fmt.Sprintf("messages[%d]", i), item)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, m)
	}
	return out, nil
}

func parseMessage(at string, item any) (*jinja.Mapping, error) {
	m, ok := item.(*jinja.Mapping)
	if !ok {
		return nil, serve.BadRequest(at, "%s must be an object with role and content", at)
	}
	role, _ := m.Get("role")
	name, ok := role.(string)
	if !ok {
		return nil, serve.BadRequest(at+".role", "%s.role is missing", at)
	}
	mapped, ok := roles[name]
	if !ok {
		return nil, serve.BadRequest(at+".role", "%s.role is %s; it must be system, developer, user or assistant", at, quoted(name))
	}
	for _, field := range []string{"tool_calls", "function_call", "tool_call_id", "audio"} {
		if v, ok := m.Get(field); ok && v != nil {
			e := serve.BadRequest(at+"."+field, "%s.%s is not supported: %s", at, field, noTools)
			e.Code = serve.CodeUnsupported
			return nil, e
		}
	}
	content, _ := m.Get("content")
	text, err := contentText(at+".content", content)
	if err != nil {
		return nil, err
	}
	out := jinja.Dict()
	m.Each(func(key string, value any) {
		switch key {
		case "role":
			value = mapped
		case "content":
			value = text
		}
		out.Set(key, value)
	})
	return out, nil
}

// contentText joins the parts of a content, a line each.
func contentText(at string, content any) (string, error) {
	switch c := content.(type) {
	case string:
		return c, nil
	case *jinja.List:
		var texts []string
		for i, item := range c.Items {
			part, ok := item.(*jinja.Mapping)
			if !ok {
				return "", serve.BadRequest(at, "%s[%d] must be an object", at, i)
			}
			kind, _ := part.Get("type")
			value, _ := part.Get("text")
			text, ok := value.(string)
			if kind != "text" {
				e := serve.BadRequest(at, "%s[%d] is no text: the models read text only", at, i)
				e.Code = serve.CodeUnsupported
				return "", e
			}
			if !ok {
				return "", serve.BadRequest(at, "%s[%d].text is missing", at, i)
			}
			texts = append(texts, text)
		}
		return strings.Join(texts, "\n"), nil
	}
	return "", serve.BadRequest(at, "%s must be a string or a list of parts", at)
}

func (a *api) chat(w http.ResponseWriter, r *http.Request) error {
	data, err := serve.ReadBody(r)
	if err != nil {
		return err
	}
	q, err := parseChat(data)
	if err != nil {
		return err
	}
	if most := a.server.Limits().Inputs; q.choices() > most {
		return serve.BadRequest("n", "n is %d; one request may have %d answers", q.choices(), most)
	}
	lease, err := a.acquire(r, q.Model)
	if err != nil {
		return err
	}
	defer lease.Release()
	c := &conversation{request: q, head: newHead("chatcmpl-", "chat.completion", q.Model)}
	if err := c.prepare(r, lease); err != nil {
		return err
	}
	engine, err := lease.Engine()
	if err != nil {
		return err
	}
	tokenizer, err := lease.Model().Tokenizer()
	if err != nil {
		return err
	}
	b := &batch{tokenizer: tokenizer, stops: q.stops, spell: or(q.LogProbs, false)}
	if err := b.submit(r.Context(), engine, c.jobs); err != nil {
		return err
	}
	defer b.close()
	if q.streams() {
		return c.stream(w, r, b)
	}
	return c.whole(w, r, b)
}

// A conversation is a request on its way to an answer.
type conversation struct {
	request *chatRequest
	head    head
	jobs    []job
	prompt  int
}

// unknownLength is the bound of an answer where neither the request nor the model has one.
const unknownLength = 512

// prepare renders the template and makes the jobs.
func (c *conversation) prepare(r *http.Request, lease *serve.Lease) error {
	ids, err := promptOf(r, lease, c.request)
	if err != nil {
		return err
	}
	c.prompt = len(ids)
	longest, err := lease.Model().MaxTokens()
	if err != nil {
		return err
	}
	most := or(c.request.MaxCompletion, or(c.request.MaxTokens, 0))
	if most == 0 {
		if most = unknownLength; longest > 0 {
			most = longest - len(ids)
		}
	}
	if longest > 0 && len(ids)+most > longest || most < 1 {
		e := serve.BadRequest("messages", "the messages have %d tokens and the model takes %d with the answer: shorten them, or set max_tokens lower", len(ids), longest)
		e.Code = "context_length_exceeded"
		return e
	}
	for k := range c.request.choices() {
		options, err := c.request.options(k, most, or(c.request.TopLogProbs, 0))
		if err != nil {
			return err
		}
		c.jobs = append(c.jobs, job{k, ids, options})
	}
	return nil
}

// promptOf is the text that the template makes of the messages, in tokens. The template writes the special tokens.
func promptOf(r *http.Request, lease *serve.Lease, q *chatRequest) ([]int32, error) {
	template, err := lease.ChatTemplate()
	if errors.Is(err, chat.ErrNone) {
		return nil, serve.BadRequest("model", "model %s has no chat template, so messages can't be put to it: use /v1/completions with a prompt", lease.Name())
	}
	if err != nil {
		return nil, err
	}
	text, err := template.Render(r.Context(), chat.Conversation{Messages: q.messages, AddGenerationPrompt: true, Variables: q.variables})
	var refused *chat.MessageError
	if errors.As(err, &refused) {
		return nil, serve.BadRequest("messages", "%v", err)
	}
	if err != nil {
		return nil, err
	}
	tokenizer, err := lease.Model().Tokenizer()
	if err != nil {
		return nil, err
	}
	ids, err := tokenizer.EncodePlain(text)
	if err == nil && len(ids) == 0 {
		err = errors.New("the template makes an empty text of them")
	}
	if err != nil {
		return nil, serve.BadRequest("messages", "messages: %v", err)
	}
	return ids, nil
}
