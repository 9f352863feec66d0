package ort

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	yalue "github.com/yalue/onnxruntime_go"
)

// OptLevel is how far the runtime rewrites the graph before it runs it.
type OptLevel int

// The levels of onnxruntime. OptAll, the default, is needed for its fusion of Transpose into MatMul.
const (
	OptAll OptLevel = iota
	OptNone
	OptBasic
	OptExtended
)

// optLevels translates to the wrapper's levels and gives names for messages.
var optLevels = [...]struct {
	name  string
	level yalue.GraphOptimizationLevel
}{
	OptAll:      {"all", yalue.GraphOptimizationLevelEnableAll},
	OptNone:     {"none", yalue.GraphOptimizationLevelDisableAll},
	OptBasic:    {"basic", yalue.GraphOptimizationLevelEnableBasic},
	OptExtended: {"extended", yalue.GraphOptimizationLevelEnableExtended},
}

// Options are the settings of a session. The zero value is right for training graphs: its memory settings keep the peak
// low, and its threads do not compete with the Go side's.
//
// Values lie in one pool that all sessions of the process share (pool.h): sessions that run in turn need the memory of the
// largest, and a range of addresses that is cut where values end has no regions that only values of one size fit into.
// On GPT-2 small the pool's peak is within 0.1 percent of what is live at the same time; the runtime's own arenas, which
// grow by powers of two, one for each session, took 8 percent more, and 15 after a second length.
//
// Numbers below the smallest normal one (1.2e-38 in single precision) count as zero while a session runs, on its threads
// and on the one that calls it; elsewhere in the process they are what they were.
//
// What BenchmarkMemory measures, in MB above the weights, for a forward and backward pass over 24 layers that keeps 96 MB
// of activations: after the first run, after five of the same shape, after three growing by 6, 12 and 25 percent:
//
//	default      107  107  143
//	NoArena      104  105  145
//
// (The runtime's arenas: 109, 109, 167; with a memory pattern 109, 217, 251.)
type Options struct {
	// Name is what errors call the session; empty means the model's file name, or "model" for one from memory.
	Name string
	// Threads that one operator may use; 0 means GOMAXPROCS, which respects the CPU limit of a container. Operators run
	// one after the other.
	Threads int
	// Device is where operators run; those that it has no kernel for run on the processor, with copies between.
	Device Device
	// DeviceMemory bounds in bytes what the session takes of a CUDA device's memory; 0 sets no bound.
	DeviceMemory int64
	// exact lets a device's arena grow by what is asked for: for tensors that stay, of sizes that do not change.
	exact bool
	// OptLevel is the graph optimization level.
	OptLevel OptLevel
	// DisableOptimizers names optimizers of the runtime to leave out, for example "CommonSubexpressionElimination",
	// which merges the recomputed activations of gradient checkpointing with the first ones and so undoes it. A name the
	// runtime does not know is ignored by it.
	DisableOptimizers []string
	// MemPattern plans all buffers of a run from those of the first run of the same input shapes. Off by default: the
	// plan is one more block beside the values, and one plan is kept for ever for each input shape.
	MemPattern bool
	// NoArena keeps out of the pool and gives every buffer back to the system at once instead of keeping it for the next
	// run: 10 to 25 percent slower, since the kernel maps and clears large buffers each time.
	NoArena bool
	// ShrinkArena gives memory that no tensor uses back to the system at the end of each run: for a session that runs
	// seldom beside others. No effect with NoArena.
	ShrinkArena bool
	// AllowSpinning lets idle threads of the session burn their core while they wait for work. Off by default: several
	// sessions and the Go side share the cores.
	AllowSpinning bool
	// ExternalDataDir is the folder that the locations of external initializers are relative to, for a model from memory.
	// A model from a file uses its own folder.
	ExternalDataDir string
	// FreeDims fixes symbolic input dimensions by name, for example {"sequence_length": 128}.
	FreeDims map[string]int64
	// ProfilePrefix, if set, profiles every run into a JSON file whose name begins with it; EndProfiling names the file.
	ProfilePrefix string
	// LoadedPath, if set, is where the runtime writes the graph that it runs as an ONNX model of less than 2 GiB: optimized,
	// with the nodes in the order that they run in.
	LoadedPath string
	// Config holds further session configuration entries of the runtime by key; they go last, over what this package sets.
	Config map[string]string
	// Verbose lets the runtime write warnings and errors to standard error. They can contain values of the inputs.
	Verbose bool
}

func (o Options) validate() error {
	if o.Threads < 0 {
		return fmt.Errorf("threads %d: want 0 (all) or more", o.Threads)
	}
	if o.OptLevel < 0 || int(o.OptLevel) >= len(optLevels) {
		return fmt.Errorf("unknown optimization level %d", int(o.OptLevel))
	}
	if o.DeviceMemory < 0 {
		return fmt.Errorf("device memory %d: want 0 (no bound) or more", o.DeviceMemory)
	}
	for symbol, size := range o.FreeDims {
		if size < 0 {
			return fmt.Errorf("free dimension %q: size %d is negative", symbol, size)
		}
	}
	return nil
}

// entries are the configuration entries of the session, in a fixed order.
func (o Options) entries() ([][2]string, error) {
	spin := "0"
	if o.AllowSpinning {
		spin = "1"
	}
	list := [][2]string{
		{"session.intra_op.allow_spinning", spin},
		{"session.inter_op.allow_spinning", spin},
		// What a mask forbids underflows in the softmax, and there the processor takes thirty times as long: the softmax of
		// causal attention takes five times as long as without a mask. Run sets the calling thread.
		{"session.set_denormal_as_zero", "1"},
		// Initializers live as long as the session: outside the arena they don't force it to grow by powers of two.
		{"session.use_device_allocator_for_initializers", "1"},
	}
	if len(o.DisableOptimizers) > 0 {
		list = append(list, [2]string{"optimization.disable_specified_optimizers", strings.Join(o.DisableOptimizers, ";")})
	}
	if o.ExternalDataDir != "" {
		dir, err := filepath.Abs(o.ExternalDataDir)
		if err != nil {
			return nil, err
		}
		list = append(list, [2]string{"session.model_external_initializers_file_folder_path", dir})
	}
	if o.LoadedPath != "" {
		list = append(list, [2]string{"session.optimized_model_filepath", o.LoadedPath})
	}
	for _, key := range slices.Sorted(maps.Keys(o.Config)) {
		list = append(list, [2]string{key, o.Config[key]})
	}
	return list, nil
}

// sessionOptions builds the wrapper's options; the caller destroys them.
func (e *Env) sessionOptions(o Options) (*yalue.SessionOptions, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	entries, err := o.entries()
	if err != nil {
		return nil, err
	}
	if e.pooled && !o.NoArena {
		entries = append([][2]string{{"session.use_env_allocators", "1"}}, entries...)
	}
	so, err := yalue.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	if err := e.apply(so, o, entries); err != nil {
		so.Destroy()
		return nil, err
	}
	return so, nil
}

func (e *Env) apply(so *yalue.SessionOptions, o Options, entries [][2]string) error {
	threads := o.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	severity := yalue.LoggingLevel(yalue.LoggingLevelFatal)
	if o.Verbose {
		severity = yalue.LoggingLevelWarning
	}
	steps := []func() error{
		func() error { return so.SetIntraOpNumThreads(threads) },
		func() error { return so.SetInterOpNumThreads(1) },
		func() error { return so.SetExecutionMode(yalue.ExecutionModeSequential) },
		func() error { return so.SetGraphOptimizationLevel(optLevels[o.OptLevel].level) },
		func() error { return so.SetMemPattern(o.MemPattern) },
		func() error { return so.SetCpuMemArena(!o.NoArena) },
		func() error { return so.SetLogSeverityLevel(severity) },
		func() error { return e.appendDevice(so, o) },
	}
	if o.ProfilePrefix != "" {
		steps = append(steps, func() error { return so.EnableProfiling(o.ProfilePrefix) })
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	for _, entry := range entries {
		if err := so.AddSessionConfigEntry(entry[0], entry[1]); err != nil {
			return fmt.Errorf("session setting %s=%s: %w", entry[0], entry[1], err)
		}
	}
	return e.fixDimensions(so, o.FreeDims)
}

// fixDimensions sets the sizes of symbolic dimensions, which the wrapper has no call for.
func (e *Env) fixDimensions(so *yalue.SessionOptions, sizes map[string]int64) error {
	if len(sizes) == 0 {
		return nil
	}
	raw, err := handle(so, "o")
	if err != nil {
		return err
	}
	for _, symbol := range slices.Sorted(maps.Keys(sizes)) {
		name := C.CString(symbol)
		err := e.check(C.gw_free_dimension(e.api, (*C.OrtSessionOptions)(raw), name, C.int64_t(sizes[symbol])))
		C.free(unsafe.Pointer(name))
		if err != nil {
			return fmt.Errorf("free dimension %q: %w", symbol, err)
		}
	}
	return nil
}
