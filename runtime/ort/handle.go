package ort

import (
	"fmt"
	"reflect"
	"unsafe"
)

// handle reads the C pointer at the end of a path of unexported fields of a wrapper's struct. The wrapper opens
// sessions but its Run can't do what is needed (see the package comment), and it does not give its pointers away. The
// field names are those of onnxruntime_go v1.36.0, the version go.mod pins; another layout is an error, not a guess.
func handle(of any, path ...string) (unsafe.Pointer, error) {
	v := reflect.ValueOf(of)
	for _, name := range path {
		if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
			return nil, fmt.Errorf("unexpected layout of %T at %s", of, name)
		}
		if v = v.Elem().FieldByName(name); !v.IsValid() {
			return nil, fmt.Errorf("unexpected layout of %T: no field %s", of, name)
		}
	}
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return nil, fmt.Errorf("unexpected layout of %T: %v is no pointer", of, path)
	}
	return v.UnsafePointer(), nil
}
