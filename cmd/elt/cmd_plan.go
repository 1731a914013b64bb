package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"elt/internal/pipeline"
	"elt/internal/secret"
)

// planFlags are the flags of elt plan.
type planFlags struct {
	selection
	past     backfillFlags
	rows     int
	exitCode bool
}

func (a *app) cmdPlan() *cobra.Command {
	var f planFlags
	cmd := command("day", "plan [SELECTOR…]", "Show what a run would do, and type-check every model; writes nothing (a new PostgreSQL warehouse gets its empty _elt)",
		"elt plan\nelt plan marts.customers+ --exit-code\nelt plan sync:crm_contacts --rows 5", []int{exitOK, exitFailed, exitUsage, exitLocked, exitChange, exitTryAgain},
		func(cmd *cobra.Command, args []string) error {
			return a.doPlan(cmd.Context(), f, args)
		})
	f.add(cmd)
	f.past.add(cmd)
	cmd.Flags().IntVar(&f.rows, "rows", 0, "how many rows of each kind that a sync would push to show, field by field")
	cmd.Flags().BoolVar(&f.exitCode, "exit-code", false,
		"exit 10 when something would change: rows that are new at a source as far as that shows without reading it, a model that is new or whose text or columns changed, rows to push")
	return cmd
}

// doPlan prints a line for every step, those that cannot be planned included, and
// then what is wrong with these.
func (a *app) doPlan(ctx context.Context, f planFlags, args []string) (err error) {
	if f.rows < 0 {
		return usage("--rows %d is no number of rows, expected one such as 5; 0 shows none", f.rows)
	}
	s, err := a.openPlan(ctx)
	if err != nil {
		return err
	}
	defer func() { joinErr(&err, s.close()) }()
	p := a.pipeline(s)
	defer func() { joinErr(&err, p.Close()) }()
	p.ShowRows = f.rows
	a.tellNotActing(s)
	if err := p.Validate(); err != nil {
		return err
	}
	steps, err := f.steps(p, args)
	if err != nil {
		return err
	}
	if err := f.past.apply(ctx, p, steps); err != nil {
		return err
	}
	lines, planErr := p.Plan(ctx, steps)
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), planErr)
	}
	changes, err := a.printPlan(p, lines)
	switch {
	case tryAgain(planErr) && err == nil:
		return &exitError{code: exitTryAgain, err: planErr}
	case planErr != nil || err != nil:
		return &exitError{code: exitFailed, err: errors.Join(planErr, err)}
	case f.exitCode && changes:
		return &exitError{code: exitChange}
	}
	return nil
}

func (a *app) printPlan(p *pipeline.Pipeline, lines []pipeline.Planned) (changes bool, err error) {
	headings := []string{"kind", "name", "would", "detail"}
	if a.flags.JSON {
		headings = append(headings, "changes")
	}
	var table, rows [][]any
	for _, l := range lines {
		rows = append(rows, a.changes(p, l.Name, l.Rows)...)
		changes = changes || l.Changes
		row := []any{l.Kind, l.Name, l.Would, l.Detail}
		if a.flags.JSON {
			row = append(row, l.Changes)
		}
		table = append(table, row)
	}
	if err := a.printValues(headings, table); err != nil || len(rows) == 0 {
		return changes, err
	}
	if !a.flags.JSON {
		fmt.Fprintln(a.out)
	}
	return changes, a.printValues([]string{"sync", "what", "key", "field", "old", "new"}, rows)
}

// openPlan opens the project for a plan. A DuckDB file that does not exist is not
// made: an empty one elsewhere, which goes with the plan, stands for it.
func (a *app) openPlan(ctx context.Context) (*session, error) {
	s, err := a.load()
	if err != nil {
		return nil, err
	}
	name, path, err := engine(s.target)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(s.project.Dir, path)
	}
	if _, err := os.Stat(path); name == "duckdb" && errors.Is(err, os.ErrNotExist) {
		dir, err := os.MkdirTemp("", "elt-plan-")
		if err != nil {
			return nil, errors.Join(fmt.Errorf("folder for the plan: %w", err), s.close())
		}
		s.closers = append(s.closers, func() error { return os.RemoveAll(dir) })
		s.target.Warehouse = secret.New("duckdb:" + filepath.Join(dir, "plan.duckdb"))
	}
	return a.openWarehouse(ctx, s, false)
}
