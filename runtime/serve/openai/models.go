package openai

import (
	"net/http"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

type modelObject struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

func (a *api) object(id string) modelObject {
	return modelObject{id, "model", a.begun, serve.ServerName}
}

// models lists NAME for every model that is ready, and NAME:VERSION for every version of those that have several.
func (a *api) models(w http.ResponseWriter, _ *http.Request) error {
	list := struct {
		Object string        `json:"object"`
		Data   []modelObject `json:"data"`
	}{"list", []modelObject{}}
	ready := map[string][]string{}
	var names []string
	for _, v := range a.server.Repository().Index() {
		if v.State != serve.StateReady {
			continue
		}
		if ready[v.Name] == nil {
			names = append(names, v.Name)
		}
		ready[v.Name] = append(ready[v.Name], v.Version)
	}
	for _, name := range names {
		list.Data = append(list.Data, a.object(name))
		if versions := ready[name]; len(versions) > 1 {
			for _, v := range versions {
				list.Data = append(list.Data, a.object(name+":"+v))
			}
		}
	}
	return serve.WriteJSON(w, http.StatusOK, list)
}

func (a *api) model(w http.ResponseWriter, r *http.Request) error {
	lease, err := a.acquire(r, r.PathValue("model"))
	if err != nil {
		return err
	}
	defer lease.Release()
	return serve.WriteJSON(w, http.StatusOK, a.object(r.PathValue("model")))
}

// acquire takes a model by its id: NAME, its highest version that is ready, or NAME:VERSION.
func (a *api) acquire(r *http.Request, id string) (*serve.Lease, error) {
	if id == "" {
		return nil, serve.BadRequest("model", "model is missing: name one of those that GET /v1/models lists")
	}
	lease, err := a.server.Repository().Acquire(id, "")
	if e := serve.AsError(err); e != nil && e.Status == http.StatusNotFound {
		if i := strings.LastIndexByte(id, ':'); i > 0 {
			lease, err = a.server.Repository().Acquire(id[:i], id[i+1:])
		}
	}
	if err != nil {
		e := *serve.AsError(err)
		if e.Param = "model"; e.Status == http.StatusNotFound {
			e.Message = "the model " + quoted(id) + " does not exist; GET /v1/models lists those that do"
		}
		return nil, &e
	}
	info := serve.InfoOf(r.Context())
	info.Model, info.Version = lease.Name(), lease.Version()
	return lease, nil
}
