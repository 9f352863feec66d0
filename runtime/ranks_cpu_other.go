//go:build !linux

package runtime

// cpuSet is empty: the system does not say which processors the process may use.
func cpuSet() []byte { return make([]byte, cpuSetBytes) }
