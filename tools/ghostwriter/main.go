// Command ghostwriter fine-tunes exported ONNX models privately. Each verb has
// --help with an example; runtime does the work.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/mpi"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals()...)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	a := &app{stdout: stdout, stderr: stderr}
	root := a.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	code := exitCode(err)
	if err != nil && (a.speaks() || errors.Is(err, runtime.ErrRanks)) {
		fmt.Fprintln(stderr, "ghostwriter: "+oneLine(err))
	}
	if err := a.leaveRanks(err, code); err != nil && code == 0 {
		fmt.Fprintln(stderr, "ghostwriter: "+oneLine(err))
		return runtime.ExitFailed
	}
	return code
}

func exitCode(err error) int {
	if errors.Is(err, errCommandLine) {
		return runtime.ExitUsage
	}
	return runtime.ExitCode(err)
}

// oneLine joins the lines of an error, so that one error is one line.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// errCommandLine marks errors of flags and arguments.
var errCommandLine = errors.New("wrong usage")

// An app is one invocation: where it writes and the flags common to all verbs.
type app struct {
	stdout, stderr io.Writer
	json           bool
	library        string
	threads        int
	device         string
	world          *mpi.World // of a run of several processes; nil otherwise
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "ghostwriter",
		Short:         "Private fine-tuning of ONNX models",
		Long:          "Ghostwriter fine-tunes a language model that was exported to ONNX under differential privacy\nand writes the same model with new weights and a privacy statement.",
		SilenceUsage:  true,
		SilenceErrors: true,

		PersistentPreRunE: refuseSeveral,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %v", errCommandLine, err) })
	flags := root.PersistentFlags()
	flags.BoolVar(&a.json, "json", false, "print one JSON object on standard output")
	flags.StringVar(&a.library, "ort-lib", "", "the onnxruntime library, or its folder (default: GHOSTWRITER_ORT_LIB, beside the command, the cache)")
	flags.IntVar(&a.threads, "threads", 0, "threads of one operator (default: all cores)")
	flags.StringVar(&a.device, "device", "", "where models run: cpu (the default), cuda, or cuda:N, the GPU of that number; see docs/devices.md")
	root.AddCommand(a.versionCommand(), a.inspectCommand(), a.runCommand(), a.gradnormsCommand(), a.compileCommand(),
		a.trainCommand(), a.estimateCommand(), a.generateCommand(), a.classifyCommand(), a.embedCommand(), a.scoreCommand(), a.evaluateCommand(), a.convertCommand(), a.tokenizeCommand(),
		a.serveCommand(), a.privacyCommand(), a.budgetCommand(), a.searchCommand(), a.auditCommand(), a.benchCommand())
	root.AddCommand(a.sweepCommand(), a.reportCommand())
	root.AddCommand(a.recipesCommand())
	for _, c := range root.Commands() {
		checkArguments(c)
	}
	return root
}

// checkArguments marks a wrong number of arguments as wrong usage.
func checkArguments(c *cobra.Command) {
	for _, sub := range c.Commands() {
		checkArguments(sub)
	}
	if c.Args == nil {
		c.Args = cobra.NoArgs
	}
	inner := c.Args
	c.Args = func(cmd *cobra.Command, args []string) error {
		if err := inner(cmd, args); err != nil {
			return fmt.Errorf("%w: %s: %v; see %s --help", errCommandLine, cmd.Name(), err, cmd.CommandPath())
		}
		return nil
	}
}

// open opens a model with the common flags.
func (a *app) open(path, output, head string) (*runtime.Model, error) {
	return runtime.Open(path, runtime.Options{Library: a.library, Threads: a.threads, Device: a.device, Output: output, Head: head})
}
