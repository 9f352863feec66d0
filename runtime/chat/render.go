package chat

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/runtime/chat/jinja"
)

// A Conversation is what a template is rendered with.
type Conversation struct {
	// Messages is the list of messages, each a mapping with role, content and whatever else the client sent, in order.
	Messages *jinja.List
	// Tools and Documents are passed on to the template; nil for none.
	Tools, Documents *jinja.List
	// AddGenerationPrompt ends the text where the assistant's answer begins.
	AddGenerationPrompt bool
	// Variables are further variables of the template (transformers' chat_template_kwargs); nil for none.
	Variables *jinja.Mapping
	// Now is the time that the template sees; the zero value is the present.
	Now time.Time
}

// patience bounds the time of one rendering; real ones take microseconds.
const patience = 2 * time.Second

// A MessageError says that the template can't take the messages: it raised an error itself, or used them in a way that
// they don't allow.
type MessageError struct{ Problem string }

func (e *MessageError) Error() string { return "the model's chat template: " + e.Problem }

// Render gives the text of a conversation. A *MessageError is the conversation's fault, or the template's.
func (t *Template) Render(ctx context.Context, c Conversation) (string, error) {
	template, err := t.choose(c)
	if err != nil {
		return "", err
	}
	vars := jinja.Dict("messages", c.Messages, "tools", orNone(c.Tools), "documents", orNone(c.Documents),
		"add_generation_prompt", c.AddGenerationPrompt)
	for _, more := range []*jinja.Mapping{t.tokens, c.Variables} {
		more.Each(vars.Set)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	text, err := template.Render(ctx, vars, jinja.Limits{Now: c.Now})
	switch {
	case err == nil:
		return text, nil
	case errors.Is(err, context.Canceled):
		return "", err
	case errors.Is(err, context.DeadlineExceeded):
		return "", &MessageError{fmt.Sprintf("it takes more than %v", patience)}
	}
	return "", &MessageError{err.Error()}
}

// choose takes the template called tool_use where there are tools, as transformers does.
func (t *Template) choose(c Conversation) (*jinja.Template, error) {
	if named := t.named["tool_use"]; named != nil && c.Tools != nil {
		return named, nil
	}
	if t.template == nil {
		return nil, errors.New("the model has several chat templates and none is called default")
	}
	return t.template, nil
}

// orNone is None in place of a nil list.
func orNone(l *jinja.List) any {
	if l == nil {
		return nil
	}
	return l
}
