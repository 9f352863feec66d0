package oip

import (
	"encoding/json"
	"net/http"

	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

// index answers POST /v2/repository/index: every version that is known, or with
// {"ready": true} those that are ready.
func (h rest) index(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		Ready bool `json:"ready"`
	}
	if err := optionalJSON(r, &q); err != nil {
		return err
	}
	type line struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		State   string `json:"state"`
		Reason  string `json:"reason"`
	}
	list := []line{}
	for _, v := range h.server.Repository().Index() {
		if !q.Ready || v.State == serve.StateReady {
			list = append(list, line{v.Name, v.Version, string(v.State), v.Reason})
		}
	}
	return serve.WriteJSON(w, http.StatusOK, list)
}

// optionalJSON reads a body that need not be there.
func optionalJSON(r *http.Request, v any) error {
	data, err := serve.ReadBody(r)
	if err != nil || len(data) == 0 {
		return err
	}
	return serve.ParseJSON(data, v)
}

// A controlRequest is the body of load and unload.
type controlRequest struct {
	Parameters map[string]json.RawMessage `json:"parameters"`
}

// check refuses what would change a model's files or configuration by request;
// unload_dependents has nothing to do here.
func (c *controlRequest) check() error {
	for name := range c.Parameters {
		if name != "unload_dependents" {
			return serve.BadRequest("parameters", "parameter %.60q is not served: a model is loaded from its folder, as it lies there", name)
		}
	}
	return nil
}

func (h rest) load(w http.ResponseWriter, r *http.Request) error {
	return h.control(w, r, func(name string) error { return h.server.Repository().Load(r.Context(), name) })
}

func (h rest) unload(w http.ResponseWriter, r *http.Request) error {
	return h.control(w, r, h.server.Repository().Unload)
}

// control answers load and unload. KServe's clients read the name and the flag,
// Triton's nothing.
func (h rest) control(w http.ResponseWriter, r *http.Request, act func(name string) error) error {
	var q controlRequest
	if err := optionalJSON(r, &q); err != nil {
		return err
	}
	if err := q.check(); err != nil {
		return err
	}
	name := r.PathValue("model")
	if err := act(name); err != nil {
		return err
	}
	return serve.WriteJSON(w, http.StatusOK, map[string]any{"name": name})
}
