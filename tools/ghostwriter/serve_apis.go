package main

import (
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve/oip"
)

// mountAll mounts every protocol on a server.
func mountAll(s *serve.Server) error {
	return s.Mount(oip.New(s))
}
