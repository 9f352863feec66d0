package tei

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

type api struct{ server *serve.Server }

// New makes the API of a server's models.
func New(server *serve.Server) serve.API {
	a := api{server}
	routes := []serve.Route{{Method: "GET", Pattern: "/health", Public: true, Light: true, Handler: a.health}}
	for _, r := range []serve.Route{
		{Method: "GET", Pattern: "/info", Light: true, Handler: a.with(info)},
		{Method: "POST", Pattern: "/predict", Handler: a.with(predict)},
		{Method: "POST", Pattern: "/rerank", Handler: a.with(rerank)},
		{Method: "POST", Pattern: "/embed", Handler: a.with(embed)},
		{Method: "POST", Pattern: "/tokenize", Handler: a.with(tokenizeTexts)},
		{Method: "POST", Pattern: "/decode", Handler: a.with(decodeIDs)},
	} {
		routes = append(routes, r)
		r.Pattern = "/models/{model}" + r.Pattern
		routes = append(routes, r)
	}
	return serve.API{Name: "tei", Prefix: "/models", Error: writeError, Routes: routes}
}

func (a api) health(w http.ResponseWriter, _ *http.Request) error {
	if !a.server.Ready() {
		return serve.Errorf(http.StatusServiceUnavailable, serve.CodeModelNotReady, "no model is ready")
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// A call is a request with its model.
type call struct {
	*http.Request
	lease  *serve.Lease
	limits serve.Limits
}

// with takes the model of a request for a handler.
func (a api) with(handler func(w http.ResponseWriter, c call) error) serve.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		name, err := a.choose(r)
		if err != nil {
			return err
		}
		lease, err := a.server.Repository().Acquire(name, r.URL.Query().Get("version"))
		if err != nil {
			return err
		}
		defer lease.Release()
		i := serve.InfoOf(r.Context())
		i.Model, i.Version = lease.Name(), lease.Version()
		return handler(w, call{r, lease, a.server.Limits()})
	}
}

// choose is the model that a request means.
func (a api) choose(r *http.Request) (string, error) {
	if name := r.PathValue("model"); name != "" {
		return name, nil
	}
	if name := r.URL.Query().Get("model"); name != "" {
		return name, nil
	}
	var ready []string
	for _, v := range a.server.Repository().Index() {
		if v.State == serve.StateReady && (len(ready) == 0 || ready[len(ready)-1] != v.Name) {
			ready = append(ready, v.Name)
		}
	}
	switch len(ready) {
	case 0:
		return "", serve.Errorf(http.StatusServiceUnavailable, serve.CodeModelNotReady, "no model is ready")
	case 1:
		return ready[0], nil
	}
	return "", serve.BadRequest("model", "several models are served (%s): ask /models/NAME%s, or add ?model=NAME", strings.Join(ready, ", "), r.URL.Path)
}

// kinds are TEI's types of errors and their statuses by the server's codes.
var kinds = map[string]struct {
	status int
	kind   string
}{
	serve.CodeInvalid:       {http.StatusUnprocessableEntity, "Validation"},
	serve.CodeUnsupported:   {http.StatusUnprocessableEntity, "Validation"},
	codeEmpty:               {http.StatusBadRequest, "Empty"},
	codeTokenizer:           {http.StatusUnprocessableEntity, "Tokenizer"},
	serve.CodeFailed:        {http.StatusFailedDependency, "Backend"},
	serve.CodeOverloaded:    {http.StatusTooManyRequests, "Overloaded"},
	serve.CodeModelNotReady: {http.StatusServiceUnavailable, "Unhealthy"},
	serve.CodeDraining:      {http.StatusServiceUnavailable, "Unhealthy"},
}

const (
	codeEmpty     = "empty"
	codeTokenizer = "tokenizer"
)

// writeError writes {"error": …, "error_type": …}.
func writeError(w http.ResponseWriter, e *serve.Error) {
	k, ok := kinds[e.Code]
	if !ok {
		k.status, k.kind = e.Status, "Validation"
		if e.Status >= 500 {
			k.kind = "Backend"
		}
	}
	data, _ := json.Marshal(map[string]string{"error": e.Message, "error_type": k.kind}) // strings only
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(k.status)
	_, _ = w.Write(data) // the client may be gone
}
