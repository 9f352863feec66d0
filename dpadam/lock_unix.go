//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package dpadam

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lockFile takes the exclusive lock of an open file without waiting. The operating system
// releases it when the file is closed or the process ends, however it ends. path is for the
// message.
func lockFile(f *os.File, path string) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return fmt.Errorf("%w: another process holds the lock on %s; wait for it or stop it", ErrLocked, path)
	case err != nil:
		return fmt.Errorf("%w: cannot lock %s: %w", ErrLedger, path, err)
	}
	return nil
}
