package runtime

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is an amount of memory. As text it is a number of bytes, or one with a
// suffix: 512M, 4G, 1.5GiB (powers of 1024).
type Bytes int64

var byteSuffixes = map[string]float64{"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Bytes) UnmarshalText(text []byte) error {
	s := strings.ToUpper(strings.TrimSpace(string(text)))
	number := strings.TrimRight(s, "KMGTIB")
	suffix := strings.TrimSuffix(strings.TrimSuffix(s[len(number):], "B"), "I")
	factor, ok := byteSuffixes[suffix]
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if !ok || err != nil || !(n > 0) || n*factor >= math.MaxInt64 {
		return fmt.Errorf("%q is not an amount of memory; write 512M or 4G", text)
	}
	*b = Bytes(n * factor)
	return nil
}

// Set and Type, with String, make Bytes a flag.
func (b *Bytes) Set(s string) error { return b.UnmarshalText([]byte(s)) }

// Type is what --help calls the value.
func (*Bytes) Type() string { return "bytes" }

// String is the number of bytes.
func (b Bytes) String() string { return strconv.FormatInt(int64(b), 10) }
