package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"syscall"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// cellProcess runs this program for one cell of a sweep and waits for it. What it says goes
// to standard error and to a log in debug/. When stop is closed it is asked to end after the
// step in progress; a second signal to this program ends both.
func (a *app) cellProcess(ctx context.Context, self string, args []string, log string, stop <-chan struct{}) (err error) {
	if err := os.MkdirAll(filepath.Dir(log), 0o700); err != nil {
		return fmt.Errorf("debug: %w", err)
	}
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("debug: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	last := &lastLine{}
	c := exec.CommandContext(ctx, self, args...)
	c.Stderr = io.MultiWriter(a.stderr, file, last)
	ownGroup(c)
	// The system tells a child of the end of the thread that started it, so that thread stays.
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	if err := c.Start(); err != nil {
		return fmt.Errorf("starting the cell's process: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		select {
		case <-stop:
			_ = c.Process.Signal(syscall.SIGTERM) // it may have ended by now
		case <-ended:
		}
	}()
	err = c.Wait()
	close(ended)
	if err == nil {
		return nil
	}
	if code := c.ProcessState.ExitCode(); code != 0 {
		return &runtime.CellExit{Code: code, Text: last.text(c.ProcessState.String())}
	}
	return err
}

// lastLine keeps the last line that a process wrote.
type lastLine struct{ tail []byte }

func (l *lastLine) Write(p []byte) (int, error) {
	const most = 4096
	l.tail = append(l.tail, p...)
	if n := len(l.tail); n > most {
		l.tail = bytes.Clone(l.tail[n-most:])
	}
	return len(p), nil
}

// text is the error of a command that failed, or else how it ended.
func (l *lastLine) text(state string) string {
	lines := strings.Split(strings.TrimSpace(string(l.tail)), "\n")
	if text, is := strings.CutPrefix(lines[len(lines)-1], "ghostwriter: "); is {
		return text
	}
	return state
}
