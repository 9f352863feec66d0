//go:build race

package runtime

// testAccountant prices the runs of tests: under the race detector the tight accountant's arithmetic, which shares nothing, would take
// most of the time.
const testAccountant = "rdp"
