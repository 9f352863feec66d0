//go:build !race

package runtime

// testAccountant prices the runs of tests: the default one.
const testAccountant = ""
