package ort

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort/pinned"
)

// TestMain lets a copy of this binary answer where it finds the library: see TestFindBesideExecutable.
func TestMain(m *testing.M) {
	if os.Getenv("GHOSTWRITER_TEST_FIND") != "" {
		lib, err := FindLibrary("")
		fmt.Printf("%s|%s|%s|%v\n", lib.Source, lib.Version, lib.Path, err)
		return
	}
	os.Exit(m.Run())
}

// fakeLibrary builds a shared library that calls itself an onnxruntime of the given version, or with an empty version
// one without OrtGetApiBase. It offers no API.
func fakeLibrary(t testing.TB, path, version string) {
	t.Helper()
	text := fmt.Sprintf(`
struct base { const void *(*api)(unsigned); const char *(*version)(void); };
static const void *api(unsigned v) { (void)v; return 0; }
static const char *version(void) { return "%s"; }
static struct base b = {api, version};
struct base *OrtGetApiBase(void) { return &b; }
`, version)
	if version == "" {
		text = "int nothing(void) { return 0; }\n"
	}
	source := filepath.Join(t.TempDir(), "fake.c")
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	args := append(strings.Fields(goOutput(t, "env", "CC")), "-shared", "-fPIC", "-o", path, source)
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// emptyHome hides the user's cache and settings and returns where the cache would be.
func emptyHome(t *testing.T) (cache string) {
	t.Helper()
	home := realDir(t)
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, "cache"))
	t.Setenv(pinned.LibraryEnv, "")
	dir, err := pinned.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// realDir is a temporary folder by its real name.
func realDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFindLibraryOrder(t *testing.T) {
	cache := emptyHome(t)
	name := pinned.LibraryName(runtime.GOOS)
	dir := realDir(t)
	flag, env, cached := filepath.Join(dir, "flag", name), filepath.Join(dir, "env", name), filepath.Join(cache, name)
	fakeLibrary(t, flag, "1.31.0")
	fakeLibrary(t, env, "1.29.2")
	fakeLibrary(t, cached, "1.30.1")
	for _, c := range []struct {
		name, flag, env string
		want            Library
	}{
		{"cache", "", "", Library{cached, "1.30.1", "the cache"}},
		{"environment", "", env, Library{env, "1.29.2", pinned.LibraryEnv}},
		{"environment names a folder", "", filepath.Dir(env), Library{env, "1.29.2", pinned.LibraryEnv}},
		{"flag", flag, env, Library{flag, "1.31.0", "--ort-lib"}},
		{"flag names a folder", filepath.Dir(flag), env, Library{flag, "1.31.0", "--ort-lib"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(pinned.LibraryEnv, c.env)
			lib, err := FindLibrary(c.flag)
			if err != nil || lib != c.want {
				t.Errorf("got %+v, %v, want %+v", lib, err, c.want)
			}
		})
	}
}

// TestFindBesideExecutable runs a copy of this binary with a library beside it, in bin/ next to it, and with neither.
func TestFindBesideExecutable(t *testing.T) {
	cache := emptyHome(t)
	dir := realDir(t)
	exe := filepath.Join(dir, "find.exe")
	copyFile(t, exe, testBinary(t), -1)
	if err := os.Chmod(exe, 0o700); err != nil {
		t.Fatal(err)
	}
	ask := func() string {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), "GHOSTWRITER_TEST_FIND=1")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	name := pinned.LibraryName(runtime.GOOS)
	want := fmt.Sprintf("|||onnxruntime library not found: looked in --ort-lib (not set), %s (not set), %s, %s, %s; %s",
		pinned.LibraryEnv, dir, filepath.Join(dir, "bin"), cache, pinned.Remedy)
	if got := ask(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	fakeLibrary(t, filepath.Join(cache, name), "1.33.0")
	if got, want := ask(), "the cache|1.33.0|"+filepath.Join(cache, name)+"|<nil>"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	fakeLibrary(t, filepath.Join(dir, "bin", name), "1.32.0")
	if got, want := ask(), "beside the executable|1.32.0|"+filepath.Join(dir, "bin", name)+"|<nil>"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	beside := filepath.Join(dir, pinned.LibraryNames(runtime.GOOS)[1])
	fakeLibrary(t, beside, "1.30.0")
	if got, want := ask(), "beside the executable|1.30.0|"+beside+"|<nil>"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestLibraryRefused: what can't be used is named with its path, what is wrong and what to do; nothing crashes.
func TestLibraryRefused(t *testing.T) {
	emptyHome(t)
	dir := realDir(t)
	file := func(name string) string { return filepath.Join(dir, name) }
	for name, version := range map[string]string{"old.so": "1.28.1", "older.so": "0.99.0", "odd.so": "dev", "none.so": ""} {
		fakeLibrary(t, file(name), version)
	}
	write := func(name, content string) {
		if err := os.WriteFile(file(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("empty.so", "")
	write("text.so", "not a library\n")
	write("head.so", "\x7fELF\x02\x01\x01")
	fakeLibrary(t, file("good.so"), "1.30.0")
	st, err := os.Stat(file("good.so"))
	if err != nil {
		t.Fatal(err)
	}
	copyFile(t, file("cut.so"), file("good.so"), st.Size()*3/4)
	if err := os.Mkdir(file("folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, want string }{
		{"old.so", "has version 1.28.1, but this build needs 1.29 or newer: run `make build`"},
		{"older.so", "has version 0.99.0, but this build needs 1.29 or newer"},
		{"odd.so", "has version dev, but this build needs 1.29 or newer"},
		{"none.so", "it has no function OrtGetApiBase"},
		{"empty.so", "is not a shared library: 0 bytes long"},
		{"text.so", "is not a shared library: it begins with 6e 6f 74 20"},
		{"head.so", "damaged or truncated library (7 bytes)"},
		{"cut.so", "truncated"},
		{"missing.so", "no such file or directory"},
		{"folder", "holds no " + pinned.LibraryName(runtime.GOOS)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if runtime.GOOS != "linux" && (c.name == "head.so" || c.name == "cut.so") {
				t.Skip("these files are made for ELF")
			}
			for _, source := range []string{"--ort-lib", pinned.LibraryEnv} {
				explicit := file(c.name)
				if source == pinned.LibraryEnv {
					t.Setenv(pinned.LibraryEnv, explicit)
					explicit = ""
				}
				_, err := FindLibrary(explicit)
				if err == nil {
					t.Fatal("no error")
				}
				for _, part := range []string{source + ": ", file(c.name), c.want, "`make build`", pinned.LibraryEnv} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%q lacks %q", err, part)
					}
				}
				if strings.Contains(err.Error(), "\n") {
					t.Errorf("%q has several lines", err)
				}
			}
			if _, err := Open(file(c.name)); err == nil {
				t.Error("Open: no error")
			}
		})
	}
	var version *VersionError
	if _, err := FindLibrary(file("old.so")); !errors.As(err, &version) || version.Version != "1.28.1" || version.Path != file("old.so") {
		t.Errorf("got %#v", version)
	}
}

// TestLibraryTruncated cuts the real library at several places: the loader would be killed by some of them.
func TestLibraryTruncated(t *testing.T) {
	path := testEnv(t).Path()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.so")
	for _, keep := range []int64{1, 63, 64, 4096, st.Size() / 2, st.Size() - 1} {
		copyFile(t, cut, path, keep)
		if err := checkBinary(cut); err == nil || !strings.Contains(err.Error(), cut) {
			t.Errorf("%d of %d bytes: got %v", keep, st.Size(), err)
		}
	}
	if err := checkBinary(path); err != nil {
		t.Errorf("whole: %v", err)
	}
}

// TestLibraryWrongArchitecture changes the processor in the header of an ELF library.
func TestLibraryWrongArchitecture(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("this file is made for ELF")
	}
	path := filepath.Join(t.TempDir(), "arch.so")
	fakeLibrary(t, path, "1.30.0")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, machine := range map[string]byte{"arm64": 183, "amd64": 62, "riscv64": 243} {
		if _, err := f.WriteAt([]byte{machine, 0}, 18); err != nil { // e_machine
			t.Fatal(err)
		}
		err := checkBinary(path)
		if name == runtime.GOARCH {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if want := fmt.Sprintf("is a library for %s, this program is built for %s", name, runtime.GOARCH); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestOpen: opening again gives the same environment, at once from several goroutines; another library is refused.
func TestOpen(t *testing.T) {
	env := testEnv(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			again, err := Open(env.Path())
			if err != nil || again != env {
				t.Errorf("got %p, %v, want %p", again, err, env)
			}
		})
	}
	group.Wait()
	link := filepath.Join(t.TempDir(), "link.so")
	if err := os.Symlink(env.Path(), link); err != nil {
		t.Fatal(err)
	}
	if again, err := Open(link); err != nil || again != env {
		t.Errorf("by a link: got %v, %v", again, err)
	}
	other := filepath.Join(realDir(t), "other.so")
	fakeLibrary(t, other, "1.30.0")
	want := fmt.Sprintf("can't open the onnxruntime library %s: this process already uses %s", other, env.Path())
	if _, err := Open(other); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestEnvSays(t *testing.T) {
	env := testEnv(t)
	if err := usable(env.Path(), env.Version()); err != nil {
		t.Error(err)
	}
	providers, err := env.Providers()
	if err != nil {
		t.Fatal(err)
	}
	if len(providers) == 0 || providers[len(providers)-1] != "CPUExecutionProvider" {
		t.Errorf("providers %q: want CPUExecutionProvider last", providers)
	}
	t.Logf("onnxruntime %s at %s with %s", env.Version(), env.Path(), providers)
}

func TestUsable(t *testing.T) {
	for version, want := range map[string]bool{
		"1.29.0": true, "1.30.0": true, "1.29": true, "1.100.0-dev+cu12": true, "2.0.0": true,
		"1.28.9": false, "1.3.0": false, "0.30.0": false, "": false, "1": false, "x.30.0": false, "1.x": false, "-1.30.0": false,
	} {
		if err := usable("lib", version); (err == nil) != want {
			t.Errorf("%q: got %v, want usable %v", version, err, want)
		}
	}
}

func testBinary(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

// copyFile copies the first n bytes of a file, all with n < 0.
func copyFile(t *testing.T, to, from string, n int64) {
	t.Helper()
	src, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	var r io.Reader = src
	if n >= 0 {
		r = io.LimitReader(src, n)
	}
	if _, err := io.Copy(dst, r); err != nil {
		t.Fatal(err)
	}
	if err := dst.Close(); err != nil {
		t.Fatal(err)
	}
}
