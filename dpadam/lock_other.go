//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package dpadam

import (
	"fmt"
	"os"
	"runtime"
)

// lockFile refuses: without a lock that ends with the process two processes could charge one
// ledger.
func lockFile(_ *os.File, path string) error {
	return fmt.Errorf("%w: cannot lock %s: no advisory file locks on %s", ErrLedger, path, runtime.GOOS)
}
