package pinned

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestPackages(t *testing.T) {
	hex := regexp.MustCompile(`^[0-9a-f]{64}$`)
	for _, platform := range []string{"linux/amd64", "linux/arm64", "darwin/arm64"} {
		list := Packages(platform)
		if len(list) != 2 || list[0].Client != "npm" || list[1].Client != "pip" {
			t.Errorf("%s: %v, want npm and pip", platform, list)
		}
		seen := map[string]bool{}
		for _, p := range list {
			if !hex.MatchString(p.ArchiveSHA256) || !hex.MatchString(p.LibrarySHA256) || seen[p.LibrarySHA256] || p.LibrarySize < 1<<20 {
				t.Errorf("%s: %+v", platform, p)
			}
			seen[p.LibrarySHA256] = true
			if !strings.Contains(p.Spec, Version) || filepath.IsAbs(p.Member) || !filepath.IsLocal(p.Member) {
				t.Errorf("%s: %+v", platform, p)
			}
		}
	}
	cuda := CUDAPackages("linux/amd64")
	if len(cuda) != 1 || cuda[0].Client != "pip" || cuda[0].Spec != "onnxruntime-gpu=="+Version || len(cuda[0].Beside) != 2 || CUDAPackages("darwin/arm64") != nil {
		t.Fatalf("the GPU build: %+v", cuda)
	}
	for _, f := range cuda[0].Beside {
		if !hex.MatchString(f.SHA256) || f.Size == 0 || filepath.Base(f.Member) != f.Name || !filepath.IsLocal(f.Member) {
			t.Errorf("the GPU build: %+v", f)
		}
	}
	for _, platform := range []string{"darwin/amd64", "windows/amd64", "linux/riscv64", ""} {
		if list := Packages(platform); len(list) != 0 {
			t.Errorf("%s: %v, want none", platform, list)
		}
	}
}

func TestLibraryNames(t *testing.T) {
	for goos, name := range map[string]string{"linux": "libonnxruntime.so", "darwin": "libonnxruntime.dylib", "windows": "onnxruntime.dll", "freebsd": "libonnxruntime.so"} {
		if LibraryName(goos) != name || !slices.Contains(LibraryNames(goos), name) {
			t.Errorf("%s: %s, %v", goos, LibraryName(goos), LibraryNames(goos))
		}
	}
}

func TestCacheDir(t *testing.T) {
	t.Setenv("HOME", "")
	t.Setenv("XDG_CACHE_HOME", "")
	if dir, err := CacheDir(); err == nil && filepath.Separator == '/' {
		t.Errorf("without a home: got %s", dir)
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	dir, err := CacheDir()
	if err != nil || !strings.HasPrefix(dir, home) || filepath.Base(dir) != "onnxruntime-"+Version {
		t.Errorf("got %s, %v", dir, err)
	}
}
