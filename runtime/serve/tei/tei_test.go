package tei

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve/servetest"
)

func TestAPI(t *testing.T) {
	s, web := servetest.Serve(t, "../../../testdata", serve.Options{}, New)
	lease, err := s.Repository().Acquire(servetest.Feedback, "")
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	post := func(path, body string, status int, into any) {
		t.Helper()
		answer, text := servetest.Do(t, "POST", web.URL+path, body)
		if answer.StatusCode != status {
			t.Fatalf("%s %s: status %d, want %d: %s", path, body, answer.StatusCode, status, text)
		}
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}

	// Predictions are the library's, sorted.
	text := runtime.TextPair{Text: "thank you, that was great"}
	want, err := lease.Model().Classify(t.Context(), []runtime.TextPair{text, {Text: "it was dirty", Pair: "why?"}}, runtime.ClassifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	check := func(got []prediction, want runtime.Classification) {
		t.Helper()
		if len(got) != len(want.Labels) || got[0].Label != want.Labels[want.Best()] {
			t.Fatalf("got %v, want %v", got, want)
		}
		for i, p := range got {
			if i > 0 && p.Score > got[i-1].Score {
				t.Errorf("%v is not sorted", got)
			}
			for k, label := range want.Labels {
				if label == p.Label && math.Abs(p.Score-want.Scores[k]) > 1e-6 {
					t.Errorf("%s has %v, want %v", label, p.Score, want.Scores[k])
				}
			}
		}
	}
	var one []prediction
	var many [][]prediction
	post("/models/feedback/predict", `{"inputs":"thank you, that was great"}`, 200, &one)
	check(one, want[0])
	post("/predict?model=feedback", `{"inputs":["it was dirty","why?"]}`, 200, &one)
	check(one, want[1])
	post("/predict?model=feedback", `{"inputs":[["thank you, that was great"],["it was dirty","why?"]]}`, 200, &many)
	check(many[0], want[0])
	check(many[1], want[1])
	post("/predict?model=feedback", `{"inputs":"thank you","raw_scores":true}`, 200, &one)
	if sum := one[0].Score + one[1].Score + one[2].Score; math.Abs(sum-1) < 1e-3 {
		t.Errorf("raw scores sum to %v", sum)
	}

	// Vectors have length 1 unless they are asked for as they are.
	var vectors, raw [][]float64
	post("/models/vectors/embed", `{"inputs":["hello","a b"]}`, 200, &vectors)
	post("/models/vectors/embed", `{"inputs":["hello","a b"],"normalize":false}`, 200, &raw)
	for i, v := range vectors {
		norm, ratio := 0.0, raw[i][0]/v[0]
		for k, x := range v {
			norm += x * x
			if math.Abs(raw[i][k]-ratio*x) > 1e-4*math.Abs(ratio) {
				t.Errorf("vector %d is not the raw one scaled", i)
			}
		}
		if math.Abs(norm-1) > 1e-5 {
			t.Errorf("length² %v", norm)
		}
	}

	var tokens [][]token
	var decoded []string
	post("/models/feedback/tokenize", `{"inputs":"good care"}`, 200, &tokens)
	if first, last := tokens[0][0], tokens[0][len(tokens[0])-1]; first.Text != "[CLS]" || !first.Special || last.Text != "[SEP]" || tokens[0][1].Text != "good" {
		t.Errorf("%v", tokens)
	}
	ids, err := json.Marshal(map[string]any{"ids": []int32{tokens[0][0].ID, tokens[0][1].ID, tokens[0][2].ID}})
	if err != nil {
		t.Fatal(err)
	}
	if post("/models/feedback/decode", string(ids), 200, &decoded); decoded[0] != "good care" {
		t.Errorf("%v", decoded)
	}
	for model, kind := range map[string]string{"feedback": `"classifier":{"id2label":{"0":"complaint"`, "vectors": `"embedding":{}`, "writer": `"generator":{"chat":true}`} {
		if answer, text := servetest.Do(t, "GET", web.URL+"/models/"+model+"/info", ""); answer.StatusCode != 200 || !strings.Contains(text, kind) {
			t.Errorf("%d %s, want %s", answer.StatusCode, text, kind)
		}
	}
	if answer, _ := servetest.Do(t, "GET", web.URL+"/health", ""); answer.StatusCode != 200 {
		t.Errorf("health: %d", answer.StatusCode)
	}

	long := strings.Repeat("good ", 100)
	for _, c := range []struct {
		path, body, kind string
		status           int
	}{
		{"/predict", `{"inputs":"a"}`, "Validation", 422}, // which of the models?
		{"/models/nosuch/predict", `{"inputs":"a"}`, "Validation", 404},
		{"/models/feedback/nosuch", `{}`, "Validation", 404},
		{"/models/feedback/predict", ``, "Validation", 422},
		{"/models/feedback/predict", `{"inputs":3}`, "Validation", 422},
		{"/models/feedback/predict", `{"inputs":["a","b","c"]}`, "Validation", 422},
		{"/models/feedback/predict", `{"inputs":[["a",null]]}`, "Validation", 422},
		{"/models/feedback/predict", `{"inputs":""}`, "Empty", 400},
		{"/models/feedback/predict", `{"inputs":[]}`, "Empty", 400},
		{"/models/feedback/predict", `{"inputs":"` + long + `"}`, "Validation", 422},
		{"/models/feedback/predict", `{"inputs":"a","truncation_direction":"Left"}`, "Validation", 422},
		{"/models/feedback/predict", `{"inputs":[` + strings.Repeat(`["a"],`, 32) + `["a"]]}`, "Validation", 422},
		{"/models/writer/predict", `{"inputs":"a"}`, "Validation", 422},
		{"/models/vectors/embed", `{"inputs":"a","dimensions":3}`, "Validation", 422},
		{"/models/vectors/embed", `{"inputs":"a","prompt_name":"query"}`, "Validation", 422},
		{"/models/feedback/rerank", `{"query":"a","texts":["b"]}`, "Backend", 424},
		{"/models/feedback/rerank", `{"texts":["b"]}`, "Empty", 400},
		{"/models/feedback/decode", `{"ids":"a"}`, "Validation", 422},
		{"/models/feedback/decode", `{"ids":[[]]}`, "Empty", 400},
		{"/models/feedback/predict", `{"inputs":"` + strings.Repeat("a", 3_000_000) + `"}`, "Validation", 413},
	} {
		var got struct {
			Error string
			Kind  string `json:"error_type"`
		}
		if post(c.path, c.body, c.status, &got); got.Kind != c.kind || got.Error == "" {
			t.Errorf("%s %.60s: %+v, want %s", c.path, c.body, got, c.kind)
		}
	}
	post("/models/feedback/predict", `{"inputs":"`+long+`","truncate":true}`, 200, &one)
}

func FuzzRequests(f *testing.F) {
	for _, s := range []string{`{"inputs":"a","raw_scores":true,"truncate":true}`, `{"inputs":[["a","b"],["c"]]}`, `{"inputs":["a","b"]}`, `{"query":"q","texts":["a"],"return_text":true}`,
		`{"ids":[1,2]}`, `{"ids":[[1],[2]]}`, `{"inputs":[null]}`, `{"truncation_direction":"Left"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		refused := func(err error) bool {
			if err == nil {
				return false
			}
			if e := serve.AsError(err); e.Status != 400 || e.Message == "" || kinds[e.Code].status == 0 {
				t.Errorf("%#v", e)
			}
			return true
		}
		if q, err := parsePredict(data); !refused(err) && (len(q.texts) == 0 || q.single && len(q.texts) != 1) {
			t.Errorf("predict: %+v", q)
		}
		if q, err := parseRerank(data); !refused(err) && len(q.texts) == 0 {
			t.Errorf("rerank: %+v", q)
		}
		if q, err := parseEmbed(data); !refused(err) && len(q.texts) == 0 {
			t.Errorf("embed: %+v", q)
		}
		if q, err := parseTokenize(data); !refused(err) && len(q.texts) == 0 {
			t.Errorf("tokenize: %+v", q)
		}
		if q, err := parseDecode(data); !refused(err) && q == nil {
			t.Errorf("decode: %+v", q)
		}
	})
}
