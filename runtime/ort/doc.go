// Package ort runs ONNX graphs on the stock onnxruntime library. It is the only package of Ghostwriter that uses cgo and
// knows nothing of training: it finds the library, opens sessions, and moves tensors in and out without copying them.
//
//	env, err := ort.Load("")                    // --ort-lib, GHOSTWRITER_ORT_LIB, beside the executable, the cache
//	session, err := env.NewSession(model, ort.Options{Threads: 2})
//	defer session.Close()
//	out, err := session.Run(ctx, map[string]*ort.Tensor{"x": x}, ort.Outputs("y")...)
//	y, err := ort.Data[float32](out["y"])
//
// # Layers
//
// The library, its environment, session options and sessions come from github.com/yalue/onnxruntime_go. Tensors, runs
// and declared types go through a small C bridge of our own (api_table.h, bridge.c), because the wrapper can't express
// what a training step needs: zero-size dimensions, rank-0 and half-precision outputs allocated by the runtime, fetching
// a different set of outputs each run, symbolic dimensions, initializers that may be fed, cancellation of a bound run.
//
// # Memory
//
// Inputs, and outputs bound with Fetch.Into, are Go memory that the runtime uses in place; it is pinned for the time of
// the run. Everything else that lives during a run lies in one pool for all sessions (pool.c, registered with the
// runtime as its allocator); Options says which settings keep the peak low and why, Env.Pool what is in use.
//
// # Devices
//
// Options.Device lets a session run on a CUDA device. DeviceMemory holds tensors that stay there, Session.RunBound reads
// and writes them, Env.CheckDevice says what is missing. The processor is a device too: that is how this is tested.
//
// # Logging
//
// The runtime's own log lines on standard error are off (Options.Verbose turns a session's on): every failure comes back
// as an error. An error text of the runtime can name a value of an input, for example an index that lies outside a
// table; who feeds private data must check indices before the run, or keep the text from what is released.
package ort
