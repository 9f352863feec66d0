package runtime

import (
	"os"
	goruntime "runtime"
	"strconv"
	"strings"
)

// peakMemory is the largest resident set that the process has had, in bytes; 0
// where the system does not tell. Linux's getrusage also counts what the process
// was before it executed this program, so its own status is read there.
func peakMemory() int64 {
	switch goruntime.GOOS {
	case "linux":
		kb, err := strconv.ParseInt(strings.TrimSuffix(procField("/proc/self/status", "VmHWM:"), " kB"), 10, 64)
		if err != nil {
			return 0
		}
		return kb << 10
	case "darwin", "ios":
		return largestResident()
	}
	return largestResident() << 10
}

// residentMemory is what the process holds in memory now, in bytes; where the
// system does not tell, what Go has taken and what the runtime's library needs.
func residentMemory() int64 {
	if kb, err := strconv.ParseInt(strings.TrimSuffix(procField("/proc/self/status", "VmRSS:"), " kB"), 10, 64); err == nil {
		return kb << 10
	}
	const library = 40 << 20
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
	return int64(m.Sys-m.HeapReleased) + library
}

// processorName is the processor's model, "" where the system does not tell.
func processorName() string { return procField("/proc/cpuinfo", "model name	:") }

// procField is the first line of a file of /proc that begins so, without its
// beginning.
func procField(file, begins string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, begins); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}
