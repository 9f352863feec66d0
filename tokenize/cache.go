package tokenize

import (
	"hash/maphash"
	"sync"
)

// Limits of the pre-token cache: natural text repeats few words very often, so a small cache holds nearly all of it,
// and a hostile text cannot make it grow past about 16 MB.
const (
	cacheShards     = 16
	cacheShardWords = 4096
	cacheWordBytes  = 64
)

// wordCache remembers the ids of pre-tokens. It is safe for concurrent use. A shard that is full is emptied, which
// costs little: the frequent words are back at once.
type wordCache struct {
	seed   maphash.Seed
	shards [cacheShards]struct {
		sync.RWMutex
		ids map[string][]int32
	}
}

func newWordCache() *wordCache {
	c := &wordCache{seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].ids = map[string][]int32{}
	}
	return c
}

// appendIDs appends the ids of word, computing them with m when they are not remembered.
func (c *wordCache) appendIDs(dst []int32, word string, compute func(dst []int32, word string) []int32) []int32 {
	if len(word) > cacheWordBytes {
		return compute(dst, word)
	}
	shard := &c.shards[maphash.String(c.seed, word)%cacheShards]
	shard.RLock()
	ids, ok := shard.ids[word]
	shard.RUnlock()
	if ok {
		return append(dst, ids...)
	}
	start := len(dst)
	dst = compute(dst, word)
	// The key is cloned so that the cache does not keep the whole text alive.
	key, value := string([]byte(word)), append([]int32(nil), dst[start:]...)
	shard.Lock()
	if len(shard.ids) >= cacheShardWords {
		clear(shard.ids)
	}
	shard.ids[key] = value
	shard.Unlock()
	return dst
}
