package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"elt/internal/report"
	"elt/internal/warehouse"
	"elt/internal/yamlx"
	"elt/window"
)

// look runs fn on the project with its warehouse opened for queries alone.
func (a *app) look(ctx context.Context, fn func(ctx context.Context, s *session) error) (err error) {
	s, err := a.open(ctx, true)
	if err != nil {
		return err
	}
	defer func() { joinErr(&err, s.close()) }()
	return fn(ctx, s)
}

func (a *app) cmdRuns() *cobra.Command {
	var limit int
	cmd := command("day", "runs [RUN]", "List the last runs, or the steps of one", "elt runs\nelt runs 7f3a2c", []int{exitOK, exitFailed, exitUsage, exitLocked, exitTryAgain},
		func(cmd *cobra.Command, args []string) error {
			return a.look(cmd.Context(), func(ctx context.Context, s *session) error {
				if len(args) > 0 {
					return a.steps(ctx, s, args[0])
				}
				return a.runs(ctx, s, limit)
			})
		})
	cmd.Args = atMostOne
	cmd.Flags().IntVar(&limit, "limit", 20, "how many")
	return cmd
}

// died is the status of a run whose process has ended without recording it.
const died = "died"

func (a *app) runs(ctx context.Context, s *session, limit int) error {
	list, err := s.store.Runs(ctx, limit)
	if err != nil {
		return err
	}
	var table [][]any
	for _, r := range list {
		var took, exit any // neither is known before the end
		status := r.Status
		switch {
		case r.Gone():
			status = died
		case !r.EndedAt.IsZero():
			took, exit = report.Seconds(r.EndedAt.Sub(r.StartedAt)), r.Exit
		}
		table = append(table, []any{r.ID, r.StartedAt.In(s.project.Timezone).Format("2006-01-02 15:04:05"), took, status, exit, r.Command})
	}
	return a.printValues([]string{"run", "started", "took", "status", "exit", "command"}, table)
}

func (a *app) steps(ctx context.Context, s *session, run string) error {
	list, err := s.store.Steps(ctx, run)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return usage("no run %q; list them: elt runs", run)
	}
	var table [][]string
	for _, st := range list {
		table = append(table, []string{st.Kind, st.Name, st.Status, report.Seconds(st.EndedAt.Sub(st.StartedAt)), st.Error})
	}
	return a.print([]string{"kind", "step", "status", "took", "error"}, table)
}

func (a *app) cmdLogs() *cobra.Command {
	cmd := command("day", "logs [RUN]", "Print the log of a run, of the last one by default", "elt logs\nelt logs 7f3a2c", []int{exitOK, exitFailed, exitUsage},
		func(cmd *cobra.Command, args []string) (err error) {
			s, err := a.load()
			if err != nil {
				return err
			}
			defer func() { joinErr(&err, s.close()) }()
			return a.logs(filepath.Join(s.project.Dir, ".elt", "logs"), args)
		})
	cmd.Args = atMostOne
	return cmd
}

func (a *app) logs(dir string, args []string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var runs []string
	var last string
	newest := time.Time{}
	for _, e := range entries {
		run, isLog := strings.CutSuffix(e.Name(), ".jsonl")
		info, err := e.Info()
		if !isLog || err != nil {
			continue
		}
		if runs = append(runs, run); info.ModTime().After(newest) {
			newest, last = info.ModTime(), run
		}
	}
	switch {
	case len(runs) == 0:
		return fmt.Errorf("no run has left a log in %s yet; start one: elt run", dir)
	case len(args) > 0 && !slices.Contains(runs, args[0]):
		return usage("no log of a run %q in %s; %slist the runs: elt runs", args[0], dir, meant(args[0], runs))
	case len(args) > 0:
		last = args[0]
	}
	f, err := os.Open(filepath.Join(dir, last+".jsonl"))
	if err != nil {
		return fmt.Errorf("log of run %s: %w", last, err)
	}
	defer f.Close()
	_, err = io.Copy(a.out, f)
	return err
}

// meant is the nearest of names as a hint before more text; "" when none is near.
func meant(name string, names []string) string {
	if hint := yamlx.DidYouMean(name, names); hint != "" {
		return hint + " "
	}
	return ""
}

func atMostOne(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usage("%s takes one argument at most, got %q", cmd.CommandPath(), args)
	}
	return nil
}

func (a *app) cmdQuery() *cobra.Command {
	var limit int
	var showPII bool
	cmd := command("build", "query SQL", "Run one SELECT on the warehouse, which it cannot change",
		`elt query "select * from elt.freshness"`, []int{exitOK, exitFailed, exitUsage, exitLocked, exitTryAgain},
		func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("query takes one SELECT, in quotes")
			}
			return a.look(cmd.Context(), func(ctx context.Context, s *session) error { return a.query(ctx, s, args[0], limit, showPII) })
		})
	addShowPII(cmd, &showPII)
	cmd.Flags().IntVar(&limit, "limit", 100, "most rows; 0: all")
	return cmd
}

// query refuses everything but a SELECT of tables, since the engine itself would
// also write files and attach databases.
func (a *app) query(ctx context.Context, s *session, q string, limit int, showPII bool) error {
	parser, err := parserFor(s.target)
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(q)
	if err := errors.Join(err, parser.Close()); err != nil {
		return usage("%w", err)
	}
	r, err := s.db.Query(ctx, strings.TrimRight(strings.TrimSpace(q), ";"))
	if err != nil {
		return err
	}
	if showPII {
		return a.printReader(r, limit, nil)
	}
	return a.printReader(r, limit, a.maskQuery(s, parsed.Flow))
}

func (a *app) cmdShow() *cobra.Command {
	var limit int
	var sql, failed, showPII bool
	cmd := command("build", "show TABLE", "Show rows of a table or model, its SQL, or the rows that failed its checks",
		"elt show marts.customers --limit 20\nelt show marts.daily_revenue --sql\nelt show shop.orders --failed", []int{exitOK, exitFailed, exitUsage, exitLocked, exitTryAgain},
		func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("show takes one name, such as marts.customers; see what there is: elt ls")
			}
			if sql {
				return a.showSQL(args[0])
			}
			return a.look(cmd.Context(), func(ctx context.Context, s *session) error {
				if failed {
					return a.showFailed(ctx, s, args[0])
				}
				schema, name, ok := strings.Cut(args[0], ".")
				if !ok {
					return usage("%q is no table, expected schema.table", args[0])
				}
				table := warehouse.Table{Schema: s.target.SchemaPrefix + schema, Name: name}
				r, err := s.db.Query(ctx, "SELECT * FROM "+table.String()+fmt.Sprintf(" LIMIT %d", max(limit, 1)))
				if err != nil {
					return s.notThere(ctx, args[0], table, err)
				}
				if showPII {
					return a.printReader(r, 0, nil)
				}
				return a.printReader(r, 0, a.maskTable(s, args[0]))
			})
		})
	addShowPII(cmd, &showPII)
	cmd.Flags().IntVar(&limit, "limit", 10, "how many rows")
	cmd.Flags().BoolVar(&sql, "sql", false, "print the SQL of the model")
	cmd.Flags().BoolVar(&failed, "failed", false, "print the findings that failed, with sample rows")
	return cmd
}

func (a *app) showSQL(name string) (err error) {
	s, err := a.load()
	if err != nil {
		return err
	}
	defer func() { joinErr(&err, s.close()) }()
	for _, m := range s.graph.Models {
		if m.FullName() == name {
			fmt.Fprintln(a.out, m.SQL(window.Window{}, s.now))
			return nil
		}
	}
	return usage("no model %q; see what there is: elt ls", name)
}

func (a *app) showFailed(ctx context.Context, s *session, name string) error {
	list, err := s.store.Findings(ctx, "", name, 200)
	if err != nil {
		return err
	}
	var table [][]string
	for _, f := range list {
		if !f.OK {
			table = append(table, []string{f.RunID, f.Check, f.Severity, f.Observed, f.Expected, strings.Join(f.Samples, " ")})
		}
	}
	return a.print([]string{"run", "check", "severity", "observed", "expected", "samples"}, table)
}
