package openai

import (
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

// refusedWell checks that what a parser says about a bad body is an error of the API with a message.
func refusedWell(t *testing.T, err error) bool {
	t.Helper()
	if err == nil {
		return false
	}
	if e := serve.AsError(err); e.Status != 400 || e.Message == "" || e.Code == "" {
		t.Errorf("%#v", e)
	}
	return true
}

func FuzzCompletion(f *testing.F) {
	for _, s := range []string{`{"model":"m","prompt":"a","max_tokens":5,"stop":["x"],"logit_bias":{"1":2},"stream":true,"stream_options":{"include_usage":true}}`,
		`{"model":"m","prompt":[[1,2],[3]],"n":2,"best_of":3,"seed":-1,"echo":true,"logprobs":2}`, `{"prompt":null,"suffix":""}`, `[]`, `{"prompt":[1.5]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := parseCompletion(data)
		if refusedWell(t, err) {
			return
		}
		if len(q.prompts) == 0 || q.candidates() < q.choices() || q.choices() < 1 {
			t.Errorf("%+v", q)
		}
		if _, err := q.options(0, 1, 0); err != nil {
			t.Error(err)
		}
	})
}

func FuzzChat(f *testing.F) {
	for _, s := range []string{`{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"text","text":"b"}],"name":"n"}],"max_tokens":3}`,
		`{"messages":[{"role":"developer","content":null}],"tools":[{}]}`, `{"messages":[{}],"chat_template_kwargs":{"a":[1]}}`, `{"messages":{}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := parseChat(data)
		if refusedWell(t, err) {
			return
		}
		if q.messages == nil || len(q.messages.Items) == 0 {
			t.Errorf("%+v", q)
		}
	})
}

func FuzzEmbedding(f *testing.F) {
	for _, s := range []string{`{"model":"m","input":["a","b"],"encoding_format":"base64","dimensions":2}`, `{"input":[1,2]}`, `{"input":[[1],[2]]}`, `{"input":""}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := parseEmbedding(data)
		if refusedWell(t, err) {
			return
		}
		if len(q.inputs) == 0 {
			t.Errorf("%+v", q)
		}
	})
}
