package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort/pinned"
)

// fetcher gets one library into one folder.
type fetcher struct {
	dest     string           // folder, absolute
	platform string           // as "linux/amd64"
	packages []pinned.Package // where it can be had, in the order to try
	log      io.Writer        // progress and warnings
}

// fetch returns the path of the library in the folder. Its sum is checked every time; it is fetched if it is not there
// or damaged. Several processes may fetch at once: each works in a folder of its own and the last rename wins, with the
// same content.
func (f fetcher) fetch(ctx context.Context) (string, error) {
	if len(f.packages) == 0 {
		return "", fmt.Errorf("onnxruntime %s has no package with a library for %s: build or install one of version 1.%d or newer and set %s to it",
			pinned.Version, f.platform, pinned.HeaderAPIVersion, pinned.LibraryEnv)
	}
	path := filepath.Join(f.dest, pinned.LibraryName(runtime.GOOS))
	good, err := f.cached(path)
	if good || err != nil {
		return path, err
	}
	if err := os.MkdirAll(f.dest, 0o755); err != nil {
		return "", fmt.Errorf("can't make the folder for the library: %w", err)
	}
	f.sweep()
	var failures []string
	for _, p := range f.packages {
		err := f.fetchPackage(ctx, p, path)
		if err == nil {
			fmt.Fprintf(f.log, "getort: %s is in %s\n", p.Spec, path)
			return path, nil
		}
		if ctx.Err() != nil {
			return "", fmt.Errorf("fetching onnxruntime was stopped: %w", ctx.Err())
		}
		fmt.Fprintf(f.log, "getort: %s: %v\n", p.Client, err)
		failures = append(failures, fmt.Sprintf("%s: %v", p.Client, err))
	}
	return "", fmt.Errorf("could not get onnxruntime %s (%s): install npm (with Node.js) or pip (with Python 3) with access to their registry, "+
		"or put a libonnxruntime of version 1.%d or newer on this machine and set %s to it",
		pinned.Version, strings.Join(failures, "; "), pinned.HeaderAPIVersion, pinned.LibraryEnv)
}

// cached reports whether the file at path is a library whose sum is one of the packages'.
func (f fetcher) cached(path string) (bool, error) {
	sum, err := fileSum(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("can't read the cached library: %w", err)
	}
	for _, p := range f.packages {
		if p.LibrarySHA256 == sum {
			return f.complete(p)
		}
	}
	fmt.Fprintf(f.log, "getort: %s is damaged or not ours (SHA-256 %s): fetching it again\n", path, sum)
	return false, nil
}

// complete reports whether what belongs beside a package's library is there and whole.
func (f fetcher) complete(p pinned.Package) (bool, error) {
	for _, file := range p.Beside {
		sum, err := fileSum(filepath.Join(f.dest, file.Name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, fmt.Errorf("can't read the cached library: %w", err)
		}
		if err != nil || sum != file.SHA256 {
			fmt.Fprintf(f.log, "getort: %s is missing or damaged: fetching it again\n", filepath.Join(f.dest, file.Name))
			return false, nil
		}
	}
	return true, nil
}

// workPrefix begins the names of the folders in which packages are fetched.
const workPrefix = ".fetch-"

// fetchPackage gets one package with its client and installs the library from it.
func (f fetcher) fetchPackage(ctx context.Context, p pinned.Package, path string) error {
	work, err := os.MkdirTemp(f.dest, workPrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	archive, err := download(ctx, p, work, f.log)
	if err != nil {
		return err
	}
	sum, err := fileSum(archive)
	if err != nil {
		return err
	}
	if sum != p.ArchiveSHA256 {
		return fmt.Errorf("%s has SHA-256 %s, not the pinned %s: it is not what was published, so it is not used", filepath.Base(archive), sum, p.ArchiveSHA256)
	}
	if err := extract(archive, p, path); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(archive), err)
	}
	return nil
}

// sweep removes what fetches that were killed left behind, once it is a day old.
func (f fetcher) sweep() {
	for _, pattern := range []string{workPrefix + "*", ".*.tmp-*"} { // our folders, durable.WriteFile's files
		left, err := filepath.Glob(filepath.Join(f.dest, pattern))
		if err != nil {
			return
		}
		for _, path := range left {
			if st, err := os.Stat(path); err == nil && time.Since(st.ModTime()) > 24*time.Hour {
				os.RemoveAll(path)
			}
		}
	}
}
