package serve

import (
	"strings"
	"testing"
)

func TestKeys(t *testing.T) {
	for content, want := range map[string]string{
		"":                          "no key",
		"# only a comment\n\n":      "no key",
		"a-good-key-0123456\nshort": "line 2: a key of 5 characters",
		"a key with spaces in it":   "line 1: a key with a space",
		"schlüssel-0123456789":      "line 1",
		strings.Repeat("x", 513):    "line 1: a key of 513",
	} {
		if _, err := ParseKeys([]byte(content)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", content, err, want)
		} else if strings.Contains(err.Error(), "short") || strings.Contains(err.Error(), "schl") {
			t.Errorf("the error repeats the key: %v", err)
		}
	}
	k, err := ParseKeys([]byte("\ufeff# comment\r\n first-key-0123456789 \r\nsecond-key-987654321"))
	if err != nil || k.Len() != 2 || !k.Valid("first-key-0123456789") || !k.Valid("second-key-987654321") || k.Valid("") || k.Valid("first-key-012345678") || k.Valid("# comment") {
		t.Error(k, err)
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte("# comment\nfirst-key-0123456789\n"))
	f.Add([]byte("\xef\xbb\xbfkey\x00with-zero-byte-in"))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := ParseKeys(data)
		if err != nil {
			return
		}
		if k.Len() == 0 || k.Valid("") {
			t.Error("nothing is a key")
		}
		found := 0
		for _, line := range strings.Split(strings.TrimPrefix(string(data), "\ufeff"), "\n") {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				found++
				if !k.Valid(line) {
					t.Errorf("%q is in the file and not a key", line)
				}
			}
		}
		if found != k.Len() {
			t.Errorf("%d keys of %d lines", k.Len(), found)
		}
	})
}
