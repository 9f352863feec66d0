package ghost

import "fmt"

// A Memory says what a program does with values that it needs again later.
type Memory string

const (
	// NormalMemory keeps them.
	NormalMemory Memory = "normal"
	// LowMemory keeps few of them and computes the others again.
	LowMemory Memory = "low"
)

// ParseMemory reads a mode's name; "" is NormalMemory.
func ParseMemory(s string) (Memory, error) {
	switch m := Memory(s); m {
	case "":
		return NormalMemory, nil
	case NormalMemory, LowMemory:
		return m, nil
	}
	return "", fmt.Errorf("unknown memory mode %q; there are %s and %s", s, NormalMemory, LowMemory)
}

// IsLow reports LowMemory.
func (m Memory) IsLow() bool { return m == LowMemory }
