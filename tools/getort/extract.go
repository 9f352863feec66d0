package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort/pinned"
)

// extract writes the one member of the archive that is the library to the file at to, which must not exist, and checks
// its size and sum. Nothing else of the archive is written, whatever names it holds.
func extract(archive string, p pinned.Package, to string) error {
	open := fromZip
	if filepath.Ext(archive) == ".tgz" {
		open = fromTar
	}
	return open(archive, p.Member, func(member io.Reader) error { return install(member, p, to) })
}

// most is how many bytes of an unpacked archive are looked at: twice what the largest pinned one holds.
const most = 1 << 30

// errNoMember is the error for an archive without the library.
var errNoMember = errors.New("it holds no library")

func fromTar(archive, member string, use func(io.Reader) error) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	r := tar.NewReader(io.LimitReader(unpacked, most))
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w %s", errNoMember, member)
		}
		if err != nil {
			return err
		}
		if header.Name == member && header.Typeflag == tar.TypeReg {
			return use(r)
		}
	}
}

func fromZip(archive, member string, use func(io.Reader) error) error {
	r, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer r.Close()
	for _, file := range r.File {
		if file.Name != member || !file.Mode().IsRegular() {
			continue
		}
		opened, err := file.Open()
		if err != nil {
			return err
		}
		defer opened.Close()
		return use(opened)
	}
	return fmt.Errorf("%w %s", errNoMember, member)
}

// install writes a library of exactly the pinned size and sum, synced to the disk.
func install(member io.Reader, p pinned.Package, to string) error {
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(member, p.LibrarySize+1))
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); n != p.LibrarySize || got != p.LibrarySHA256 {
		return fmt.Errorf("%s has %d bytes and SHA-256 %s, pinned are %d and %s: it is not used", p.Member, n, got, p.LibrarySize, p.LibrarySHA256)
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// fileSum is the SHA-256 of a file, lower-case hexadecimal.
func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// syncDir makes the names of a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
