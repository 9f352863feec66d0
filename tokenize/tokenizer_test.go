package tokenize

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// TestRoundTrip: a byte-level tokenizer gives back every text, byte for byte.
func TestRoundTrip(t *testing.T) {
	for _, name := range []string{"bpe", "bpe-vocab", "roberta-vocab"} {
		tok := load(t, filepath.Join("testdata", name))
		rapid.Check(t, func(t *rapid.T) {
			text := rapid.OneOf(rapid.String(), rapid.StringMatching(`([a-zé 中😀'!]|\s){0,40}`)).Draw(t, "text")
			ids, err := tok.EncodePlain(text)
			if err != nil {
				t.Fatal(err)
			}
			if got := tok.Decode(ids, false); got != text {
				t.Fatalf("%+q comes back as %+q", text, got)
			}
			for _, id := range ids {
				if id < 0 || int(id) >= tok.VocabSize() {
					t.Fatalf("id %d outside 0 to %d", id, tok.VocabSize()-1)
				}
			}
		})
	}
}

// TestSpecialsSplitText: a special token inside text cuts it, so the parts are encoded as if alone.
func TestSpecialsSplitText(t *testing.T) {
	tok := load(t, "testdata/bpe")
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.StringN(0, 20, -1).Draw(t, "a"), rapid.StringN(0, 20, -1).Draw(t, "b")
		whole, err := tok.EncodePlain(a + "<|endoftext|>" + b)
		if err != nil {
			t.Fatal(err)
		}
		left, _ := tok.EncodePlain(a)
		right, _ := tok.EncodePlain(b)
		if want := append(append(left, tok.Specials().EOS), right...); !slices.Equal(whole, want) {
			t.Fatalf("%v, want %v", whole, want)
		}
	})
}

// TestMergeOrder: of merges of equal rank the leftmost comes first, whatever the queue holds.
func TestMergeOrder(t *testing.T) {
	vocab := map[string]int{"a": 0, "aa": 1, "aaa": 2, "b": 3, "ab": 4}
	m, err := newBPEModel(vocab, [][2]string{{"a", "a"}, {"aa", "a"}, {"a", "b"}}, bpeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for word, want := range map[string][]int32{
		"a": {0}, "aa": {1}, "aaa": {2}, "aaaa": {1, 1}, "aaaaa": {1, 2}, "aab": {1, 3}, "ab": {4}, "aaab": {2, 3}, "": nil,
	} {
		if got := m.appendIDs(nil, word); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", word, got, want)
		}
	}
}

// TestMergeAgainstDefinition compares the queue with the definition: as long as some pair can be merged, merge the
// leftmost of the smallest rank.
func TestMergeAgainstDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vocab := map[string]int{"a": 0, "b": 1, "c": 2}
		pieces := []string{"a", "b", "c"}
		var merges [][2]string
		rank := map[[2]string]int{}
		for range rapid.IntRange(0, 12).Draw(t, "merges") {
			pair := [2]string{rapid.SampledFrom(pieces).Draw(t, "left"), rapid.SampledFrom(pieces).Draw(t, "right")}
			if _, known := vocab[pair[0]+pair[1]]; known || len(pair[0]+pair[1]) > 8 {
				continue
			}
			vocab[pair[0]+pair[1]] = len(vocab)
			pieces = append(pieces, pair[0]+pair[1])
			rank[pair] = len(merges)
			merges = append(merges, pair)
		}
		m, err := newBPEModel(vocab, merges, bpeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		word := rapid.StringMatching(`[abc]{0,24}`).Draw(t, "word")
		var want []int32
		for _, s := range mergeByDefinition(strings.Split(word, ""), rank) {
			want = append(want, int32(vocab[s]))
		}
		if word == "" {
			want = nil
		}
		if got := m.appendIDs(nil, word); !slices.Equal(got, want) {
			t.Fatalf("%q with %v: %v, want %v", word, merges, got, want)
		}
	})
}

func mergeByDefinition(symbols []string, rank map[[2]string]int) []string {
	for {
		best := -1
		for i := 0; i+1 < len(symbols); i++ {
			r, ok := rank[[2]string{symbols[i], symbols[i+1]}]
			if ok && (best < 0 || r < rank[[2]string{symbols[best], symbols[best+1]}]) {
				best = i
			}
		}
		if best < 0 {
			return symbols
		}
		symbols = slices.Concat(symbols[:best], []string{symbols[best] + symbols[best+1]}, symbols[best+2:])
	}
}

func TestEncodeRefusesWhatIsNotUTF8(t *testing.T) {
	tok := load(t, "testdata/bpe")
	for text, where := range map[string]string{"\xff": "byte 0", "ab\xc3": "byte 2", "é\xed\xa0\x80": "byte 2"} {
		if _, err := tok.Encode(text); err == nil || !strings.Contains(err.Error(), where) {
			t.Errorf("%q: error %v, want one that names %s", text, err, where)
		}
	}
	if _, err := tok.Encode("\ufffd"); err != nil {
		t.Errorf("U+FFFD itself is UTF-8: %v", err)
	}
}

func TestTruncationLimits(t *testing.T) {
	tok := load(t, "testdata/wordpiece")
	for _, limit := range []int{-1, 0, 1} {
		if _, err := tok.EncodeTruncated("a", limit); err == nil {
			t.Errorf("limit %d: no error", limit)
		}
		if _, err := tok.EncodePairTruncated("a", "b", limit); err == nil {
			t.Errorf("pair, limit %d: no error", limit)
		}
	}
	e, err := tok.EncodeTruncated("a b c", 2)
	if err != nil || !slices.Equal(e.IDs, []int32{tok.Specials().CLS, tok.Specials().SEP}) {
		t.Errorf("limit 2: %v, %v, want the special tokens alone", e, err)
	}
}

func TestCheckVocab(t *testing.T) {
	tok := load(t, "testdata/bpe")
	if err := tok.CheckVocab(400); err != nil {
		t.Error(err)
	}
	err := tok.CheckVocab(399)
	if err == nil || !strings.Contains(err.Error(), "399") {
		t.Errorf("error %v, want one that names both sizes", err)
	}
}

// TestConcurrentUse runs under the race detector: one tokenizer, many goroutines, a cache that overflows.
func TestConcurrentUse(t *testing.T) {
	tok := load(t, "testdata/wordpiece")
	want := mustEncode(t, tok, "The Golden Lantern is a quiet pub")
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for i := range 2000 {
				if _, err := tok.Encode(strings.Repeat("x", i%90) + string(rune('a'+g)) + string(rune(0x3b1+i))); err != nil {
					t.Error(err)
					return
				}
				if got, _ := tok.Encode("The Golden Lantern is a quiet pub"); !slices.Equal(got, want) {
					t.Errorf("%v, want %v", got, want)
					return
				}
			}
		})
	}
	group.Wait()
}

func TestCacheIsBounded(t *testing.T) {
	c := newWordCache()
	compute := func(dst []int32, word string) []int32 { return append(dst, int32(len(word))) }
	for i := range 4 * cacheShards * cacheShardWords {
		word := "w" + string(rune(0x100+i%0x10000)) + string(rune(0x10000+i))
		if got := c.appendIDs(nil, word, compute); got[0] != int32(len(word)) {
			t.Fatalf("%q: %v", word, got)
		}
	}
	long := strings.Repeat("y", cacheWordBytes+1)
	c.appendIDs(nil, long, compute)
	total := 0
	for i := range c.shards {
		total += len(c.shards[i].ids)
		if _, kept := c.shards[i].ids[long]; kept {
			t.Error("a long word is kept")
		}
	}
	if total > cacheShards*cacheShardWords {
		t.Errorf("%d words are kept, at most %d may be", total, cacheShards*cacheShardWords)
	}
}

func TestEncodeBatch(t *testing.T) {
	tok := load(t, "testdata/bpe")
	texts := make([]string, 1000)
	for i := range texts {
		texts[i] = strings.Repeat("the ", i%7) + string(rune('a'+i%26))
	}
	for _, workers := range []int{0, 1, 3} {
		got, err := tok.EncodeBatch(context.Background(), texts, workers)
		if err != nil {
			t.Fatal(err)
		}
		for i := range texts {
			if want := mustEncode(t, tok, texts[i]); !slices.Equal(got[i], want) {
				t.Fatalf("%d workers: row %d: %v, want %v", workers, i, got[i], want)
			}
		}
	}
	bad := slices.Clone(texts)
	bad[300], bad[900] = "\xff", "\xff"
	for range 20 {
		if _, err := tok.EncodeBatch(context.Background(), bad, 4); err == nil || !strings.HasPrefix(err.Error(), "text 300:") {
			t.Fatalf("error %v, want the first bad row", err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := tok.EncodeBatch(ctx, texts, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if got, err := tok.EncodeBatch(context.Background(), nil, 2); err != nil || len(got) != 0 {
		t.Errorf("no texts: %v, %v", got, err)
	}
}

func TestLossyUTF8(t *testing.T) {
	for in, want := range map[string]string{
		"a":                         "a",
		"\xe2\x82":                  "\ufffd",
		"\xe2\x82a":                 "\ufffda",
		"\xf0\x9f\x98":              "\ufffd",
		"\xf0\x9f\xe2\x82":          "\ufffd\ufffd",
		"\xff\xfe":                  "\ufffd\ufffd",
		"\xed\xa0\x80":              "\ufffd\ufffd\ufffd",
		"\xc0\x80":                  "\ufffd\ufffd",
		"\xf4\x90\x80\x80":          "\ufffd\ufffd\ufffd\ufffd",
		"\xe0\x80\xaf":              "\ufffd\ufffd\ufffd",
		"\x80é\xf0\x9f\x98\x80\xe2": "\ufffdé😀\ufffd",
	} {
		if got := lossyUTF8([]byte(in)); got != want {
			t.Errorf("%q: %+q, want %+q", in, got, want)
		}
	}
}
