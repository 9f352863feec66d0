package dpadam

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"strconv"
	"testing"

	"crypto/aes"
	"crypto/cipher"
)

type noiseVectors struct {
	CTR []struct {
		Key, Index, Chunk string
		Words             []string
		Word2049          string
	}
	Ratchet []string
	Exp     []struct{ A, Exp string }
	Normal  []struct {
		S                 uint64
		Key, Index, Chunk string
		Count             int
		First             []int64
		SHA256            string
	}
}

func readNoiseVectors(t *testing.T) noiseVectors {
	t.Helper()
	data, err := os.ReadFile("testdata/noise.json")
	if err != nil {
		t.Fatal(err)
	}
	var v noiseVectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// NIST SP 800-38A, F.5.5 (CTR-AES256.Encrypt): the library's cipher is the standard's.
func TestAES256CTRIsNIST(t *testing.T) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	key := unhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
	plain := unhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710")
	want := unhex("601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c52b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6")
	block, err := newCipher([32]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(plain))
	cipher.NewCTR(block, unhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")).XORKeyStream(got, plain)
	if !bytes.Equal(got, want) || block.BlockSize() != aes.BlockSize {
		t.Errorf("%x", got)
	}
}

// The stream's addressing and word order, and the ratchet, against values computed in
// Python (testdata/gen_noise.py).
func TestStreamKnownAnswers(t *testing.T) {
	v := readNoiseVectors(t)
	for _, c := range v.CTR {
		key, _ := hex.DecodeString(c.Key)
		index, _ := strconv.ParseUint(c.Index, 10, 64)
		chunk, _ := strconv.ParseUint(c.Chunk, 10, 64)
		block, err := newCipher([32]byte(key))
		if err != nil {
			t.Fatal(err)
		}
		var s stream
		s.open(block, index, chunk)
		for i := range 2050 { // past two refills
			got := strconv.FormatUint(s.next(), 10)
			if i < len(c.Words) && got != c.Words[i] || i == 2049 && got != c.Word2049 {
				t.Errorf("stream (%d, %d) word %d = %s", index, chunk, i, got)
			}
		}
	}
	var r ratchet
	for i := range r.state {
		r.state[i] = byte(100 + i)
	}
	for i, want := range v.Ratchet {
		key, err := r.advance(uint64(i))
		if err != nil || hex.EncodeToString(key[:]) != want {
			t.Errorf("ratchet key %d = %x (%v), want %s", i, key, err, want)
		}
	}
}

// The ratchet goes forward only, and skipping is the same as walking.
func TestRatchetForgets(t *testing.T) {
	a, b := ratchet{state: [32]byte{1}}, ratchet{state: [32]byte{1}}
	var last [32]byte
	for i := range uint64(10) {
		k, err := a.advance(i)
		if err != nil || k == last {
			t.Fatalf("key %d: %v", i, err)
		}
		last = k
	}
	if k, err := b.advance(9); err != nil || k != last {
		t.Errorf("skipping to 9 gives another key (%v)", err)
	}
	for _, i := range []uint64{0, 9, maxIndex} {
		if _, err := a.advance(i); !errors.Is(err, ErrMisuse) {
			t.Errorf("key %d again: %v", i, err)
		}
	}
}

// Fresh keys differ from one another and by purpose (mistake 5: fixed seeds, one generator
// for everything); a seed makes them a function of it.
func TestFreshKeys(t *testing.T) {
	seen := map[[32]byte]bool{}
	for range 100 {
		k, err := freshKey(nil, "noise")
		if err != nil || seen[k] {
			t.Fatalf("repeated key (%v)", err)
		}
		seen[k] = true
	}
	seed := uint64(7)
	n1, _ := freshKey(&seed, "noise")
	n2, _ := freshKey(&seed, "noise")
	s1, _ := freshKey(&seed, "sampling")
	if n1 != n2 || n1 == s1 {
		t.Error("seeded keys must repeat, and differ by purpose")
	}
}

func TestExpNegKnownAnswers(t *testing.T) {
	for _, c := range readNoiseVectors(t).Exp {
		a, _, err := big.ParseFloat(c.A, 10, exactBits, big.ToNearestEven)
		if err != nil {
			t.Fatal(err)
		}
		want, _, _ := big.ParseFloat(c.Exp, 10, exactBits, big.ToNearestEven)
		diff := newFloat().Sub(expNeg(a), want)
		if diff.Sign() != 0 && diff.MantExp(nil)-want.MantExp(nil) > -190 { // 60 digits are 199 bits
			t.Errorf("exp(-%s) off by 2^%d relative", c.A, diff.MantExp(nil)-want.MantExp(nil))
		}
	}
}
