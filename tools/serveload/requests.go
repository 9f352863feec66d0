package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
)

// A question is a request with the answer that the server gave when nobody else
// asked.
type question struct {
	body   []byte
	answer [][]float64 // by output
}

// questions is how many different requests the clients take turns with.
const questions = 48

// tolerance is how far an answer may move, relative to its output's largest
// number: batches sum in another order.
const tolerance = 1e-3

// An api asks one model of a server.
type api struct {
	o      *options
	client *http.Client
}

func (a *api) do(method, path string, body []byte) (int, []byte, error) {
	r, err := http.NewRequest(method, a.o.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if a.o.key != "" {
		r.Header.Set("X-API-Key", a.o.key)
	}
	resp, err := a.client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, data, err
}

func (a *api) inferPath() string { return "/v2/models/" + a.o.model + "/infer" }

// prepare makes the questions from the model's metadata and asks each once.
func (a *api) prepare() ([]question, error) {
	code, data, err := a.do("GET", "/v2/models/"+a.o.model, nil)
	if err != nil || code != http.StatusOK {
		return nil, fmt.Errorf("model %q: status %d, %s %v", a.o.model, code, data, err)
	}
	var meta struct {
		Inputs []struct {
			Name, Datatype string
			Shape          []int
		}
	}
	if err := json.Unmarshal(data, &meta); err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(1, 1))
	list := make([]question, questions)
	for i := range list {
		length := 4 + rng.IntN(28)
		var inputs []string
		for _, in := range meta.Inputs {
			shape, n := make([]int, len(in.Shape)), 1
			for axis, d := range in.Shape {
				if shape[axis] = d; d < 0 {
					shape[axis] = length
				}
				if axis == 0 {
					shape[axis] = 1
				}
				n *= shape[axis]
			}
			dims, _ := json.Marshal(shape) // whole numbers can be written
			inputs = append(inputs, fmt.Sprintf(`{"name":%q,"datatype":%q,"shape":%s,"data":[%s]}`, in.Name, in.Datatype, dims, a.values(rng, in.Name, in.Datatype, n)))
		}
		list[i].body = []byte(`{"inputs":[` + strings.Join(inputs, ",") + `]}`)
		code, data, err := a.do("POST", a.inferPath(), list[i].body)
		if err != nil || code != http.StatusOK {
			return nil, fmt.Errorf("question %d: status %d, %s %v", i, code, data, err)
		}
		if list[i].answer, err = outputs(data); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// values makes n elements of an input.
func (a *api) values(rng *rand.Rand, name, datatype string, n int) string {
	parts := make([]string, n)
	for k := range parts {
		switch {
		case strings.Contains(name, "mask"):
			parts[k] = "1"
		case strings.HasPrefix(datatype, "FP") || datatype == "BF16":
			parts[k] = fmt.Sprintf("%.3f", rng.Float64())
		case name == "position_ids":
			parts[k] = fmt.Sprint(k)
		case name == "token_type_ids" || datatype == "BOOL":
			parts[k] = "0"
		default:
			parts[k] = fmt.Sprint(1 + rng.IntN(a.o.vocabulary-1))
		}
	}
	return strings.Join(parts, ",")
}

// outputs reads the numbers of an answer.
func outputs(data []byte) ([][]float64, error) {
	var r struct{ Outputs []struct{ Data []float64 } }
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("an answer is not JSON: %w", err)
	}
	all := make([][]float64, len(r.Outputs))
	for i, o := range r.Outputs {
		all[i] = o.Data
	}
	return all, nil
}

// same reports that an answer is the question's own.
func (q *question) same(data []byte) bool {
	got, err := outputs(data)
	if err != nil || len(got) != len(q.answer) {
		return false
	}
	for i, want := range q.answer {
		if len(got[i]) != len(want) {
			return false
		}
		scale := 0.0
		for _, v := range want {
			scale = max(scale, math.Abs(v))
		}
		for k, v := range want {
			if math.Abs(got[i][k]-v) > tolerance*scale {
				return false
			}
		}
	}
	return true
}
