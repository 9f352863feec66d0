package tei

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

type predictRequest struct {
	Inputs json.RawMessage `json:"inputs"`
	Raw    *bool           `json:"raw_scores"`
	truncation

	texts   []runtime.TextPair
	single  bool
	options runtime.ClassifyOptions
}

func parsePredict(data []byte) (*predictRequest, error) {
	q := &predictRequest{}
	err := serve.ParseJSON(data, q)
	if err != nil {
		return nil, err
	}
	if q.options.TextOptions, err = q.truncation.options(); err != nil {
		return nil, err
	}
	q.options.RawScores = q.Raw != nil && *q.Raw
	q.texts, q.single, err = sequences(q.Inputs)
	return q, err
}

type prediction struct {
	Score float64 `json:"score"`
	Label string  `json:"label"`
}

// predict gives every text its labels, the likeliest first.
func predict(w http.ResponseWriter, c call) error {
	data, err := c.read()
	if err != nil {
		return err
	}
	q, err := parsePredict(data)
	if err != nil {
		return err
	}
	if err := c.room(len(q.texts)); err != nil {
		return err
	}
	classes, err := c.lease.Model().Classify(c.Context(), q.texts, q.options)
	if err != nil {
		return err
	}
	out := make([][]prediction, len(classes))
	for i, class := range classes {
		out[i] = make([]prediction, len(class.Labels))
		for k, label := range class.Labels {
			out[i][k] = prediction{class.Scores[k], label}
		}
		slices.SortStableFunc(out[i], func(a, b prediction) int { return -cmp.Compare(a.Score, b.Score) })
	}
	if q.single {
		return serve.WriteJSON(w, http.StatusOK, out[0])
	}
	return serve.WriteJSON(w, http.StatusOK, out)
}

type rerankRequest struct {
	Query  string          `json:"query"`
	Texts  json.RawMessage `json:"texts"`
	Raw    *bool           `json:"raw_scores"`
	Return *bool           `json:"return_text"`
	truncation

	texts   []string
	options runtime.ClassifyOptions
}

func parseRerank(data []byte) (*rerankRequest, error) {
	q := &rerankRequest{}
	err := serve.ParseJSON(data, q)
	if err != nil {
		return nil, err
	}
	if q.Query == "" {
		return nil, empty("query")
	}
	if q.options.TextOptions, err = q.truncation.options(); err != nil {
		return nil, err
	}
	q.options.RawScores = q.Raw != nil && *q.Raw
	if first(q.Texts) != '[' {
		return nil, serve.BadRequest("texts", "texts must be a list of texts")
	}
	q.texts, err = texts(q.Texts)
	return q, err
}

type ranked struct {
	Index int     `json:"index"`
	Score float64 `json:"score"`
	Text  *string `json:"text,omitempty"`
}

// rerank orders texts by how well they fit a query: the score of a model with one label for the pair.
func rerank(w http.ResponseWriter, c call) error {
	data, err := c.read()
	if err != nil {
		return err
	}
	q, err := parseRerank(data)
	if err != nil {
		return err
	}
	if err := c.room(len(q.texts)); err != nil {
		return err
	}
	pairs := make([]runtime.TextPair, len(q.texts))
	for i, t := range q.texts {
		pairs[i] = runtime.TextPair{Text: q.Query, Pair: t}
	}
	classes, err := c.lease.Model().Classify(c.Context(), pairs, q.options)
	if err != nil {
		return err
	}
	out := make([]ranked, len(classes))
	for i, class := range classes {
		if len(class.Scores) != 1 {
			return serve.Errorf(http.StatusFailedDependency, serve.CodeFailed, "model %s has %d labels; a re-ranker has one", c.lease.Name(), len(class.Scores))
		}
		out[i] = ranked{Index: i, Score: class.Scores[0]}
		if q.Return != nil && *q.Return {
			out[i].Text = &q.texts[i]
		}
	}
	slices.SortStableFunc(out, func(a, b ranked) int { return -cmp.Compare(a.Score, b.Score) })
	return serve.WriteJSON(w, http.StatusOK, out)
}
