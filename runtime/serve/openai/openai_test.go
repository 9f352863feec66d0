package openai

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve/servetest"
)

const testdata = "../../../testdata"

// post sends a body and unpacks the answer, which must have the status.
func post(t *testing.T, url, body string, status int) map[string]any {
	t.Helper()
	answer, text := servetest.Do(t, "POST", url, body, "Content-Type", "application/json")
	if answer.StatusCode != status {
		t.Fatalf("%s\n status %d, want %d: %s", body, answer.StatusCode, status, text)
	}
	var out map[string]any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out
}

// at follows keys and indices into an answer.
func at(t *testing.T, v any, path ...any) any {
	t.Helper()
	for _, p := range path {
		switch key := p.(type) {
		case string:
			m, ok := v.(map[string]any)
			if !ok {
				t.Fatalf("%v has no %q", v, key)
			}
			v = m[key]
		case int:
			l, ok := v.([]any)
			if !ok || key >= len(l) {
				t.Fatalf("%v has no [%d]", v, key)
			}
			v = l[key]
		}
	}
	return v
}

// readEvents reads a stream of server-sent events up to [DONE], which must end it.
func readEvents(t *testing.T, url, body string) []map[string]any {
	t.Helper()
	answer, text := servetest.Do(t, "POST", url, body)
	if answer.StatusCode != http.StatusOK || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") {
		t.Fatalf("%s\n status %d, %s: %s", body, answer.StatusCode, answer.Header.Get("Content-Type"), text)
	}
	if !strings.HasSuffix(text, "data: [DONE]\n\n") {
		t.Fatalf("the stream ends %q", text[max(0, len(text)-200):])
	}
	var out []map[string]any
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if lines.Text() == "" || data == "[DONE]" {
			continue
		}
		var one map[string]any
		if !ok || json.Unmarshal([]byte(data), &one) != nil {
			t.Fatalf("event %q", lines.Text())
		}
		out = append(out, one)
	}
	return out
}

// TestAPI asks one server everything that needs a model.
func TestAPI(t *testing.T) {
	s, web := servetest.Serve(t, testdata, serve.Options{}, New)
	lease, err := s.Repository().Acquire(servetest.Writer, "")
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	m := lease.Model()
	for name, f := range map[string]func(*testing.T, string, *runtime.Model){
		"models": testModels, "greedy": testGreedy, "stream": testStream, "stops": testStops, "logprobs": testLogProbs, "choices": testChoices,
		"echo": testEcho, "echo with logprobs": testEchoLogProbs, "chat": testChat, "chat stream": testChatStream, "bias": testBias, "refusals": testRefusals, "embeddings": testEmbeddings,
	} {
		t.Run(name, func(t *testing.T) { f(t, web.URL, m) })
	}
}

func testModels(t *testing.T, url string, _ *runtime.Model) {
	answer, text := servetest.Do(t, "GET", url+"/v1/models", "")
	var list map[string]any
	if err := json.Unmarshal([]byte(text), &list); err != nil || answer.StatusCode != 200 {
		t.Fatalf("%d %s", answer.StatusCode, text)
	}
	if at(t, list, "object") != "list" || at(t, list, "data", 2, "id") != "writer" || at(t, list, "data", 2, "object") != "model" {
		t.Errorf("%s", text)
	}
	if answer, text := servetest.Do(t, "GET", url+"/v1/models/writer:1", ""); answer.StatusCode != 200 || !strings.Contains(text, `"id":"writer:1"`) {
		t.Errorf("%d %s", answer.StatusCode, text)
	}
	answer, text = servetest.Do(t, "GET", url+"/v1/models/nosuch", "")
	if answer.StatusCode != 404 || !strings.Contains(text, `"code":"model_not_found"`) || !strings.Contains(text, `"param":"model"`) {
		t.Errorf("%d %s", answer.StatusCode, text)
	}
}

// testGreedy compares with the library.
func testGreedy(t *testing.T, url string, m *runtime.Model) {
	got := post(t, url+"/v1/completions", `{"model":"writer","prompt":"name : The Vaults","max_tokens":12,"temperature":0}`, 200)
	tokenizer, err := m.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	ids, err := tokenizer.Encode("name : The Vaults")
	if err != nil {
		t.Fatal(err)
	}
	want, err := m.Continue(t.Context(), [][]int32{ids}, runtime.GenerateOptions{MaxNewTokens: 12, Sample: runtime.Off})
	if err != nil {
		t.Fatal(err)
	}
	if text := at(t, got, "choices", 0, "text"); text != want[0][0].Text {
		t.Errorf("got %q, want %q", text, want[0][0].Text)
	}
	if at(t, got, "usage", "prompt_tokens") != float64(len(ids)) || at(t, got, "usage", "completion_tokens") != float64(len(want[0][0].IDs)) ||
		at(t, got, "choices", 0, "finish_reason") != want[0][0].Finish || at(t, got, "object") != "text_completion" {
		t.Errorf("%v", got)
	}
}

// testStream sums up a stream and compares with the whole answer; greedy and seeded.
func testStream(t *testing.T, url string, _ *runtime.Model) {
	for _, how := range []string{`"temperature":0`, `"seed":7`, `"seed":7,"temperature":1.5,"top_p":0.9,"n":3`, `"seed":3,"presence_penalty":1.5,"frequency_penalty":0.5`} {
		body := `{"model":"writer","prompt":["name : Blue Spice","I am"],"max_tokens":20,` + how
		whole := post(t, url+"/v1/completions", body+`}`, 200)
		choices, _ := at(t, whole, "choices").([]any)
		texts, finish := make([]string, len(choices)), make([]any, len(choices))
		all := readEvents(t, url+"/v1/completions", body+`,"stream":true,"stream_options":{"include_usage":true}}`)
		for i, e := range all {
			if i == len(all)-1 {
				if len(at(t, e, "choices").([]any)) != 0 || at(t, e, "usage", "total_tokens") != at(t, whole, "usage", "total_tokens") {
					t.Errorf("%s: last event %v, want the usage %v", how, e, whole["usage"])
				}
				continue
			}
			if u, there := e["usage"]; !there || u != nil {
				t.Errorf("%s: event %v should have usage null", how, e)
			}
			k := int(at(t, e, "choices", 0, "index").(float64))
			texts[k] += at(t, e, "choices", 0, "text").(string)
			if f := at(t, e, "choices", 0, "finish_reason"); f != nil {
				finish[k] = f
			}
		}
		for k, c := range choices {
			if texts[k] != at(t, c, "text") || finish[k] != at(t, c, "finish_reason") {
				t.Errorf("%s, choice %d: streamed %q (%v), whole %q (%v)", how, k, texts[k], finish[k], at(t, c, "text"), at(t, c, "finish_reason"))
			}
		}
		if len(choices) == 6 && texts[0] == texts[1] && texts[1] == texts[2] {
			t.Errorf("%s: three equal choices", how)
		}
	}
}

// testStops cuts a known text at every substring of it of one to seven bytes that begins in its first half.
func testStops(t *testing.T, url string, _ *runtime.Model) {
	ask := func(stop string, stream bool) (string, string) {
		body, err := json.Marshal(map[string]any{"model": "writer", "prompt": "name : The Vaults", "max_tokens": 16, "temperature": 0, "stop": stop, "stream": stream})
		if err != nil {
			t.Fatal(err)
		}
		if !stream {
			got := post(t, url+"/v1/completions", string(body), 200)
			return at(t, got, "choices", 0, "text").(string), at(t, got, "choices", 0, "finish_reason").(string)
		}
		text, finish := "", ""
		for _, e := range readEvents(t, url+"/v1/completions", string(body)) {
			piece := at(t, e, "choices", 0, "text").(string)
			if !utf8.ValidString(piece) {
				t.Errorf("half a character in %q", piece)
			}
			text += piece
			if f, ok := at(t, e, "choices", 0, "finish_reason").(string); ok {
				finish = f
			}
		}
		return text, finish
	}
	full, _ := ask("\x00", false)
	if len(full) < 20 {
		t.Fatalf("the text %q is too short for this test", full)
	}
	for i := range len(full) / 2 {
		stop := full[i:min(len(full), i+1+i%7)]
		if !utf8.ValidString(stop) {
			continue
		}
		want, _, _ := strings.Cut(full, stop)
		if text, finish := ask(stop, i%2 == 1); text != want || finish != "stop" {
			t.Errorf("stop %q: %q (%s), want %q", stop, text, finish, want)
		}
	}
}

func testLogProbs(t *testing.T, url string, _ *runtime.Model) {
	got := post(t, url+"/v1/completions", `{"model":"writer","prompt":"name : The Vaults","max_tokens":8,"temperature":0,"logprobs":3}`, 200)
	text := at(t, got, "choices", 0, "text").(string)
	tokens := at(t, got, "choices", 0, "logprobs", "tokens").([]any)
	joined := ""
	for i, token := range tokens {
		if at(t, got, "choices", 0, "logprobs", "text_offset", i) != float64(utf8.RuneCountInString(joined)) {
			t.Errorf("offset of token %d in %v", i, got)
		}
		joined += token.(string)
		own := at(t, got, "choices", 0, "logprobs", "token_logprobs", i).(float64)
		top := at(t, got, "choices", 0, "logprobs", "top_logprobs", i).(map[string]any)
		best := math.Inf(-1)
		for _, p := range top {
			best = max(best, p.(float64))
		}
		if own > 0 || own != best || len(top) != 3 || top[token.(string)] != own {
			t.Errorf("token %d %q: %v, top %v", i, token, own, top)
		}
	}
	if joined != text || len(tokens) != 8 {
		t.Errorf("tokens %q, text %q", joined, text)
	}
	chat := post(t, url+"/v1/chat/completions", `{"model":"writer","messages":[{"role":"user","content":"name : The Vaults"}],"max_tokens":8,"temperature":0,"logprobs":true,"top_logprobs":2}`, 200)
	joined = ""
	for _, token := range at(t, chat, "choices", 0, "logprobs", "content").([]any) {
		joined += at(t, token, "token").(string)
		var bytes []byte
		for _, b := range at(t, token, "bytes").([]any) {
			bytes = append(bytes, byte(b.(float64)))
		}
		if string(bytes) != at(t, token, "token") || len(at(t, token, "top_logprobs").([]any)) != 2 {
			t.Errorf("%v", token)
		}
	}
	if joined != at(t, chat, "choices", 0, "message", "content") {
		t.Errorf("tokens %q, message %v", joined, chat)
	}
}

func testChoices(t *testing.T, url string, _ *runtime.Model) {
	got := post(t, url+"/v1/completions", `{"model":"writer","prompt":["a","b"],"max_tokens":4,"n":2,"best_of":3,"seed":1}`, 200)
	if choices := at(t, got, "choices").([]any); len(choices) != 4 || at(t, choices[3], "index") != 3.0 {
		t.Errorf("%v", got)
	}
	if made := at(t, got, "usage", "completion_tokens").(float64); made < 7 {
		t.Errorf("%v tokens; six texts were made", made)
	}
	again := post(t, url+"/v1/completions", `{"model":"writer","prompt":["a","b"],"max_tokens":4,"n":2,"best_of":3,"seed":1}`, 200)
	if at(t, got, "choices", 0, "text") != at(t, again, "choices", 0, "text") {
		t.Errorf("one seed, two texts: %v, %v", got, again)
	}
}

func testEcho(t *testing.T, url string, _ *runtime.Model) {
	plain := post(t, url+"/v1/completions", `{"model":"writer","prompt":"name :","max_tokens":5,"temperature":0}`, 200)
	echo := post(t, url+"/v1/completions", `{"model":"writer","prompt":"name :","max_tokens":5,"temperature":0,"echo":true}`, 200)
	if at(t, echo, "choices", 0, "text") != "name :"+at(t, plain, "choices", 0, "text").(string) {
		t.Errorf("%v, %v", plain, echo)
	}
	none := post(t, url+"/v1/completions", `{"model":"writer","prompt":"name :","max_tokens":0,"echo":true}`, 200)
	if at(t, none, "choices", 0, "text") != "name :" || at(t, none, "usage", "completion_tokens") != 0.0 {
		t.Errorf("%v", none)
	}
	text := ""
	for _, e := range readEvents(t, url+"/v1/completions", `{"model":"writer","prompt":"name :","max_tokens":5,"temperature":0,"echo":true,"stream":true}`) {
		text += at(t, e, "choices", 0, "text").(string)
	}
	if text != at(t, echo, "choices", 0, "text") {
		t.Errorf("streamed %q, whole %v", text, echo)
	}
}

// testEchoLogProbs generates a text, then echoes prompt and text: the echo must give the generated tokens the same
// log-probabilities as the generation did.
func testEchoLogProbs(t *testing.T, url string, m *runtime.Model) {
	tokenizer, err := m.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	prompt, err := tokenizer.Encode("name : The Vaults, größer")
	if err != nil {
		t.Fatal(err)
	}
	want, err := m.Continue(t.Context(), [][]int32{prompt}, runtime.GenerateOptions{MaxNewTokens: 6, Sample: runtime.Off})
	if err != nil {
		t.Fatal(err)
	}
	whole := append(prompt[:len(prompt):len(prompt)], want[0][0].IDs...)
	for _, more := range []string{`"max_tokens":0`, `"max_tokens":2,"temperature":0`} {
		ids, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		body := `{"model":"writer","prompt":` + string(ids) + `,"echo":true,"logprobs":1,` + more
		got := post(t, url+"/v1/completions", body+`}`, 200)
		probs := at(t, got, "choices", 0, "logprobs", "token_logprobs").([]any)
		if len(probs) < len(whole) || probs[0] != nil || at(t, got, "choices", 0, "logprobs", "top_logprobs", 0) != nil {
			t.Fatalf("%v", got)
		}
		for i, p := range want[0][0].LogProbs {
			if d := probs[len(prompt)+i].(float64) - p; math.Abs(d) > 1e-4 {
				t.Errorf("token %d: log-probability %v, want %v", i, probs[len(prompt)+i], p)
			}
		}
		var streamed []any
		for _, e := range readEvents(t, url+"/v1/completions", body+`,"stream":true}`) {
			streamed = append(streamed, at(t, e, "choices", 0, "logprobs", "token_logprobs").([]any)...)
		}
		if len(streamed) != len(probs) || streamed[len(streamed)-1] != probs[len(probs)-1] {
			t.Errorf("streamed %v, whole %v", streamed, probs)
		}
		text, offsets := []rune(at(t, got, "choices", 0, "text").(string)), at(t, got, "choices", 0, "logprobs", "text_offset").([]any)
		for i, token := range at(t, got, "choices", 0, "logprobs", "tokens").([]any) {
			if part := token.(string); !strings.ContainsRune(part, utf8.RuneError) && !strings.HasPrefix(string(text[int(offsets[i].(float64)):]), part) && !strings.HasPrefix(part, "<|") {
				t.Errorf("token %d %q is not at %v of %q", i, part, offsets[i], string(text))
			}
		}
	}
}

func testChat(t *testing.T, url string, _ *runtime.Model) {
	// The template writes this text, so both must be continued alike.
	prompt := "system : Be brief.\nuser : name : The Vaults\nand more\nassistant :"
	body, _ := json.Marshal(map[string]any{"model": "writer", "prompt": prompt, "max_tokens": 10, "temperature": 0})
	want := post(t, url+"/v1/completions", string(body), 200)
	got := post(t, url+"/v1/chat/completions", `{"model":"writer","max_completion_tokens":10,"temperature":0,"messages":[{"role":"developer","content":"Be brief."},
		{"role":"user","content":[{"type":"text","text":"name : The Vaults"},{"type":"text","text":"and more"}]}]}`, 200)
	if at(t, got, "choices", 0, "message", "content") != at(t, want, "choices", 0, "text") || at(t, got, "choices", 0, "message", "role") != "assistant" {
		t.Errorf("got %v, want %v", got, want)
	}
	if at(t, got, "usage", "prompt_tokens") != at(t, want, "usage", "prompt_tokens") || at(t, got, "object") != "chat.completion" {
		t.Errorf("got %v, want %v", got, want)
	}
	// Without a bound the answer may fill the model's 128 positions.
	long := post(t, url+"/v1/chat/completions", `{"model":"writer","temperature":0,"logit_bias":{"767":-100},"messages":[{"role":"user","content":"a"}]}`, 200)
	if at(t, long, "usage", "total_tokens") != 128.0 || at(t, long, "choices", 0, "finish_reason") != "length" {
		t.Errorf("%v", long)
	}
}

func testChatStream(t *testing.T, url string, _ *runtime.Model) {
	body := `{"model":"writer","max_tokens":10,"temperature":0,"messages":[{"role":"user","content":"name : The Vaults"}]`
	whole := post(t, url+"/v1/chat/completions", body+`}`, 200)
	all := readEvents(t, url+"/v1/chat/completions", body+`,"stream":true}`)
	if at(t, all[0], "choices", 0, "delta", "role") != "assistant" || at(t, all[0], "object") != "chat.completion.chunk" {
		t.Errorf("first event %v", all[0])
	}
	text := ""
	for _, e := range all[:len(all)-1] {
		if _, there := e["usage"]; there || at(t, e, "choices", 0, "finish_reason") != nil {
			t.Errorf("%v", e)
		}
		text += at(t, e, "choices", 0, "delta", "content").(string)
	}
	last := all[len(all)-1]
	if delta := at(t, last, "choices", 0, "delta").(map[string]any); len(delta) != 0 || at(t, last, "choices", 0, "finish_reason") != at(t, whole, "choices", 0, "finish_reason") {
		t.Errorf("last event %v", last)
	}
	if text != at(t, whole, "choices", 0, "message", "content") {
		t.Errorf("streamed %q, whole %v", text, whole)
	}
}

// testBias forces a token and then forbids it.
func testBias(t *testing.T, url string, m *runtime.Model) {
	tokenizer, err := m.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	ids, err := tokenizer.EncodePlain("x")
	if err != nil || len(ids) != 1 {
		t.Fatal(ids, err)
	}
	body, _ := json.Marshal(map[string]any{"model": "writer", "prompt": "a", "max_tokens": 5, "temperature": 0, "logit_bias": map[int32]float64{ids[0]: 100}})
	if got := post(t, url+"/v1/completions", string(body), 200); at(t, got, "choices", 0, "text") != "xxxxx" {
		t.Errorf("%v", got)
	}
	ban := map[int32]float64{} // every token with the letter in it
	for id := range int32(tokenizer.VocabSize()) {
		if strings.Contains(tokenizer.Decode([]int32{id}, false), "x") {
			ban[id] = -100
		}
	}
	body, _ = json.Marshal(map[string]any{"model": "writer", "prompt": "x", "max_tokens": 30, "seed": 1, "logit_bias": ban})
	if got := post(t, url+"/v1/completions", string(body), 200); strings.Contains(at(t, got, "choices", 0, "text").(string), "x") {
		t.Errorf("%v", got)
	}
}

func testRefusals(t *testing.T, url string, _ *runtime.Model) {
	for _, c := range []struct {
		path, body, param, code string
		status                  int
	}{
		{"completions", ``, "", "invalid_request", 400},
		{"completions", `{`, "", "invalid_request", 400},
		{"completions", `[]`, "", "invalid_request", 400},
		{"completions", `{"prompt":"a"}`, "model", "invalid_request", 400},
		{"completions", `{"model":"nosuch","prompt":"a"}`, "model", "model_not_found", 404},
		{"completions", `{"model":"writer","prompt":{}}`, "prompt", "invalid_request", 400},
		{"completions", `{"model":"writer","prompt":[]}`, "prompt", "invalid_request", 400},
		{"completions", `{"model":"writer","prompt":["a",null]}`, "prompt", "invalid_request", 400},
		{"completions", `{"model":"writer","prompt":[1,"a"]}`, "prompt", "invalid_request", 400},
		{"completions", `{"model":"writer","prompt":[[1],[]]}`, "prompt", "invalid_request", 400},
		{"completions", `{"model":"writer","prompt":[-1]}`, "prompt", "invalid_request", 400},
		{"completions", `{"model":"writer","prompt":[99999]}`, "", "invalid_request", 400},
		{"completions", `{"model":"writer","prompt":"a","max_tokens":0}`, "max_tokens", "invalid_request", 400},
		{"completions", `{"model":"writer","prompt":"a","max_tokens":1000}`, "", "invalid_request", 400},
		{"completions", `{"model":"writer","prompt":"a","max_tokens":"5"}`, "max_tokens", "invalid_request", 400},
		{"completions", `{"model":"writer","prompt":"a","temperature":3}`, "temperature", "invalid_request", 400},
		{"completions", `{"model":"writer","prompt":"a","n":0}`, "n", "invalid_request", 400},
		{"completions", `{"model":"writer","prompt":"a","n":1000}`, "prompt", "invalid_request", 400},
		{"completions", `{"model":"writer","prompt":"a","n":3,"best_of":2}`, "best_of", "invalid_request", 400},
		{"completions", `{"model":"writer","prompt":"a","best_of":2,"stream":true}`, "best_of", "invalid_request", 400},
		{"completions", `{"model":"writer","prompt":"a","suffix":"b"}`, "suffix", "unsupported", 400},
		{"completions", `{"model":"writer","prompt":"a","logprobs":9}`, "logprobs", "invalid_request", 400},
		{"completions", `{"model":"writer","prompt":"a","stop":["1","2","3","4","5"]}`, "stop", "invalid_request", 400},
		{"completions", `{"model":"writer","prompt":"a","stop":""}`, "stop", "invalid_request", 400},
		{"completions", `{"model":"writer","prompt":"a","stop":5}`, "stop", "invalid_request", 400},
		{"completions", `{"model":"writer","prompt":"a","logit_bias":{"x":1}}`, "logit_bias", "invalid_request", 400},
		{"completions", `{"model":"writer","prompt":"a","logit_bias":{"1":101}}`, "logit_bias", "invalid_request", 400},
		{"completions", `{"model":"writer","prompt":"a","logit_bias":{"99999":1}}`, "", "invalid_request", 400},
		{"completions", `{"model":"writer","prompt":"a","stream_options":{"include_usage":true}}`, "stream_options", "invalid_request", 400},
		{"completions", `{"model":"feedback","prompt":"a"}`, "", "invalid_request", 400},
		{"chat/completions", `{"model":"writer"}`, "messages", "invalid_request", 400},
		{"chat/completions", `{"model":"writer","messages":[]}`, "messages", "invalid_request", 400},
		{"chat/completions", `{"model":"writer","messages":["a"]}`, "messages[0]", "invalid_request", 400},
		{"chat/completions", `{"model":"writer","messages":[{"role":"king","content":"a"}]}`, "messages[0].role", "invalid_request", 400},
		{"chat/completions", `{"model":"writer","messages":[{"role":"user"}]}`, "messages[0].content", "invalid_request", 400},
		{"chat/completions", `{"model":"writer","messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, "messages[0].content", "unsupported", 400},
		{"chat/completions", `{"model":"writer","messages":[{"role":"user","content":"a"}],"tools":[{"type":"function"}]}`, "tools", "unsupported", 400},
		{"chat/completions", `{"model":"writer","messages":[{"role":"user","content":"a"}],"response_format":{"type":"json_object"}}`, "response_format", "unsupported", 400},
		{"chat/completions", `{"model":"writer","messages":[{"role":"user","content":"a"}],"top_logprobs":2}`, "top_logprobs", "invalid_request", 400},
		{"chat/completions", `{"model":"writer","messages":[{"role":"user","content":"a"}],"max_tokens":500}`, "messages", "context_length_exceeded", 400},
		{"chat/completions", `{"model":"vectors","messages":[{"role":"user","content":"a"}]}`, "model", "invalid_request", 400},
		{"embeddings", `{"model":"vectors"}`, "input", "invalid_request", 400},
		{"embeddings", `{"model":"vectors","input":""}`, "input", "invalid_request", 400},
		{"embeddings", `{"model":"vectors","input":"a","encoding_format":"int8"}`, "encoding_format", "invalid_request", 400},
		{"embeddings", `{"model":"vectors","input":"a","dimensions":3}`, "dimensions", "invalid_request", 400},
		{"embeddings", `{"model":"vectors","input":[[5000]]}`, "", "invalid_request", 400},
		{"embeddings", `{"model":"writer","input":"a"}`, "", "invalid_request", 400},
		{"nosuch", `{}`, "", "not_found", 404},
	} {
		got := post(t, url+"/v1/"+c.path, c.body, c.status)
		param, _ := at(t, got, "error", "param").(string)
		if at(t, got, "error", "message") == "" || at(t, got, "error", "code") != c.code || param != c.param {
			t.Errorf("%s %s: %v, want param %q and code %q", c.path, c.body, got, c.param, c.code)
		}
	}
	// Neither is a reason to refuse.
	post(t, url+"/v1/chat/completions", `{"model":"writer","max_tokens":1,"messages":[{"role":"user","content":"a"}],"tools":[],"tool_choice":"none","response_format":{"type":"text"},"user":"u","metadata":{"a":"b"},"n":null,"stop":null}`, 200)
}

func testEmbeddings(t *testing.T, url string, _ *runtime.Model) {
	plain := post(t, url+"/v1/embeddings", `{"model":"vectors","input":["hello world","a"]}`, 200)
	if at(t, plain, "object") != "list" || at(t, plain, "data", 1, "index") != 1.0 || at(t, plain, "data", 0, "object") != "embedding" {
		t.Errorf("%v", plain)
	}
	packed := post(t, url+"/v1/embeddings", `{"model":"vectors","input":["hello world","a"],"encoding_format":"base64"}`, 200)
	for i := range 2 {
		want := at(t, plain, "data", i, "embedding").([]any)
		data, err := base64.StdEncoding.DecodeString(at(t, packed, "data", i, "embedding").(string))
		if err != nil || len(data) != 4*len(want) {
			t.Fatalf("%d bytes, %v; want %d numbers", len(data), err, len(want))
		}
		norm := 0.0
		for k, x := range want {
			if got := math.Float32frombits(binary.LittleEndian.Uint32(data[4*k:])); got != float32(x.(float64)) {
				t.Errorf("number %d: %v, want %v", k, got, x)
			}
			norm += x.(float64) * x.(float64)
		}
		if math.Abs(norm-1) > 1e-5 {
			t.Errorf("the vector has length² %v", norm)
		}
	}
	if at(t, plain, "usage", "prompt_tokens") != at(t, plain, "usage", "total_tokens") || at(t, plain, "usage", "prompt_tokens") == 0.0 {
		t.Errorf("%v", plain["usage"])
	}
}
