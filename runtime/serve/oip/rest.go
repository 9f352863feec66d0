package oip

import (
	"encoding/json"
	"net/http"

	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

// extensions that the server's metadata names.
var extensions = []string{"binary_tensor_data", "model_configuration", "model_repository", "statistics"}

// A rest answers the protocol's REST form.
type rest struct{ server *serve.Server }

// New returns the REST form of the protocol, to be mounted on the server.
func New(s *serve.Server) serve.API {
	h := rest{s}
	return serve.API{Name: "oip", Prefix: "/v2", Error: writeError, Routes: []serve.Route{
		{Method: "GET", Pattern: "/v2", Handler: h.metadata, Light: true},
		{Method: "GET", Pattern: "/v2/health/live", Handler: h.live, Public: true, Light: true},
		{Method: "GET", Pattern: "/v2/health/ready", Handler: h.ready, Public: true, Light: true},
		{Method: "GET", Pattern: "/v2/models", Handler: h.models, Light: true},
		{Method: "GET", Pattern: "/v2/models/stats", Handler: h.stats, Light: true},
		{Method: "GET", Pattern: "/v2/models/{model}", Handler: h.model, Light: true},
		{Method: "GET", Pattern: "/v2/models/{model}/versions/{version}", Handler: h.model, Light: true},
		{Method: "GET", Pattern: "/v2/models/{model}/ready", Handler: h.modelReady, Light: true},
		{Method: "GET", Pattern: "/v2/models/{model}/versions/{version}/ready", Handler: h.modelReady, Light: true},
		{Method: "GET", Pattern: "/v2/models/{model}/config", Handler: h.config, Light: true},
		{Method: "GET", Pattern: "/v2/models/{model}/versions/{version}/config", Handler: h.config, Light: true},
		{Method: "GET", Pattern: "/v2/models/{model}/stats", Handler: h.stats, Light: true},
		{Method: "GET", Pattern: "/v2/models/{model}/versions/{version}/stats", Handler: h.stats, Light: true},
		{Method: "POST", Pattern: "/v2/models/{model}/infer", Handler: h.infer},
		{Method: "POST", Pattern: "/v2/models/{model}/versions/{version}/infer", Handler: h.infer},
		{Method: "POST", Pattern: "/v2/repository/index", Handler: h.index},
		{Method: "POST", Pattern: "/v2/repository/models/{model}/load", Handler: h.load},
		{Method: "POST", Pattern: "/v2/repository/models/{model}/unload", Handler: h.unload},
	}}
}

// writeError writes {"error": message}, the protocol's form.
func writeError(w http.ResponseWriter, e *serve.Error) {
	data, _ := json.Marshal(map[string]string{"error": e.Message}) // a string can be written
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status)
	_, _ = w.Write(data)
}

func (h rest) metadata(w http.ResponseWriter, _ *http.Request) error {
	return serve.WriteJSON(w, http.StatusOK, map[string]any{"name": serve.ServerName, "version": h.server.Version(), "extensions": extensions})
}

func (h rest) live(w http.ResponseWriter, _ *http.Request) error {
	return serve.WriteJSON(w, http.StatusOK, map[string]bool{"live": true})
}

func (h rest) ready(w http.ResponseWriter, _ *http.Request) error {
	ready := h.server.Ready()
	return serve.WriteJSON(w, readyStatus(ready), map[string]bool{"ready": ready, "live": true})
}

func readyStatus(ready bool) int {
	if ready {
		return http.StatusOK
	}
	return http.StatusServiceUnavailable
}

// models lists the names of models that are ready.
func (h rest) models(w http.ResponseWriter, _ *http.Request) error {
	list := []string{}
	for _, v := range h.server.Repository().Index() {
		if v.State == serve.StateReady && (len(list) == 0 || list[len(list)-1] != v.Name) {
			list = append(list, v.Name)
		}
	}
	return serve.WriteJSON(w, http.StatusOK, map[string]any{"models": list})
}

// modelReady answers {"name":…,"ready":…}, 503 where the model is known and not
// ready.
func (h rest) modelReady(w http.ResponseWriter, r *http.Request) error {
	ready, err := modelReady(h.server, r.PathValue("model"), r.PathValue("version"))
	if err != nil {
		return err
	}
	return serve.WriteJSON(w, readyStatus(ready), map[string]any{"name": r.PathValue("model"), "ready": ready})
}

// modelReady reports whether a model is ready; an error where there is none.
func modelReady(s *serve.Server, model, version string) (bool, error) {
	l, err := s.Repository().Acquire(model, version)
	if err == nil {
		l.Release()
		return !s.Draining(), nil
	}
	if e := serve.AsError(err); e.Code != serve.CodeModelNotReady {
		return false, err
	}
	return false, nil
}
