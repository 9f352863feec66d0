//go:build !unix

package main

import (
	"os"
	"syscall"
)

// stopSignals end a command in an orderly way.
func stopSignals() []os.Signal { return []os.Signal{os.Interrupt, syscall.SIGTERM} }
