package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A fetched is a package that was downloaded and unpacked.
type fetched struct {
	root, version, sha256 string
}

// fetch downloads a package with apt-get, unless the folder has it, and unpacks it.
func fetch(ctx context.Context, name, work string) (fetched, error) {
	deb, err := archive(name, work)
	if err != nil {
		return fetched{}, err
	}
	if deb == "" {
		if err := command(ctx, work, "apt-get", "download", name); err != nil {
			return fetched{}, err
		}
		if deb, err = archive(name, work); err != nil {
			return fetched{}, err
		}
		if deb == "" {
			return fetched{}, fmt.Errorf("apt-get download left no %s_*.deb in %s", name, work)
		}
	}
	sum, err := digest(deb)
	if err != nil {
		return fetched{}, err
	}
	root := filepath.Join(work, name)
	if err := os.MkdirAll(root, 0o755); err != nil {
		return fetched{}, err
	}
	if err := command(ctx, work, "dpkg-deb", "-x", deb, root); err != nil {
		return fetched{}, err
	}
	parts := strings.Split(filepath.Base(deb), "_")
	return fetched{root, strings.ReplaceAll(parts[1], "%3a", ":"), sum}, nil
}

// archive names the package's file in the folder, "" without one.
func archive(name, work string) (string, error) {
	found, err := filepath.Glob(filepath.Join(work, name+"_*_*.deb"))
	if err != nil || len(found) == 0 {
		return "", err
	}
	return found[0], nil
}

func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func command(ctx context.Context, dir, name string, arguments ...string) error {
	c := exec.CommandContext(ctx, name, arguments...)
	c.Dir = dir
	if said, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(arguments, " "), err, said)
	}
	return nil
}
