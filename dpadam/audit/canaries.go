package audit

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	seeded "math/rand/v2"
)

// Coins tosses one fair coin for each of m canaries, with the operating system's random
// numbers, or as a function of the seed if one is given (for tests).
func Coins(m int, seed *uint64) ([]bool, error) {
	if m < 1 {
		return nil, invalid("canaries", m, "must be at least 1")
	}
	bits := make([]byte, (m+7)/8)
	if seed == nil {
		if _, err := rand.Read(bits); err != nil {
			return nil, fmt.Errorf("operating system's random numbers: %w", err)
		}
	} else {
		var key [32]byte
		copy(key[:], "ghostwriter/audit coins")
		binary.LittleEndian.PutUint64(key[24:], *seed)
		_, _ = seeded.NewChaCha8(key).Read(bits) // never fails
	}
	in := make([]bool, m)
	for i := range in {
		in[i] = bits[i/8]>>(i%8)&1 == 1
	}
	return in, nil
}

// Included lists the canaries that are in, ascending.
func Included(in []bool) []int {
	var list []int
	for i, is := range in {
		if is {
			list = append(list, i)
		}
	}
	return list
}
