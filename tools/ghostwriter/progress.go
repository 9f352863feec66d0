package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// A trainProgress shows a run: a live bar on a terminal, a line now and then
// elsewhere.
type trainProgress struct {
	w        io.Writer
	terminal bool
	bar      *progressbar.ProgressBar
	begun    time.Time
	first    int64
	shown    time.Time
}

func newTrainProgress(w io.Writer) *trainProgress {
	f, ok := w.(*os.File)
	return &trainProgress{w: w, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// Begin implements runtime.Progress.
func (p *trainProgress) Begin(b runtime.Begin) {
	if b.Stamp != "" {
		p.line("%s", b.Stamp)
	}
	what := "records, microbatch " + strconv.Itoa(b.Microbatch)
	if b.RecordsPerUnit > 0 {
		what = fmt.Sprintf("users, at most %d records of each in a step", b.RecordsPerUnit)
		p.line("unit of privacy: %s", b.Unit)
	}
	p.line("%d parameters with %d coordinates; %d steps, expected batch %g of %d %s",
		len(b.Trained), b.Coordinates, b.Steps, b.ExpectedBatch, b.Records, what)
	if b.NoiseMultiplier > 0 {
		p.line("noise multiplier %.6g, sampling rate %.6g, delta %.3g", b.NoiseMultiplier, b.SampleRate, b.Delta)
	}
	if b.Clipping != "" {
		p.line("%s", b.Clipping)
	}
	if b.RecordsArePublic != "" {
		p.line("%s", b.RecordsArePublic)
	}
	for _, line := range b.Selected {
		p.line("%s", line)
	}
	for _, name := range b.Unreached {
		p.line("%s is left as it is: the loss does not depend on it", name)
	}
	p.begun, p.first = time.Now(), b.FirstStep
	if p.terminal {
		p.bar = progressbar.NewOptions64(b.Steps, progressbar.OptionSetWriter(p.w), progressbar.OptionShowCount(),
			progressbar.OptionSetDescription("step"), progressbar.OptionSetPredictTime(true), progressbar.OptionSetWidth(30), progressbar.OptionFullWidth())
		_ = p.bar.Set64(b.FirstStep) // a bar that can't be drawn must not stop a run
	}
}

// Step implements runtime.Progress.
func (p *trainProgress) Step(s runtime.StepReport) {
	text := ""
	if !math.IsNaN(s.Epsilon) {
		text += fmt.Sprintf(" epsilon %.3f", math.Ceil(s.Epsilon*1000)/1000) // never below the bound
	}
	if !math.IsNaN(s.Loss) {
		text += fmt.Sprintf(" loss %.4f", s.Loss)
	}
	if p.bar != nil {
		p.bar.Describe("step" + text)
		_ = p.bar.Set64(s.Step)
		return
	}
	if time.Since(p.shown) < 5*time.Second && s.Step != s.Steps {
		return
	}
	p.shown = time.Now()
	left := time.Since(p.begun) / time.Duration(max(1, s.Step-p.first)) * time.Duration(s.Steps-s.Step)
	p.line("step %d/%d%s, %s left", s.Step, s.Steps, text, left.Round(time.Second))
}

// Message implements runtime.Progress.
func (p *trainProgress) Message(text string) {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	p.line("%s", text)
}

func (p *trainProgress) line(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

// end leaves the cursor on a line of its own.
func (p *trainProgress) end() {
	if p.bar != nil {
		fmt.Fprintln(p.w)
	}
}
