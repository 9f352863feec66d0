// Command demo is `make demo`: it fine-tunes the small pretrained GPT-2 of
// testdata/demo privately on a synthetic table-to-text set, by the commands that
// a user would type, and checks what they wrote. Run it in the repository root
// after `make build`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// A demo is one run of the demonstration.
type demo struct {
	out     io.Writer
	command string // bin/ghostwriter
	data    string // testdata/demo
	dir     string // where it writes
	steps   int
	heldOut int
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	d := &demo{out: out}
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.StringVar(&d.command, "command", filepath.Join("bin", "ghostwriter"), "the built command")
	flags.StringVar(&d.data, "data", filepath.Join("testdata", "demo"), "model and data")
	flags.StringVar(&d.dir, "out", "", "directory to write (default: a temporary one, which is kept)")
	flags.IntVar(&d.steps, "steps", 60, "training steps")
	flags.IntVar(&d.heldOut, "held-out", 100, "held-out records to score")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "ghostwriter-demo-"); err != nil {
			return err
		}
	}
	for _, part := range []func(context.Context) error{d.before, d.train, d.after, d.checkLogits, d.statement} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) pretrained() string { return filepath.Join(d.data, "pretrained") }
func (d *demo) tuned() string      { return filepath.Join(d.dir, "tuned") }
func (d *demo) private() string    { return filepath.Join(d.data, "private-train.csv") }

func (d *demo) printf(format string, args ...any) { fmt.Fprintf(d.out, format, args...) }

func (d *demo) title(format string, args ...any) { d.printf("\n== "+format+"\n", args...) }

// ghostwriter runs the command, showing it and its messages, and returns what it
// writes to standard output.
func (d *demo) ghostwriter(ctx context.Context, args ...string) (string, error) {
	d.printf("$ ghostwriter %s\n", strings.Join(args, " "))
	c := exec.CommandContext(ctx, d.command, args...)
	var stdout strings.Builder
	c.Stdout, c.Stderr = &stdout, os.Stderr
	if err := c.Run(); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("%s is not there; run make build first", d.command)
		}
		return "", fmt.Errorf("ghostwriter %s: %w", args[0], err)
	}
	return stdout.String(), nil
}

// before scores the pretrained model on the held-out records.
func (d *demo) before(ctx context.Context) error {
	d.title("A small GPT-2, pretrained on public tables, has never seen a private record")
	return d.score(ctx, d.pretrained())
}

// train fine-tunes privately.
func (d *demo) train(ctx context.Context) error {
	d.title("Private fine-tuning on %s: epsilon = 8", d.private())
	text, err := d.ghostwriter(ctx, "train", "--model", d.pretrained(), "--task", "e2e", "--train", d.private(), "--target-epsilon", "8",
		"--expected-batch", "256", "--steps", strconv.Itoa(d.steps), "--lr", "2e-3", "--schedule", "linear", "--out", d.tuned())
	d.printf("%s", text)
	return err
}

// after scores the model that was written.
func (d *demo) after(ctx context.Context) error {
	d.title("The same held-out records after training")
	return d.score(ctx, d.tuned())
}

// statement prints what the ledger proves.
func (d *demo) statement(ctx context.Context) error {
	d.title("The privacy statement, recomputed from the ledger")
	text, err := d.ghostwriter(ctx, "privacy", "statement", d.tuned())
	d.printf("%s\nEverything is in %s\n", text, d.tuned())
	return err
}
