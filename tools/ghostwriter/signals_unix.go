//go:build unix

package main

import (
	"os"
	"syscall"

	"github.com/ghostwriter-dp/ghostwriter/runtime/mpi"
)

// stopSignals end a command in an orderly way. mpirun answers SIGTERM by killing soon after, but passes SIGUSR1 on to the
// processes it started and waits.
func stopSignals() []os.Signal {
	list := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if _, variable := mpi.Launched(); variable != "" {
		list = append(list, syscall.SIGUSR1)
	}
	return list
}
