// Package page serves a small page at / to try the models by hand and to read their privacy statements. It is three files
// of its own: nothing comes from elsewhere, and its policy forbids the browser to load or to send anything anywhere else.
// It asks the other protocols' routes what it shows; an API key that it is given stays in the page's memory.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

//go:embed files
var files embed.FS

// policy lets the page run its own script and style and ask its own server, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// New makes the page's routes. They are public: the page itself holds nothing, and asks for a key where the server wants one.
func New(*serve.Server) serve.API {
	routes := []serve.Route{}
	for _, f := range []struct{ pattern, name, kind string }{
		{"/{$}", "index.html", "text/html; charset=utf-8"}, {"/page/app.js", "app.js", "text/javascript; charset=utf-8"},
		{"/page/style.css", "style.css", "text/css; charset=utf-8"}, {"/page/icon.svg", "icon.svg", "image/svg+xml"},
	} {
		routes = append(routes, serve.Route{Method: "GET", Pattern: f.pattern, Public: true, Light: true, Handler: file(f.name, f.kind)})
	}
	return serve.API{Name: "page", Prefix: "/page", Error: plain, Routes: routes}
}

func plain(w http.ResponseWriter, e *serve.Error) { http.Error(w, e.Message, e.Status) }

func file(name, kind string) serve.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		data, err := files.ReadFile("files/" + name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		return nil
	}
}
