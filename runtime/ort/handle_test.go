package ort

import (
	"strings"
	"testing"
	"unsafe"
)

func TestHandle(t *testing.T) {
	type inner struct{ raw *int }
	type outer struct {
		s    *inner
		none *inner
		n    int
	}
	v := 7
	o := &outer{s: &inner{&v}, none: nil, n: 1}
	got, err := handle(o, "s", "raw")
	if err != nil || got != unsafe.Pointer(&v) {
		t.Errorf("got %v, %v, want %p", got, err, &v)
	}
	for _, path := range [][]string{{"t"}, {"s", "t"}, {"n"}, {"none"}, {"none", "raw"}, {"n", "raw"}, {"s", "raw", "x"}} {
		if _, err := handle(o, path...); err == nil || !strings.Contains(err.Error(), "unexpected layout of *ort.outer") {
			t.Errorf("%v: got %v", path, err)
		}
	}
	if _, err := handle(*o, "s"); err == nil {
		t.Error("a struct instead of a pointer: no error")
	}
}
