package runtime

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// largestSeen bounds the program in bytes whose loaded graph is asked for: the
// runtime writes it out, with its constants, and can't beyond 2 GB.
const largestSeen = 256 << 20

// openSeen is openStep, and learns the graph that the runtime made of the program's:
// what it fuses, folds and leaves out, and the order that it runs in, decide how much
// memory a run takes. Where that can't be learned, on a GPU or where no temporary
// file can be written for instance, the step is whole all the same.
func openSeen(env *ort.Env, program *ghost.Program, data []byte, at workplace) (_ *step, err error) {
	if !at.device.IsCPU() || len(data) > largestSeen {
		return openStep(env, program, data, at, "")
	}
	dir, err := os.MkdirTemp("", "ghostwriter-graph-")
	if err != nil {
		return openStep(env, program, data, at, "")
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "loaded.onnx")
	s, err := openStep(env, program, data, at, path)
	if err != nil { // the reason may be the file
		return openStep(env, program, data, at, "")
	}
	if written, err := os.ReadFile(path); err == nil {
		if m, err := ir.Parse(written); err == nil {
			s.loaded = m.Graph()
		}
	}
	return s, nil
}

// peakOf predicts the memory of the values of a run of that many records: by the
// graph that the runtime runs, where the step has it.
func peakOf(p *ghost.Program, s *step, records, length int64) ghost.Peak {
	if s != nil && s.loaded != nil {
		return p.PeakOf(s.loaded, records, length)
	}
	return p.Peak(records, length)
}
