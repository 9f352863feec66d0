package serve

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// Keys are the API keys that requests may carry. Only their digests are kept; a
// digest has one length, so that comparing takes the same time for every guess.
type Keys struct {
	digests [][sha256.Size]byte
}

// Bounds of a key file.
const (
	maxKeyFile = 1 << 20
	minKey     = 16 // characters; shorter ones can be guessed
	maxKey     = 512
)

// ReadKeys reads a file of keys, one a line; empty lines and lines that begin
// with # are skipped. Errors name a line, never what it holds.
func ReadKeys(path string) (*Keys, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("API keys: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("API keys %s: %w", path, err)
	}
	keys, err := ParseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("API keys %s: %w", path, err)
	}
	return keys, nil
}

// ParseKeys is ReadKeys for the content of a file.
func ParseKeys(data []byte) (*Keys, error) {
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("more than %d bytes", maxKeyFile)
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	k := &Keys{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxKeyFile+1)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if err := checkKey(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		k.digests = append(k.digests, sha256.Sum256([]byte(line)))
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(k.digests) == 0 {
		return nil, fmt.Errorf("there is no key in it; write one a line")
	}
	return k, nil
}

// checkKey says what is wrong with a key without repeating it.
func checkKey(key string) error {
	if len(key) < minKey || len(key) > maxKey {
		return fmt.Errorf("a key of %d characters; %d to %d are allowed", len(key), minKey, maxKey)
	}
	for _, c := range []byte(key) {
		if c <= ' ' || c > '~' {
			return fmt.Errorf("a key with a space or a character that is not printable ASCII")
		}
	}
	return nil
}

// Len is the number of keys.
func (k *Keys) Len() int { return len(k.digests) }

// Valid reports whether key is one of the keys. The time it takes does not depend
// on which, or on how much of one was guessed.
func (k *Keys) Valid(key string) bool {
	digest, found := sha256.Sum256([]byte(key)), 0
	for i := range k.digests {
		found |= subtle.ConstantTimeCompare(digest[:], k.digests[i][:])
	}
	return found == 1
}

// keyOf is the key that a request carries: "Authorization: Bearer KEY" or
// "X-API-Key: KEY".
func keyOf(h http.Header) string {
	if scheme, key, ok := strings.Cut(h.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(key)
	}
	return h.Get("X-API-Key")
}

// admit checks a request's key; nil keys admit everyone.
func (k *Keys) admit(h http.Header) *Error {
	switch key := keyOf(h); {
	case k == nil:
		return nil
	case key == "":
		return Errorf(http.StatusUnauthorized, CodeUnauthorized, "an API key is needed: send Authorization: Bearer KEY, or X-API-Key: KEY")
	case !k.Valid(key):
		return Errorf(http.StatusUnauthorized, CodeUnauthorized, "the API key is not valid")
	}
	return nil
}
