package serve

import (
	"sync"

	"github.com/ghostwriter-dp/ghostwriter/runtime/chat"
)

// A templateOnce reads a model's chat template when it is first asked for.
type templateOnce struct {
	once     sync.Once
	template *chat.Template
	err      error
}

// ChatTemplate is the model's chat template; the error wraps chat.ErrNone where it has none.
func (i *instance) ChatTemplate() (*chat.Template, error) {
	i.template.once.Do(func() { i.template.template, i.template.err = chat.Load(i.model.Dir()) })
	return i.template.template, i.template.err
}
