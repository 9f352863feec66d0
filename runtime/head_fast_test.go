//go:build !slow

package runtime

// Of the heads and of the ways to divide them every so many are tried.
const headStride, chunkingStride = 9, 3
