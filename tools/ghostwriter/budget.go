package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
)

func (a *app) budgetCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "budget create|show|settle|statement",
		Short: "A privacy budget that several runs draw on",
		Long: "A budget file bounds what several runs on the same data cost together: train --budget FILE reserves the run's whole\n" +
			"plan in it before the first step, and is refused (exit code 4) if everything reserved would exceed it.",
		Example: "  ghostwriter budget create patients.budget --epsilon 8 --delta 1e-6\n" +
			"  ghostwriter train --budget patients.budget --budget-share 0.25 … \n" +
			"  ghostwriter budget show patients.budget",
		Args: cobra.ArbitraryArgs, // so that a wrong sub-command gets the error below
		RunE: func(_ *cobra.Command, args []string) error {
			return fmt.Errorf("%w: budget %q: give one of create, show, settle and statement; see ghostwriter budget --help", errCommandLine, args)
		},
	}
	c.AddCommand(a.budgetCreateCommand(), a.budgetShowCommand(), a.budgetSettleCommand(), a.budgetStatementCommand())
	return c
}

// A budgetInput is what the flags of budget create say.
type budgetInput struct {
	terms      dpadam.BudgetTerms
	relation   string
	unitColumn string
	fixed      bool
	sampleRate float64
	steps      int64
}

func (a *app) budgetCreateCommand() *cobra.Command {
	var in budgetInput
	c := &cobra.Command{
		Use:   "create FILE --epsilon E --delta D",
		Short: "Begin a budget",
		Long: "Create fixes what all runs together may cost. By default settings of a run may depend on what earlier runs released:\n" +
			"the budget is a Renyi filter at one order. It is chosen now, for --sample-rate and --steps of all runs together if they\n" +
			"are given, and can't be changed. With --settings-fixed-in-advance you declare that which runs there are, and their\n" +
			"settings, depend on public data alone; then an accountant prices them, which costs less. Beside FILE lies FILE.head,\n" +
			"by which missing lines are noticed: move and copy both.",
		Example: "  ghostwriter budget create patients.budget --epsilon 8 --delta 1e-6 --sample-rate 0.01 --steps 3000\n" +
			"  ghostwriter budget create patients.budget --epsilon 8 --delta 1e-6 --settings-fixed-in-advance",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := in.resolve(cmd.Context(), cmd.Flags().Changed); err != nil {
				return err
			}
			if err := dpadam.CreateBudget(args[0], in.terms); err != nil {
				return err
			}
			return a.showBudget(args[0])
		},
	}
	fl := c.Flags()
	fl.Float64Var(&in.terms.Epsilon, "epsilon", 0, "epsilon of all runs together")
	fl.Float64Var(&in.terms.Delta, "delta", 0, "delta of all runs together")
	fl.StringVar(&in.relation, "relation", string(dpadam.AddRemove), "neighbouring data sets: add-remove or replace-one")
	fl.StringVar(&in.unitColumn, "unit-column", "", "the column that all runs give by --unit-column (default: the unit is one record)")
	fl.Float64Var(&in.terms.Order, "order", 0, "the Renyi order of the filter (default: chosen)")
	fl.Float64Var(&in.sampleRate, "sample-rate", 0, "choose the order for runs of this sampling rate")
	fl.Int64Var(&in.steps, "steps", 0, "and of so many steps together")
	fl.BoolVar(&in.fixed, "settings-fixed-in-advance", false, "declare that no run's settings depend on another's results")
	fl.StringVar(&in.terms.Accountant, "accountant", "", "the accountant of --settings-fixed-in-advance (default "+dpadam.DefaultAccountant+")")
	return c
}

// resolve refuses what is missing or contradicts itself and chooses the order.
func (in *budgetInput) resolve(ctx context.Context, given func(string) bool) (err error) {
	for _, name := range []string{"epsilon", "delta"} {
		if !given(name) {
			return fmt.Errorf("%w: --%s is missing; see ghostwriter budget create --help", errCommandLine, name)
		}
	}
	hint := given("sample-rate") || given("steps")
	switch {
	case in.fixed && (given("order") || hint):
		return fmt.Errorf("%w: --order, --sample-rate and --steps belong to the filter, not to --settings-fixed-in-advance", errCommandLine)
	case !in.fixed && given("accountant"):
		return fmt.Errorf("%w: --accountant needs --settings-fixed-in-advance: only a filter of one order holds for settings that depend on results", errCommandLine)
	case given("order") && !(in.terms.Order > 1):
		return fmt.Errorf("%w: --order %g: must be above 1", errCommandLine, in.terms.Order)
	case given("order") && hint:
		return fmt.Errorf("%w: give --order, or --sample-rate and --steps to choose it", errCommandLine)
	case hint && !(in.sampleRate > 0 && in.sampleRate <= 1 && in.steps > 0):
		return fmt.Errorf("%w: --sample-rate %g in (0, 1] and --steps %d above 0 go together", errCommandLine, in.sampleRate, in.steps)
	}
	if in.terms.Relation, err = parseRelation(in.relation); err != nil {
		return err
	}
	if in.unitColumn != "" {
		in.terms.Unit = dpadam.UnitOfColumn(in.unitColumn)
	}
	if in.fixed {
		in.terms.Mode = dpadam.BudgetFixed
	}
	if hint {
		in.terms.Order, err = dpadam.ChooseBudgetOrder(ctx, in.terms, in.sampleRate, in.steps)
	}
	return err
}

func (a *app) budgetShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show FILE",
		Short:   "What is taken of a budget, by which run, and what is left",
		Example: "  ghostwriter budget show patients.budget --json",
		Args:    cobra.ExactArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.showBudget(args[0]) },
	}
}

// A budgetReport is the state of a budget; parts are of the whole, 1 for all of it.
type budgetReport struct {
	Budget string `json:"budget"`
	dpadam.BudgetTerms
	Reserved float64                     `json:"reserved"`
	Left     float64                     `json:"left"`
	Runs     []dpadam.BudgetStatementRun `json:"runs"`
}

func (a *app) showBudget(path string) error {
	st, err := readBudgetStatement(path)
	if err != nil {
		return err
	}
	r := budgetReport{Budget: st.Budget, BudgetTerms: st.BudgetTerms, Reserved: st.Reserved, Left: max(0, 1-st.Reserved), Runs: st.Runs}
	return a.print(r, func() {
		a.printf("epsilon %g at delta %g for all runs together, %s, %s\n", r.Epsilon, r.Delta, r.Unit, r.Relation)
		if r.Mode == dpadam.BudgetFilter {
			a.printf("%s at order %g\n", r.Mode, r.Order)
		} else {
			a.printf("%s, accountant %s\n", r.Mode, r.Accountant)
		}
		for _, line := range st.Lines() {
			a.printf("%s\n", line)
		}
	})
}

func readBudgetStatement(path string) (*dpadam.BudgetStatement, error) {
	record, err := dpadam.ReadBudget(path)
	if err != nil {
		return nil, err
	}
	return dpadam.NewBudgetStatement(record)
}

func (a *app) budgetStatementCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "statement FILE",
		Short:   "What a budget proves about all its runs together",
		Example: "  ghostwriter budget statement patients.budget",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			st, err := readBudgetStatement(args[0])
			if err != nil {
				return err
			}
			data := []byte(st.Text())
			if a.json {
				if data, err = st.JSON(); err != nil {
					return fmt.Errorf("writing the statement: %w", err)
				}
			}
			if _, err := a.stdout.Write(data); err != nil {
				return fmt.Errorf("writing the statement: %w", err)
			}
			return nil
		},
	}
}

func (a *app) budgetSettleCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "settle FILE DIR|LEDGER [DIR|LEDGER…]",
		Short: "Give back what a run that ended early did not use",
		Long: "Settle replaces what a run reserved by what its own ledger charged. A run that ends does that by itself; one that was\n" +
			"killed or stopped keeps its reservation, so that it can be resumed, until it is settled; it can be resumed afterwards\n" +
			"too, if the budget still pays for it. Several are the branches of one run that was copied: all of them count.",
		Example: "  ghostwriter budget settle patients.budget tuned/",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := settleBudget(cmd.Context(), args[0], args[1:]); err != nil {
				return err
			}
			return a.showBudget(args[0])
		},
	}
}

// settleBudget holds the ledgers, so that no run charges them meanwhile.
func settleBudget(ctx context.Context, path string, runs []string) (err error) {
	var held []io.Closer
	var records []*dpadam.LedgerRecord
	defer func() {
		for _, h := range held {
			err = errors.Join(err, h.Close())
		}
	}()
	for _, run := range runs {
		if info, err := os.Stat(run); err == nil && info.IsDir() {
			run = filepath.Join(run, "ledger")
		}
		record, hold, err := dpadam.HoldLedger(run)
		if err != nil {
			return err
		}
		held, records = append(held, hold), append(records, record)
	}
	b, err := dpadam.OpenBudget(ctx, path, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	return b.Settle(records...)
}
