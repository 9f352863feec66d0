package dpadam

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"testing"
)

// The samples of a key, charge and chunk are those of an implementation in Python that shares nothing with this one: areas
// are rationals there, and every comparison is made in 100 digits. A word that is used twice, dropped or misread changes
// everything after it.
func TestGaussianKnownAnswers(t *testing.T) {
	for _, c := range readNoiseVectors(t).Normal {
		key, err := hex.DecodeString(c.Key)
		if err != nil {
			t.Fatal(err)
		}
		block, err := newCipher([32]byte(key))
		if err != nil {
			t.Fatal(err)
		}
		index, _ := strconv.ParseUint(c.Index, 10, 64)
		chunk, _ := strconv.ParseUint(c.Chunk, 10, 64)
		g, err := newGaussian(c.S)
		if err != nil {
			t.Fatal(err)
		}
		var src stream
		src.open(block, index, chunk)
		z := make([]int64, c.Count)
		g.fill(z, &src)
		bytes := make([]byte, 0, 8*len(z))
		for i, v := range z {
			if i < len(c.First) && v != c.First[i] {
				t.Errorf("s = %d: sample %d is %d, want %d", c.S, i, v, c.First[i])
			}
			bytes = binary.LittleEndian.AppendUint64(bytes, uint64(v))
		}
		if sum := sha256.Sum256(bytes); hex.EncodeToString(sum[:]) != c.SHA256 {
			t.Errorf("s = %d: the %d samples are others than Python's", c.S, c.Count)
		}
	}
}
