package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// A server is a running ghostwriter serve.
type server struct {
	url  string // of HTTP
	grpc string // HOST:PORT
	key  string
	stop func()
}

// serve starts the command on free ports, with a key, and waits until the models are loaded.
func (j job) serve(ctx context.Context) (*server, error) {
	s := &server{key: "a-key-for-the-clients-only"}
	keys, log := filepath.Join(j.work, "keys"), filepath.Join(j.work, "serve.log")
	if err := os.WriteFile(keys, []byte(s.key+"\n"), 0o600); err != nil {
		return nil, err
	}
	logFile, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	c := exec.CommandContext(ctx, j.command, "serve", "--models", filepath.Join(j.work, "tree"), "--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0",
		"--api-key-file", keys, "--json")
	c.Stderr = logFile
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	s.stop = func() {
		_ = c.Process.Signal(syscall.SIGTERM) // it may have ended
		late := time.AfterFunc(10*time.Second, func() { _ = c.Process.Kill() })
		defer late.Stop()
		_ = c.Wait()
		_ = logFile.Close()
	}
	if err := s.read(bufio.NewReader(out)); err != nil {
		s.stop()
		said, _ := os.ReadFile(log)
		return nil, fmt.Errorf("%w\n%s", err, said)
	}
	return s, nil
}

// read reads what serve announces when it is ready.
func (s *server) read(out *bufio.Reader) error {
	var line struct {
		Listen string `json:"listen"`
		GRPC   string `json:"grpc_listen"`
		Models []struct{ Name, State, Reason string }
	}
	if err := json.NewDecoder(out).Decode(&line); err != nil {
		return errors.New("it did not announce itself")
	}
	for _, m := range line.Models {
		if m.State != "READY" {
			return fmt.Errorf("model %s is %s: %s", m.Name, m.State, m.Reason)
		}
	}
	s.url, s.grpc = "http://"+line.Listen, line.GRPC
	return nil
}
