package serve

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A fingerprint tells whether a model directory's files are those that were
// loaded, by names, sizes, times and what links point to; contents are not read.
type fingerprint [sha256.Size]byte

// The folders of a model directory that matter to serving.
var fingerprinted = []string{".", "onnx", "release"}

// fingerprintOf looks at a model directory.
func fingerprintOf(dir string) (fingerprint, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fingerprint{}, err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", real)
	for _, sub := range fingerprinted {
		entries, err := os.ReadDir(filepath.Join(real, sub))
		if err != nil {
			if sub != "." {
				continue
			}
			return fingerprint{}, err
		}
		for _, e := range entries {
			if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
				continue
			}
			path := filepath.Join(real, sub, e.Name())
			target, _ := filepath.EvalSymlinks(path)
			if info, err := os.Stat(path); err == nil {
				fmt.Fprintf(h, "%q %q %d %d\n", path, target, info.Size(), info.ModTime().UnixNano())
			} else {
				fmt.Fprintf(h, "%q can't be read\n", path)
			}
		}
	}
	return fingerprint(h.Sum(nil)), nil
}
