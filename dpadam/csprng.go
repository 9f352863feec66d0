package dpadam

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
)

// All randomness of a private run comes from AES-256 in counter mode. A stream is
// addressed by (index, chunk): the 16-byte initial counter block is
//
//	index (6 bytes) | chunk (6 bytes) | block counter (4 bytes, from 0), big-endian,
//
// so every chunk of every charge has its own 64 GiB of keystream, and what a chunk
// receives does not depend on which worker asks for it. index is the charge's number in
// the ledger, never an optimizer step: a step that is repeated is a new charge.
const (
	keyBytes    = 32
	maxIndex    = uint64(1) << 48
	streamWords = 1024 // keystream words made at a time
)

// stream reads an AES-256-CTR keystream as little-endian 64-bit words.
type stream struct {
	ctr cipher.Stream
	pos int // next unread byte of buf
	buf [8 * streamWords]byte
}

// newCipher returns the block cipher of a key.
func newCipher(key [keyBytes]byte) (cipher.Block, error) {
	b, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("AES-256: %w", err)
	}
	return b, nil
}

// open points the stream at the first word of (index, chunk).
func (s *stream) open(block cipher.Block, index, chunk uint64) {
	var iv [aes.BlockSize]byte
	binary.BigEndian.PutUint64(iv[0:8], index<<16|chunk>>32)
	binary.BigEndian.PutUint32(iv[8:12], uint32(chunk))
	s.ctr = cipher.NewCTR(block, iv[:])
	s.pos = len(s.buf)
}

// refill makes the next words.
func (s *stream) refill() {
	clear(s.buf[:])
	s.ctr.XORKeyStream(s.buf[:], s.buf[:])
	s.pos = 0
}

// next returns the next word.
func (s *stream) next() uint64 {
	if s.pos == len(s.buf) {
		s.refill()
	}
	w := binary.LittleEndian.Uint64(s.buf[s.pos:])
	s.pos += 8
	return w
}

// wipe forgets the keystream that was made.
func (s *stream) wipe() {
	clear(s.buf[:])
	s.ctr, s.pos = nil, len(s.buf)
}

// ratchet derives one key for each index and forgets what it came from: with H =
// SHA-512, (key_i, state_{i+1}) = H(label || state_i || i). Whoever reads the memory
// after index i cannot recompute the noise of any index up to i. (Go may have copied the
// old state while it lived; the package overwrites what it can reach.) It is
// never written to disk.
type ratchet struct {
	state [keyBytes]byte
	index uint64 // of the next key
}

const ratchetLabel = "ghostwriter/dpadam ratchet v1"

// advance returns the key of index and moves past it. An index that has been passed is an
// error: its key is gone.
func (r *ratchet) advance(index uint64) (key [keyBytes]byte, err error) {
	if index < r.index || index >= maxIndex {
		return key, fmt.Errorf("%w: the noise key of charge %d is gone, the next is %d", ErrMisuse, index, r.index)
	}
	for r.index <= index {
		key = r.turn()
	}
	return key, nil
}

func (r *ratchet) turn() (key [keyBytes]byte) {
	msg := make([]byte, 0, len(ratchetLabel)+keyBytes+8)
	msg = append(msg, ratchetLabel...)
	msg = append(msg, r.state[:]...)
	msg = binary.BigEndian.AppendUint64(msg, r.index)
	out := sha512.Sum512(msg)
	copy(key[:], out[:keyBytes])
	copy(r.state[:], out[keyBytes:])
	r.index++
	clear(msg)
	clear(out[:])
	return key
}

// freshKey returns a key from the operating system, or, for a plan with a seed (NOT
// PRIVATE, tests only), one derived from the seed and the key's purpose.
func freshKey(seed *uint64, purpose string) (key [keyBytes]byte, err error) {
	if seed != nil {
		msg := append([]byte("ghostwriter/dpadam NOT PRIVATE seed v1 "), purpose...)
		sum := sha512.Sum512_256(binary.BigEndian.AppendUint64(msg, *seed))
		return sum, nil
	}
	if _, err := rand.Read(key[:]); err != nil {
		return key, fmt.Errorf("operating system's random numbers: %w", err)
	}
	return key, nil
}
