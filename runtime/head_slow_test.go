//go:build slow

package runtime

const headStride, chunkingStride = 1, 1
