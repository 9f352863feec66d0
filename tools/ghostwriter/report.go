package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
	"github.com/ghostwriter-dp/ghostwriter/runtime/report"
)

type reportReport struct {
	Out   string `json:"out"`
	Runs  int    `json:"runs"`
	Sweep int    `json:"sweeps"`
	Debug bool   `json:"debug"` // it holds values that epsilon does not cover
}

// A reportLine is what the command line asks for.
type reportLine struct {
	dirs  []string
	out   string
	debug bool
}

func (a *app) reportCommand() *cobra.Command {
	line := &reportLine{}
	c := &cobra.Command{
		Use:   "report DIR [DIR…] [-o FILE.html]",
		Short: "One HTML page of a run, a comparison of runs, or a sweep",
		Long: "Report makes one self-contained HTML page: what was trained, the curves, ε over the steps from the ledger, samples, the\n" +
			"privacy statement, the model card; of several runs a comparison, of a sweep its tables and figure. DIR is the output\n" +
			"directory of train or of sweep. The page is written to DIR/release/report.html, of a sweep to DIR/report.html.\n" +
			"A run that has debug output is reported with it, in DIR/debug/report.html: such a page is marked, for ε does not cover\n" +
			"what it holds. With -o outside a folder debug/ that is left out, unless --debug asks for it.",
		Example: "  ghostwriter report tuned/\n" +
			"  ghostwriter report full/ bias-only/ -o methods.html\n" +
			"  ghostwriter report figure2/",
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			line.dirs = args
			return a.report(line)
		},
	}
	c.Flags().StringVarP(&line.out, "out", "o", "", "the HTML file to write")
	c.Flags().BoolVar(&line.debug, "debug", false, "include what debug/ holds: NOT covered by epsilon; of a sweep, the times of its cells")
	return c
}

func (a *app) report(line *reportLine) error {
	out, debug, err := a.placeReport(line)
	if err != nil {
		return err
	}
	page, err := report.Read(line.dirs, debug)
	if err != nil {
		return err
	}
	data, err := page.HTML()
	if err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if page.Debug {
		mode = 0o600
	}
	if err := durable.WriteBytes(out, mode, data); err != nil {
		return err
	}
	return a.print(reportReport{out, len(page.Runs), len(page.Sweeps), page.Debug}, func() {
		if page.Debug {
			a.printf("this page holds values that epsilon does not cover\n")
		}
		a.printf("written to %s\n", out)
	})
}

// placeReport chooses the file, and whether what debug/ holds belongs into it: what reads
// debug/ is written to debug/.
func (a *app) placeReport(line *reportLine) (out string, debug bool, err error) {
	has := slices.ContainsFunc(line.dirs, report.HasDebug)
	switch {
	case line.out != "":
		debug = line.debug || has && inDebug(line.out)
		if has && !debug {
			fmt.Fprintln(a.stderr, "debug/ is left out, because epsilon does not cover it and the page is not written to a folder debug/; --debug asks for it")
		}
		return line.out, debug, nil
	case len(line.dirs) > 1:
		return "", false, fmt.Errorf("%w: report of several directories: say where to write it, by -o FILE.html", errCommandLine)
	}
	dir := line.dirs[0]
	if debug = line.debug || has; debug {
		dir = filepath.Join(dir, "debug")
	} else if _, err := os.Stat(filepath.Join(dir, "release")); err == nil {
		dir = filepath.Join(dir, "release")
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return "", false, fmt.Errorf("%w: report: there is no folder %s", errCommandLine, dir)
	}
	return filepath.Join(dir, "report.html"), debug, nil
}

// inDebug reports a path below a folder of the name debug.
func inDebug(path string) bool {
	abs, err := filepath.Abs(path)
	return err == nil && slices.Contains(strings.Split(filepath.ToSlash(filepath.Dir(abs)), "/"), "debug")
}
