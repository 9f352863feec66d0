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
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort/pinned"
)

// extract writes the members of the archive that are pinned, the library itself to path and last, if their sizes and sums
// are right. Nothing else of the archive is written, whatever names it holds.
func extract(archive string, p pinned.Package, path string) error {
	open := fromZip
	if filepath.Ext(archive) == ".tgz" {
		open = fromTar
	}
	library := pinned.File{Member: p.Member, Name: filepath.Base(path), SHA256: p.LibrarySHA256, Size: p.LibrarySize}
	for _, f := range append(slices.Clone(p.Beside), library) {
		to := filepath.Join(filepath.Dir(path), f.Name)
		if err := open(archive, f.Member, func(member io.Reader) error { return install(member, f, to) }); err != nil {
			return err
		}
	}
	return nil
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

// install writes a file of exactly the pinned size and sum, synced to the disk; anything else leaves path as it was.
func install(member io.Reader, f pinned.File, path string) error {
	return durable.WriteFile(path, 0o644, func(w io.Writer) error {
		sum := sha256.New()
		n, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(member, f.Size+1))
		if err != nil {
			return err
		}
		if got := hex.EncodeToString(sum.Sum(nil)); n != f.Size || got != f.SHA256 {
			return fmt.Errorf("%s has %d bytes and SHA-256 %s, pinned are %d and %s: it is not used", f.Member, n, got, f.Size, f.SHA256)
		}
		return nil
	})
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
