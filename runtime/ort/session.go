package ort

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"unsafe"

	yalue "github.com/yalue/onnxruntime_go"
)

// ErrClosed is wrapped by the errors of a Session that has been closed.
var ErrClosed = errors.New("session is closed")

// Session is a model ready to run. It is safe for concurrent use; each run uses the session's threads. It holds memory
// of the runtime until Close.
type Session struct {
	env     *Env
	name    string
	shrink  bool // its arena, at the end of a run
	trim    bool // the pool
	wrapper *yalue.DynamicAdvancedSession
	ptr     *C.OrtSession

	inputs, outputs, overridable []slot
	feedable, fetchable          map[string]*slot // by name: inputs and overridable initializers; outputs

	mu     sync.RWMutex // held for reading by runs, for writing by Close
	closed bool
}

// slot is one input or output with its name in C.
type slot struct {
	Info
	cName *C.char
}

// NewSession opens a session on a serialized ONNX model. The bytes are not needed afterwards. Models of 2 GiB and more
// keep their weights in external files: see Options.ExternalDataDir.
func (e *Env) NewSession(model []byte, o Options) (*Session, error) {
	if o.Name == "" {
		o.Name = "model"
	}
	if len(model) == 0 {
		return nil, fmt.Errorf("session %s: the model is empty", o.Name)
	}
	return e.open(o, func(so *yalue.SessionOptions) (*yalue.DynamicAdvancedSession, error) {
		return yalue.NewDynamicAdvancedSessionWithONNXData(model, nil, nil, so)
	})
}

// NewSessionFromFile opens a session on an ONNX file; external initializers are found beside it.
func (e *Env) NewSessionFromFile(path string, o Options) (*Session, error) {
	if o.Name == "" {
		o.Name = filepath.Base(path)
	}
	return e.open(o, func(so *yalue.SessionOptions) (*yalue.DynamicAdvancedSession, error) {
		return yalue.NewDynamicAdvancedSession(path, nil, nil, so)
	})
}

func (e *Env) open(o Options, create func(*yalue.SessionOptions) (*yalue.DynamicAdvancedSession, error)) (*Session, error) {
	so, err := e.sessionOptions(o)
	if err != nil {
		return nil, fmt.Errorf("session %s: %w", o.Name, err)
	}
	defer so.Destroy()
	wrapper, err := keepingSubnormals(func() (*yalue.DynamicAdvancedSession, error) { return create(so) })
	if err != nil {
		return nil, fmt.Errorf("session %s: can't load the model: %w", o.Name, flatten(err))
	}
	s := &Session{env: e, name: o.Name, shrink: o.ShrinkArena && !o.NoArena && !e.pooled, trim: o.ShrinkArena && !o.NoArena && e.pooled, wrapper: wrapper}
	if err := s.describe(); err != nil {
		s.release()
		return nil, fmt.Errorf("session %s: %w", o.Name, err)
	}
	return s, nil
}

// keepingSubnormals calls create, by which the runtime makes the calling thread take subnormal numbers for zero, and puts
// the thread's own setting back: Go's arithmetic is to stay what it is.
func keepingSubnormals[T any](create func() (T, error)) (T, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	setting := C.gw_flush_subnormals()
	defer C.gw_restore_subnormals(setting)
	return create()
}

// flatten takes the runtime's own message out of the wrapper's, on one line.
func flatten(err error) error {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return runtimeError(oneLine(err.Error()))
}

// describe reads the session's declared inputs and outputs.
func (s *Session) describe() error {
	raw, err := handle(s.wrapper, "s", "ortSession")
	if err != nil {
		return err
	}
	s.ptr = (*C.OrtSession)(raw)
	s.feedable, s.fetchable = map[string]*slot{}, map[string]*slot{}
	for _, part := range []struct {
		list   C.int
		slots  *[]slot
		byName map[string]*slot
	}{
		{C.gw_inputs, &s.inputs, s.feedable}, {C.gw_overridable, &s.overridable, s.feedable}, {C.gw_outputs, &s.outputs, s.fetchable},
	} {
		infos, err := s.env.describe(s.ptr, part.list)
		if err != nil {
			return fmt.Errorf("can't read the model's inputs and outputs: %w", err)
		}
		*part.slots = make([]slot, len(infos))
		for i, info := range infos {
			(*part.slots)[i] = slot{Info: info, cName: C.CString(info.Name)}
			part.byName[info.Name] = &(*part.slots)[i]
		}
	}
	return nil
}

// Name is what errors call the session.
func (s *Session) Name() string { return s.name }

// Inputs lists the inputs that every run must be fed, in the model's order.
func (s *Session) Inputs() []Info { return infos(s.inputs) }

// Overridable lists the initializers that are also declared as inputs (IR version 4 and later): a run may feed them,
// and uses the stored values otherwise.
func (s *Session) Overridable() []Info { return infos(s.overridable) }

// Reads reports whether a run can be fed the named input, an overridable initializer included.
func (s *Session) Reads(name string) bool { return s.feedable[name] != nil }

// Outputs lists the outputs that a run can fetch, in the model's order. Exporters sometimes declare shapes that the
// values do not have; the runtime does not hold them to it.
func (s *Session) Outputs() []Info { return infos(s.outputs) }

func infos(slots []slot) []Info {
	list := make([]Info, len(slots))
	for i := range slots {
		list[i] = slots[i].clone()
	}
	return list
}

// EndProfiling ends the profile that Options.ProfilePrefix began and returns the file's name.
func (s *Session) EndProfiling() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return "", s.fail(ErrClosed)
	}
	var path *C.char
	if err := s.env.check(C.gw_end_profiling(s.env.api, s.ptr, &path)); err != nil {
		return "", s.fail(fmt.Errorf("can't end the profile: %w", err))
	}
	defer C.free(unsafe.Pointer(path))
	return C.GoString(path), nil
}

// Close waits for the runs under way and frees the session. Closing again does nothing; every other call afterwards
// fails with ErrClosed. A session that is not closed keeps its memory until the process ends.
func (s *Session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.release()
}

func (s *Session) release() error {
	err := s.wrapper.Destroy()
	for _, slots := range [][]slot{s.inputs, s.overridable, s.outputs} {
		for i := range slots {
			C.free(unsafe.Pointer(slots[i].cName))
			slots[i].cName = nil
		}
	}
	s.ptr = nil
	return err
}

// fail names the session in an error.
func (s *Session) fail(err error) error { return fmt.Errorf("session %s: %w", s.name, err) }
