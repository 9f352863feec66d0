// Command exportmatrix runs Ghostwriter on every model of a folder that
// testdata/gen/matrix.py filled, compares it with itself and with PyTorch, and
// prints a table of architectures and exporters. `make export-matrix` does both.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "exportmatrix:", err)
		os.Exit(1)
	}
}

// errWrong is returned when a model gave a wrong number.
var errWrong = errors.New("a model gave wrong numbers")

func command() *cobra.Command {
	var asJSON bool
	var o options
	c := &cobra.Command{
		Use:   "exportmatrix DIR [PATTERN ...]",
		Short: "Run Ghostwriter on a matrix of exported models",
		Long: "Exportmatrix takes every folder ARCH-EXPORTER of DIR that matches a pattern (all, if none is given), computes\n" +
			"per-example losses and norms by ghost and by loop, compares them with each other and with PyTorch's, changes one\n" +
			"record and looks for others that notice, and prints a table. Exit 1 if anything is wrong; a refusal is not.",
		Args: cobra.MinimumNArgs(1), SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return run(cmd.Context(), cmd.OutOrStdout(), args[0], args[1:], o, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	c.Flags().BoolVar(&o.write, "write", false, "also write each model back with changed weights and run the written file")
	c.Flags().BoolVar(&o.keep, "keep", false, "leave the written file beside the model, as written.onnx")
	return c
}

// run checks every case of dir and prints what came of it.
func run(ctx context.Context, out io.Writer, dir string, patterns []string, o options, asJSON bool) error {
	names, err := list(dir, patterns)
	if err != nil {
		return err
	}
	var rows []row
	for _, name := range names {
		rows = append(rows, examine(ctx, dir, name, o))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !asJSON {
			fmt.Fprintf(os.Stderr, "\r%d of %d   ", len(rows), len(names))
		}
	}
	if asJSON {
		err = json.NewEncoder(out).Encode(map[string]any{"rows": rows, "totals": totals(rows)})
	} else {
		fmt.Fprintln(os.Stderr)
		err = printTable(out, rows)
	}
	if err == nil && totals(rows)[wrong] > 0 {
		err = errWrong
	}
	return err
}
