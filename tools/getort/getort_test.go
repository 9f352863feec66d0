package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort/pinned"
)

// world is a machine of its own: fake package clients on the path, archives they serve, and a cache.
type world struct {
	t        *testing.T
	bin      string // the only folder on the path
	dest     string
	log      bytes.Buffer
	packages []pinned.Package
}

const (
	npmMember = "package/lib/libonnxruntime.so.1"
	pipMember = "onnxruntime/capi/libonnxruntime.so"
)

// newWorld makes archives with a library of each client and pins their sums.
func newWorld(t *testing.T) *world {
	w := &world{t: t, bin: t.TempDir(), dest: filepath.Join(t.TempDir(), "cache", "ort")}
	t.Setenv("PATH", w.bin)
	t.Setenv(pinned.LibraryEnv, "")
	npm, pip := []byte("library of npm"), []byte("the library of pip")
	w.pin("npm", tgz(t, entry{"package/evil", npm}, entry{npmMember, npm}), npmMember, npm)
	w.pin("pip", wheel(t, entry{"../evil", pip}, entry{pipMember, pip}), pipMember, pip)
	return w
}

// archive is where the fake client finds what it serves.
func (w *world) archive(client string) string {
	return filepath.Join(w.bin, map[string]string{"npm": "served.tgz", "pip": "served.whl"}[client])
}

func (w *world) pin(client string, archive []byte, member string, library []byte) {
	w.write(w.archive(client), archive)
	w.packages = append(w.packages, pinned.Package{Client: client, Spec: client + "-spec", Member: member,
		ArchiveSHA256: sum(archive), LibrarySHA256: sum(library), LibrarySize: int64(len(library))})
}

// install puts a fake client on the path: a shell script that counts its calls and serves its archive.
func (w *world) install(name, client string) {
	w.script(name, "cp "+w.archive(client)+" .")
}

func (w *world) script(name, body string) {
	text := fmt.Sprintf("#!/bin/sh\nPATH=/usr/bin:/bin\necho \"$@\" >> %s\n%s\n", w.calls(name), body)
	w.write(filepath.Join(w.bin, name), []byte(text))
	if err := os.Chmod(filepath.Join(w.bin, name), 0o755); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) calls(name string) string { return filepath.Join(w.bin, name+".calls") }

// called is how often a fake client ran.
func (w *world) called(name string) int {
	text, err := os.ReadFile(w.calls(name))
	if err != nil {
		return 0
	}
	return strings.Count(string(text), "\n")
}

func (w *world) write(path string, content []byte) {
	w.t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) fetcher() fetcher {
	return fetcher{dest: w.dest, platform: pinned.Platform(), packages: w.packages, log: &w.log}
}

// wants fetches and checks what came of it: the library's content, and nothing else in the cache.
func (w *world) wants(content string) {
	w.t.Helper()
	path, err := w.fetcher().fetch(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	if want := filepath.Join(w.dest, pinned.LibraryName(runtime.GOOS)); path != want {
		w.t.Errorf("path %s, want %s", path, want)
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != content {
		w.t.Errorf("the library is %q, %v, want %q", got, err, content)
	}
	w.wantsFiles(1)
}

func (w *world) wantsFiles(n int) {
	w.t.Helper()
	files, err := os.ReadDir(w.dest)
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	if len(files) != n {
		w.t.Errorf("the cache holds %v, want %d files", files, n)
	}
}

// fails fetches and checks that the error says each part, on one line, and leaves nothing.
func (w *world) fails(parts ...string) {
	w.t.Helper()
	_, err := w.fetcher().fetch(w.t.Context())
	if err == nil {
		w.t.Fatal("no error")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			w.t.Errorf("%q lacks %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		w.t.Errorf("%q has several lines", err)
	}
	w.wantsFiles(0)
}

func TestFetchFromNPM(t *testing.T) {
	w := newWorld(t)
	w.install("npm", "npm")
	w.install("pip3", "pip")
	w.wants("library of npm")
	w.wants("library of npm") // from the cache
	if w.called("npm") != 1 || w.called("pip3") != 0 {
		t.Errorf("npm ran %d times, pip %d", w.called("npm"), w.called("pip3"))
	}
	args, err := os.ReadFile(w.calls("npm"))
	if want := "pack npm-spec --ignore-scripts --loglevel=error\n"; err != nil || string(args) != want {
		t.Errorf("npm was called with %q, %v, want %q", args, err, want)
	}
}

func TestFetchFromPip(t *testing.T) {
	for _, name := range []string{"pip", "pip3"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.packages[1].Args = []string{"--platform", "any"}
			w.install(name, "pip")
			w.wants("the library of pip")
			args, err := os.ReadFile(w.calls(name))
			if want := "download pip-spec --dest . --quiet --no-input --disable-pip-version-check --platform any\n"; err != nil || string(args) != want {
				t.Errorf("called with %q, %v, want %q", args, err, want)
			}
		})
	}
	t.Run("python3 -m pip", func(t *testing.T) {
		w := newWorld(t)
		w.script("pip3", "echo broken >&2; exit 1")
		w.script("python3", `test "$1 $2" = "-m pip" && cp `+w.archive("pip")+" .")
		w.wants("the library of pip")
	})
}

// A package with files beside the library: all are kept, under their names, and a cache that lacks one or holds a damaged
// one is not taken for whole.
func TestFetchBeside(t *testing.T) {
	w := newWorld(t)
	library, provider := []byte("library"), []byte("a provider of it")
	archive := wheel(t, entry{"capi/libonnxruntime.so.1", library}, entry{"capi/provider.so", provider}, entry{"capi/more.so", provider})
	w.packages = nil
	w.pin("pip", archive, "capi/libonnxruntime.so.1", library)
	w.packages[0].Beside = []pinned.File{{Member: "capi/provider.so", Name: "provider.so", SHA256: sum(provider), Size: int64(len(provider))}}
	w.install("pip", "pip")
	path := filepath.Join(w.dest, "provider.so")
	for calls, change := range []func(){
		func() {}, func() {}, // fetched, and then there
		func() { os.Remove(path) },
		func() { w.write(path, []byte("a provider 0f it")) },
	} {
		change()
		if _, err := w.fetcher().fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != string(provider) {
			t.Errorf("the provider is %q, %v", got, err)
		}
		w.wantsFiles(2)
		if want := max(1, calls); w.called("pip") != want {
			t.Errorf("pip was called %d times, want %d", w.called("pip"), want)
		}
	}
	w.packages[0].Beside[0].SHA256 = sum(library)
	if _, err := w.fetcher().fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "it is not used") {
		t.Errorf("a provider of another sum: %v", err)
	}
}

func TestFetchNPMFails(t *testing.T) {
	w := newWorld(t)
	w.script("npm", "echo first; echo npm error network down >&2; echo npm error A complete log of this run is in X; touch half.tgz; exit 1")
	w.install("pip3", "pip")
	w.wants("the library of pip")
	if log := w.log.String(); !strings.Contains(log, "npm failed: exit status 1: npm error network down\n") || !strings.Contains(log, "first\n") {
		t.Errorf("the log is %q", log)
	}
	w.install("npm", "npm") // a library of the other client is as good
	w.wants("the library of pip")
	if w.called("npm") != 1 {
		t.Errorf("npm ran %d times, want 1", w.called("npm"))
	}
}

func TestFetchNobodyHasIt(t *testing.T) {
	w := newWorld(t)
	w.fails("npm is not installed", "pip is not installed", "install npm (with Node.js) or pip (with Python 3)", pinned.LibraryEnv, pinned.Version)
	w.script("npm", "echo no network >&2; exit 7")
	w.script("pip", ":") // succeeds and writes nothing
	w.fails("npm failed: exit status 7: no network", "pip failed: it wrote 0 files *.whl, want 1")
}

func TestFetchWrongSum(t *testing.T) {
	w := newWorld(t)
	w.install("npm", "npm")
	w.install("pip3", "pip")
	changed := tgz(t, entry{npmMember, []byte("library of evil")})
	w.write(w.archive("npm"), changed)
	w.wants("the library of pip") // the archive of npm is refused, that of pip is right
	if log := w.log.String(); !strings.Contains(log, "served.tgz has SHA-256 "+sum(changed)+", not the pinned ") {
		t.Errorf("the log is %q", log)
	}
}

func TestFetchWrongSumEverywhere(t *testing.T) {
	w := newWorld(t)
	w.install("npm", "npm")
	w.install("pip3", "pip")
	w.write(w.archive("npm"), []byte("no archive"))
	w.write(w.archive("pip"), []byte("no archive"))
	w.fails("served.tgz has SHA-256 ", "served.whl has SHA-256 ", "it is not used")
}

// TestFetchWrongMember: archives of the pinned sum whose library is missing, of another size or another content, a link
// instead of a file, or cut off.
func TestFetchWrongMember(t *testing.T) {
	whole := tgz(t, entry{npmMember, bytes.Repeat([]byte("library of npm"), 1000)})
	for name, c := range map[string]struct {
		npm, pip []byte
		want     []string
	}{
		"missing": {tgz(t, entry{"other", nil}), wheel(t, entry{"other", nil}), []string{"it holds no library " + npmMember, "it holds no library " + pipMember}},
		"longer":  {tgz(t, entry{npmMember, []byte("library of npm!")}), wheel(t, entry{pipMember, []byte("the library of pip!")}), []string{"has 15 bytes", "has 19 bytes", "it is not used"}},
		"shorter": {tgz(t, entry{npmMember, nil}), wheel(t, entry{pipMember, nil}), []string{"has 0 bytes and SHA-256 "}},
		"changed": {tgz(t, entry{npmMember, []byte("library 0f npm")}), wheel(t, entry{pipMember, []byte("the library 0f pip")}), []string{"has 14 bytes and SHA-256 ", "has 18 bytes and SHA-256 "}},
		"link":    {linkTGZ(t), wheel(t), []string{"it holds no library"}},
		"cut off": {whole[:len(whole)/2], []byte("PK\x03\x04"), []string{"unexpected EOF", "not a valid zip file"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.install("npm", "npm")
			w.install("pip3", "pip")
			for i, archive := range [][]byte{c.npm, c.pip} {
				w.write(w.archive(w.packages[i].Client), archive)
				w.packages[i].ArchiveSHA256 = sum(archive)
			}
			w.fails(c.want...)
		})
	}
}

func TestFetchDamagedCache(t *testing.T) {
	w := newWorld(t)
	w.install("npm", "npm")
	if err := os.MkdirAll(w.dest, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(w.dest, pinned.LibraryName(runtime.GOOS))
	for i, content := range []string{"", "library of np", "library of evil"} {
		w.write(path, []byte(content))
		w.wants("library of npm")
		if w.called("npm") != i+1 {
			t.Errorf("npm ran %d times, want %d", w.called("npm"), i+1)
		}
	}
	if log := w.log.String(); !strings.Contains(log, path+" is damaged or not ours (SHA-256 "+sum([]byte("library of evil"))+"): fetching it again") {
		t.Errorf("the log is %q", log)
	}
	// What can't be fetched again leaves the damaged file, which is refused again next time.
	w.write(path, []byte("library of evil"))
	w.script("npm", "exit 1")
	if _, err := w.fetcher().fetch(t.Context()); err == nil {
		t.Error("no error")
	}
}

// TestFetchAtOnce: several processes fetch into one cache; here goroutines, which share no state.
func TestFetchAtOnce(t *testing.T) {
	w := newWorld(t)
	w.install("npm", "npm")
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			f := w.fetcher()
			f.log = new(bytes.Buffer)
			path, err := f.fetch(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != "library of npm" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	group.Wait()
	w.wantsFiles(1)
}

func TestFetchStopped(t *testing.T) {
	w := newWorld(t)
	w.script("npm", "exec sleep 60")
	w.install("pip3", "pip")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	_, err := w.fetcher().fetch(ctx)
	if want := "fetching onnxruntime was stopped: context canceled"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	w.wantsFiles(0)
}

func TestFetchSweeps(t *testing.T) {
	w := newWorld(t)
	w.install("npm", "npm")
	old, young := filepath.Join(w.dest, workPrefix+"1"), filepath.Join(w.dest, workPrefix+"2")
	for _, dir := range []string{old, young} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	if _, err := w.fetcher().fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Error("what a killed fetch left is still there")
	}
	if _, err := os.Stat(young); err != nil {
		t.Error("the folder of a fetch under way is gone")
	}
}

func TestFetchPlatform(t *testing.T) {
	f := fetcher{dest: t.TempDir(), platform: "plan9/mips", packages: pinned.Packages("plan9/mips"), log: new(bytes.Buffer)}
	want := "onnxruntime " + pinned.Version + " has no package with a library for plan9/mips"
	if _, err := f.fetch(t.Context()); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), pinned.LibraryEnv) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestRun(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	mine := filepath.Join(t.TempDir(), "mine.so")
	if err := os.WriteFile(mine, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, env      string
		args           []string
		code           int
		stdout, stderr string
	}{
		{"wrong version", "", []string{"-version", "1.20.0"}, 2, "", "no sums are pinned for onnxruntime 1.20.0, only for " + pinned.Version},
		{"argument", "", []string{"x"}, 2, "", `unexpected argument "x"`},
		{"flag", "", []string{"-x"}, 2, "", "flag provided but not defined: -x"},
		{"help", "", []string{"-help"}, 0, "", "-dest"},
		{"named library", mine, nil, 0, mine + "\n", "nothing is fetched"},
		{"named library is missing", mine + "x", nil, 1, "", pinned.LibraryEnv + ": stat " + mine + "x"},
		{"no client", "", []string{"-dest", filepath.Join(t.TempDir(), "d")}, 1, "", "npm is not installed"},
		{"no client, but another folder asked for", mine, []string{"-dest", filepath.Join(t.TempDir(), "d")}, 1, "", "npm is not installed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if len(pinned.Packages(pinned.Platform())) == 0 && c.code == 1 {
				t.Skip("no packages for this platform")
			}
			t.Setenv(pinned.LibraryEnv, c.env)
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), c.args, &stdout, &stderr); code != c.code || stdout.String() != c.stdout || !strings.Contains(stderr.String(), c.stderr) {
				t.Errorf("got %d, %q, %q, want %d, %q, %q", code, stdout.String(), stderr.String(), c.code, c.stdout, c.stderr)
			}
		})
	}
}

type entry struct {
	name    string
	content []byte
}

func tgz(t *testing.T, entries ...entry) []byte {
	t.Helper()
	return tarred(t, func(w *tar.Writer) error {
		for _, e := range entries {
			if err := w.WriteHeader(&tar.Header{Name: e.name, Mode: 0o644, Size: int64(len(e.content))}); err != nil {
				return err
			}
			if _, err := w.Write(e.content); err != nil {
				return err
			}
		}
		return nil
	})
}

func linkTGZ(t *testing.T) []byte {
	t.Helper()
	return tarred(t, func(w *tar.Writer) error {
		return w.WriteHeader(&tar.Header{Name: npmMember, Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"})
	})
}

func tarred(t *testing.T, fill func(*tar.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, step := range []func() error{func() error { return fill(w) }, w.Close, z.Close} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func wheel(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		f, err := w.Create(e.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}
