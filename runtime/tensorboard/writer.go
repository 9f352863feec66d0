package tensorboard

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// filePrefix begins a file's name; the number that follows orders the files of a folder.
const filePrefix = "events.out.tfevents."

// A Scalar is one value of a step.
type Scalar struct {
	Tag   string // such as "train/loss"; TensorBoard groups by what stands before the slash
	Value float64
}

// A Writer writes one event file. Every call of Scalars is one write, so that
// what a killed process leaves can be read.
type Writer struct{ file *os.File }

// Create begins a new file in a folder that exists. first is the step that the
// run goes on with: whatever an earlier file says of it and later ones is void. message, if it is not empty, is shown
// among the texts, under "about", and stands in the file as the message of its session's start.
func Create(dir string, perm fs.FileMode, first int64, message string) (*Writer, error) {
	file, err := createNext(dir, perm)
	if err != nil {
		return nil, fmt.Errorf("the event file: %w", err)
	}
	w := &Writer{file}
	now := seconds()
	begin := [][]byte{versionEvent(now), startEvent(now, first, message)}
	if message != "" {
		begin = append(begin, textEvent(now, first, "about", message))
	}
	if err := w.write(begin...); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return w, nil
}

// createNext makes a file whose name sorts after those that are there, for the
// reader takes them in that order. Others put a time there, which two processes
// may share.
func createNext(dir string, perm fs.FileMode) (*os.File, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	at := int64(1)
	for _, e := range entries {
		var there int64
		if n, err := fmt.Sscanf(strings.TrimPrefix(e.Name(), filePrefix), "%d", &there); n == 1 && err == nil && strings.HasPrefix(e.Name(), filePrefix) {
			at = max(at, there+1)
		}
	}
	return os.OpenFile(filepath.Join(dir, fmt.Sprintf("%s%010d.ghostwriter", filePrefix, at)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
}

// Scalars writes the values of a step. Those that are not finite are left out:
// there is nothing to draw.
func (w *Writer) Scalars(step int64, values ...Scalar) error {
	values = slices.DeleteFunc(slices.Clone(values), func(s Scalar) bool { return math.IsNaN(s.Value) || math.IsInf(s.Value, 0) })
	if len(values) == 0 {
		return nil
	}
	return w.write(scalarEvent(seconds(), step, values))
}

func (w *Writer) write(events ...[]byte) error {
	var b []byte
	for _, e := range events {
		b = appendRecord(b, e)
	}
	if _, err := w.file.Write(b); err != nil {
		return fmt.Errorf("the event file: %w", err)
	}
	return nil
}

// Close syncs and closes the file.
func (w *Writer) Close() error { return errors.Join(w.file.Sync(), w.file.Close()) }

func seconds() float64 { return float64(time.Now().UnixNano()) / 1e9 }
