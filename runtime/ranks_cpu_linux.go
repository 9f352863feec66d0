package runtime

import "golang.org/x/sys/unix"

// cpuSet is the set of processors that the process may use, a bit each.
func cpuSet() []byte {
	out := make([]byte, cpuSetBytes)
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return out
	}
	for i := range 8 * cpuSetBytes {
		if set.IsSet(i) {
			out[i/8] |= 1 << (i % 8)
		}
	}
	return out
}
