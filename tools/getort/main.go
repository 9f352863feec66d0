// Command getort fetches the onnxruntime shared library that Ghostwriter runs on, through npm or pip, checks it against
// pinned SHA-256 sums and keeps it in the user's cache, where the ghostwriter command finds it.
//
//	go run ./tools/getort [-cuda] [-version 1.30.0] [-dest DIR]
//
// It prints the library's path on standard output and everything else on standard error. A library that is already
// there and has the right sum is not fetched again, so the command works offline after its first run. Where the
// environment variable GHOSTWRITER_ORT_LIB names a library, that one is used and nothing is fetched.
//
// With -cuda it is the build for NVIDIA GPUs, with the CUDA provider beside it, in a folder of its own; the command takes
// it for --device cuda. CUDA and cuDNN are not part of it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort/pinned"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the command: 0 the library is there, 1 it could not be had, 2 wrong usage.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("getort", flag.ContinueOnError)
	flags.SetOutput(stderr)
	version := flags.String("version", pinned.Version, "release of onnxruntime; sums are pinned for this one only")
	cuda := flags.Bool("cuda", false, "fetch the build for NVIDIA GPUs, with its CUDA provider")
	dest := flags.String("dest", "", "folder to keep the library in (default: the user's cache)")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "getort: unexpected argument %q\n", flags.Arg(0))
		return 2
	case *version != pinned.Version:
		fmt.Fprintf(stderr, "getort: no sums are pinned for onnxruntime %s, only for %s: fetch it yourself and set %s\n", *version, pinned.Version, pinned.LibraryEnv)
		return 2
	}
	path, err := library(ctx, *dest, *cuda, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "getort:", err)
		return 1
	}
	fmt.Fprintln(stdout, path)
	return 0
}

// library returns the path of a usable library: the one the user named, or the cached one, fetched if need be.
func library(ctx context.Context, dest string, cuda bool, log io.Writer) (string, error) {
	if named := os.Getenv(pinned.LibraryEnv); named != "" && dest == "" && !cuda {
		if _, err := os.Stat(named); err != nil {
			return "", fmt.Errorf("%s: %w: correct it, or unset it to fetch onnxruntime %s", pinned.LibraryEnv, err, pinned.Version)
		}
		fmt.Fprintf(log, "getort: using %s=%s, nothing is fetched\n", pinned.LibraryEnv, named)
		return named, nil
	}
	if dest == "" {
		dir, err := cacheDir(cuda)
		if err != nil {
			return "", fmt.Errorf("%w: set HOME or XDG_CACHE_HOME, or give -dest", err)
		}
		dest = dir
	}
	dest, err := filepath.Abs(dest)
	if err != nil {
		return "", err
	}
	f := fetcher{dest: dest, platform: pinned.Platform(), packages: pinned.Packages(pinned.Platform()), log: log}
	if cuda {
		f.packages = pinned.CUDAPackages(pinned.Platform())
	}
	return f.fetch(ctx)
}

func cacheDir(cuda bool) (string, error) {
	if cuda {
		return pinned.CUDACacheDir()
	}
	return pinned.CacheDir()
}
