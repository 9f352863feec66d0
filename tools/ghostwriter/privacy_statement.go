package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

func (a *app) statementCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "statement DIR|LEDGER [DIR|LEDGER…]",
		Short: "What the ledger of a run proves",
		Long: "Statement recomputes the guarantee of a run from its ledger: DIR is the output directory of train, LEDGER the file\n" +
			"itself. Several are the branches of one run that was copied and went on in more than one place: each step of each\n" +
			"branch counts. Different runs are refused; ask privacy epsilon --phases about them together.",
		Example: "  ghostwriter privacy statement tuned/\n" +
			"  ghostwriter privacy statement here/tuned/ there/ledger --json",
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			record, err := readLedgers(args)
			if err != nil {
				return err
			}
			st, err := dpadam.NewStatement(record)
			if err != nil {
				return err
			}
			return a.printStatement(st)
		},
	}
}

// readLedgers reads every ledger before anything is said about one.
func readLedgers(paths []string) (*dpadam.LedgerRecord, error) {
	var records []*dpadam.LedgerRecord
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			path = filepath.Join(path, "ledger")
		}
		r, err := dpadam.ReadLedger(path)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	if len(records) == 1 {
		return records[0], nil
	}
	return dpadam.MergeLedgers(records...)
}

// printStatement prints the same bytes that train writes to release/.
func (a *app) printStatement(st *dpadam.Statement) error {
	data := []byte(st.Text())
	if a.json {
		var err error
		if data, err = st.JSON(); err != nil {
			return fmt.Errorf("writing the statement: %w", err)
		}
	}
	if _, err := a.stdout.Write(data); err != nil {
		return fmt.Errorf("writing the statement: %w", err)
	}
	return nil
}
