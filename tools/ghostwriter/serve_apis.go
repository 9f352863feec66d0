package main

import (
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve/oip"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve/openai"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve/page"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve/tei"
)

// mountAll mounts every protocol on a server.
func mountAll(s *serve.Server) error {
	return s.Mount(oip.New(s), openai.New(s), tei.New(s), page.New(s))
}
