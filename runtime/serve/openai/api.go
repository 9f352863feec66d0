package openai

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

// api is what the handlers share.
type api struct {
	server *serve.Server
	begun  int64 // seconds since 1970, when the server started
}

// New makes the API of a server's models.
func New(server *serve.Server) serve.API {
	a := &api{server: server, begun: time.Now().Unix()}
	return serve.API{Name: "openai", Prefix: "/v1", Error: writeError, Routes: []serve.Route{
		{Method: "GET", Pattern: "/v1/models", Light: true, Handler: a.models},
		{Method: "GET", Pattern: "/v1/models/{model...}", Light: true, Handler: a.model},
		{Method: "POST", Pattern: "/v1/completions", Handler: a.completions},
		{Method: "POST", Pattern: "/v1/chat/completions", Handler: a.chat},
		{Method: "POST", Pattern: "/v1/embeddings", Handler: a.embeddings},
	}}
}

// errorBody is {"error": {…}}.
type errorBody struct {
	Error errorFields `json:"error"`
}

type errorFields struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

// errorTypes are the types of errors by status; other 4xx are invalid requests, other 5xx the server's.
var errorTypes = map[int]string{
	http.StatusUnauthorized:       "authentication_error",
	http.StatusForbidden:          "permission_error",
	http.StatusNotFound:           "not_found_error",
	http.StatusTooManyRequests:    "rate_limit_error",
	http.StatusServiceUnavailable: "service_unavailable_error",
}

func bodyOf(e *serve.Error) errorBody {
	kind := errorTypes[e.Status]
	switch {
	case kind != "":
	case e.Status < 500:
		kind = "invalid_request_error"
	default:
		kind = "server_error"
	}
	fields := errorFields{Message: e.Message, Type: kind}
	if e.Param != "" {
		fields.Param = &e.Param
	}
	if e.Code != "" {
		fields.Code = &e.Code
	}
	return errorBody{fields}
}

func writeError(w http.ResponseWriter, e *serve.Error) {
	data, _ := json.Marshal(bodyOf(e)) // strings only
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status)
	_, _ = w.Write(data) // the client may be gone
}
