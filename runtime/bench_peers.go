package runtime

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A BenchPeer is another program that times its own training step in the same
// rounds. It reads one JSON object a line from its standard input and answers each
// with one:
//
//	{"do":"open","model":DIR,"loss":L,"length":T,"microbatch":B,"threads":K}
//	    → {"by":NAME,"software":{NAME:VERSION},"variants":[{"name":N,"by":NAME,"what":TEXT}]}
//	{"do":"round","variant":N} → {"seconds":S,"cpu_seconds":C}
//	{"do":"peak","variant":N}  → {"peak_bytes":P}, measured in a process of its own
//	{"do":"close"}             → {}
//
// An answer {"error":TEXT} ends the run; a variant {"name":N,"skipped":TEXT} is
// left out with a message. It ends at the end of its input. tools/reference holds
// one for PyTorch and Opacus.
type BenchPeer struct {
	Command string // words, separated by blanks

	process  *exec.Cmd
	in       io.WriteCloser
	out      *bufio.Reader
	software map[string]string
}

type peerRequest struct {
	Do         string `json:"do"`
	Model      string `json:"model,omitempty"`
	Loss       string `json:"loss,omitempty"`
	Length     int    `json:"length,omitempty"`
	Microbatch int    `json:"microbatch,omitempty"`
	Threads    int    `json:"threads,omitempty"`
	Variant    string `json:"variant,omitempty"`
}

type peerAnswer struct {
	Error    string            `json:"error"`
	By       string            `json:"by"`
	Software map[string]string `json:"software"`
	Variants []struct {
		Name    string `json:"name"`
		By      string `json:"by"`
		What    string `json:"what"`
		Skipped string `json:"skipped"`
	} `json:"variants"`
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"`
	PeakBytes  int64   `json:"peak_bytes"`
}

// start runs the program, once.
func (p *BenchPeer) start(ctx context.Context) (err error) {
	if p.process != nil {
		return nil
	}
	words := strings.Fields(p.Command)
	if len(words) == 0 {
		return usage("the peer's command is empty")
	}
	c := exec.CommandContext(ctx, words[0], words[1:]...)
	c.Stderr = os.Stderr
	if p.in, err = c.StdinPipe(); err != nil {
		return err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return usage("it does not start: %w", err)
	}
	p.process, p.out = c, bufio.NewReader(out)
	return nil
}

// Close ends the program.
func (p *BenchPeer) Close() error {
	if p.process == nil {
		return nil
	}
	err := errors.Join(p.in.Close(), p.process.Wait())
	p.process = nil
	return err
}

// ask sends a request and reads its answer.
func (p *BenchPeer) ask(r peerRequest) (*peerAnswer, error) {
	line, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return nil, fmt.Errorf("it ended before %s: %w", r.Do, err)
	}
	answer, err := p.out.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("it ended at %s: %w", r.Do, err)
	}
	a := &peerAnswer{}
	if err := json.Unmarshal(answer, a); err != nil {
		return nil, fmt.Errorf("its answer to %s is no JSON object: %w", r.Do, err)
	}
	if a.Error != "" {
		return nil, fmt.Errorf("%s %s: %s", r.Do, r.Variant, a.Error)
	}
	return a, nil
}

// open has the peer prepare a cell and returns its variants.
func (p *BenchPeer) open(ctx context.Context, c *benchCell) ([]*timed, error) {
	if err := p.start(ctx); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(c.model.Dir())
	if err != nil {
		return nil, err
	}
	a, err := p.ask(peerRequest{Do: "open", Model: dir, Loss: c.BenchOptions.Loss, Length: c.Length, Microbatch: c.Microbatch, Threads: c.machine().Threads})
	if err != nil {
		return nil, err
	}
	c.closers = append(c.closers, func() error { _, err := p.ask(peerRequest{Do: "close"}); return err })
	p.software = a.Software
	var out []*timed
	for _, v := range a.Variants {
		if v.Skipped != "" {
			c.Message(fmt.Sprintf("%s: %s is left out: %s", a.By, v.Name, v.Skipped))
			continue
		}
		out = append(out, &timed{
			BenchMeasure: BenchMeasure{Name: v.Name, By: cmp.Or(v.By, a.By), What: v.What},
			run: func(context.Context) (float64, float64, error) {
				a, err := p.ask(peerRequest{Do: "round", Variant: v.Name})
				if err != nil {
					return 0, 0, err
				}
				return a.Seconds, a.CPUSeconds, nil
			},
			peak: func(context.Context) (int64, error) {
				a, err := p.ask(peerRequest{Do: "peak", Variant: v.Name})
				if err != nil {
					return 0, err
				}
				return a.PeakBytes, nil
			},
		})
	}
	return out, nil
}
