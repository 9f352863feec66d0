package runtime

import (
	"bytes"
	"crypto/sha256"
	"os"
)

const cpuSetBytes = 128 // 1,024 processors

// placement is where this process runs.
func placement() []byte {
	name, err := os.ReadFile("/proc/sys/kernel/random/boot_id") // the same in all containers of a machine
	if err != nil {
		host, _ := os.Hostname() // of a machine without a name all ranks are neighbours, which is on the safe side
		name = []byte(host)
	}
	sum := sha256.Sum256(name)
	return append(sum[:], cpuSet()...)
}

// shareOf returns, from all ranks' placements, a rank's number among those on its machine, how many these are, and its
// fair share of the processors: each is divided among the ranks that may use it. The share is at least 1, or 0 if the
// system does not say.
func shareOf(all [][]byte, rank int) (local, nearby, threads int) {
	var users [8 * cpuSetBytes]int
	mine := all[rank]
	for r, p := range all {
		if !bytes.Equal(p[:sha256.Size], mine[:sha256.Size]) {
			continue
		}
		if nearby++; r < rank {
			local++
		}
		for i := range users {
			if hasCPU(p, i) {
				users[i]++
			}
		}
	}
	share := 0.0
	for i, n := range users {
		if hasCPU(mine, i) {
			share += 1 / float64(n)
		}
	}
	if share == 0 {
		return local, nearby, 0
	}
	return local, nearby, max(1, int(share+1e-9))
}

func hasCPU(placement []byte, i int) bool {
	return placement[sha256.Size+i/8]>>(i%8)&1 != 0
}
