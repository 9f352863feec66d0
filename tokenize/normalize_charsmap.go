package tokenize

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// charsMap is the normalization that a SentencePiece model carries: a trie (of Darts-clone) from characters to places in
// a text of NUL-terminated replacements.
type charsMap struct {
	trie         []uint32
	replacements string
}

// newCharsMap reads the precompiled form: the trie's size in bytes, the trie, the replacements.
func newCharsMap(data []byte) (*charsMap, error) {
	if len(data) < 4 {
		return nil, fmt.Errorf("precompiled_charsmap has %d bytes; it starts with the size of its trie", len(data))
	}
	size := binary.LittleEndian.Uint32(data)
	data = data[4:]
	if size == 0 || uint64(size) > uint64(len(data)) {
		return nil, fmt.Errorf("precompiled_charsmap says that its trie has %d bytes, but %d are left", size, len(data))
	}
	m := &charsMap{trie: make([]uint32, size/4)}
	for i := range m.trie {
		m.trie[i] = binary.LittleEndian.Uint32(data[4*i:])
	}
	m.replacements = string(data[len(m.trie)*4:])
	if len(m.trie) == 0 || !utf8.ValidString(m.replacements) {
		return nil, fmt.Errorf("precompiled_charsmap holds no trie, or replacements that are not UTF-8")
	}
	return m, nil
}

// Parts of a trie's unit, as Darts-clone packs them.
func unitLeaf(u uint32) bool     { return u>>8&1 == 1 }
func unitValue(u uint32) uint32  { return u & (1<<31 - 1) }
func unitLabel(u uint32) uint32  { return u & (1<<31 | 0xFF) }
func unitOffset(u uint32) uint32 { return u >> 10 << (u & (1 << 9) >> 6) }

// unit is the trie's unit at a place; a place outside, as a broken trie may name it, is a unit that nothing matches.
func (m *charsMap) unit(at uint32) uint32 {
	if uint64(at) >= uint64(len(m.trie)) {
		return 1 << 31
	}
	return m.trie[at]
}

// lookup is the replacement of the shortest start of chunk that has one. The reference lets it stand for all of chunk.
func (m *charsMap) lookup(chunk string) (string, bool) {
	at := unitOffset(m.unit(0))
	for i := range len(chunk) {
		c := uint32(chunk[i])
		if c == 0 {
			break
		}
		at ^= c
		u := m.unit(at)
		if unitLabel(u) != c {
			break
		}
		at ^= unitOffset(u)
		if !unitLeaf(u) {
			continue
		}
		start := unitValue(m.unit(at))
		if uint64(start) > uint64(len(m.replacements)) {
			return "", false
		}
		replacement, _, _ := strings.Cut(m.replacements[start:], "\x00")
		if !utf8.ValidString(replacement) || len(replacement) > maxInserted {
			return "", false // a broken map: it points into a character, or holds what no character stands for
		}
		return replacement, true
	}
	return "", false
}

// normalize replaces grapheme clusters of less than six bytes as a whole where the map knows their start, and otherwise
// character by character.
func (m *charsMap) normalize(a *aligned) {
	edits := make([]charEdit, 0, len(a.text))
	changed := false
	replace := func(old string) bool {
		replacement, ok := m.lookup(old)
		if ok {
			edits = appendReplacement(edits, old, replacement)
			changed = true
		}
		return ok
	}
	for rest := a.text; rest != ""; {
		cluster := firstCluster(rest)
		rest = rest[len(cluster):]
		if len(cluster) < 6 && replace(cluster) {
			continue
		}
		for i, r := range cluster {
			if !replace(cluster[i : i+utf8.RuneLen(r)]) {
				edits = append(edits, charEdit{r: r})
			}
		}
	}
	if changed {
		a.transform(edits, 0)
	}
}

// appendReplacement replaces the characters of old one by one; what is more is inserted, what is less goes with the
// last.
func appendReplacement(edits []charEdit, old, replacement string) []charEdit {
	for _, r := range replacement {
		edits = append(edits, charEdit{r: r})
	}
	more := utf8.RuneCountInString(replacement) - utf8.RuneCountInString(old)
	for i := range more {
		edits[len(edits)-1-i].change = 1
	}
	if more < 0 && len(edits) > 0 {
		edits[len(edits)-1].change += more
	}
	return edits
}

// firstCluster is the extended grapheme cluster at the start of text.
func firstCluster(text string) string {
	if text[0] < utf8.RuneSelf && text[0] != '\r' && (len(text) == 1 || text[1] < utf8.RuneSelf) {
		return text[:1] // the bulk of all text
	}
	cluster, _, _, _ := uniseg.FirstGraphemeClusterInString(text, -1)
	return cluster
}
