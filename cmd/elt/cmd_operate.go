package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"elt/internal/pipeline"
	"elt/transform"
)

func (a *app) addCommands(root *cobra.Command) {
	root.AddCommand(a.cmdRun(), a.cmdPlan(), a.cmdStatus(), a.cmdRuns(), a.cmdLogs(), a.cmdRetry(), a.cmdSchedule(), a.cmdApprove(),
		a.cmdInit(), a.cmdDiscover(), a.cmdValidate(), a.cmdList(), a.cmdShow(), a.cmdQuery(), a.cmdSchema(), a.cmdFake(),
		a.cmdDoctor(), a.cmdQuarantine(), a.cmdExplain(), a.cmdState(), a.cmdVersion())
}

func (a *app) cmdState() *cobra.Command {
	cmd := command("operate", "state", "Show the cursors of all streams", "elt state\nelt state reset shop.orders", []int{exitOK, exitFailed, exitUsage, exitLocked, exitTryAgain},
		func(cmd *cobra.Command, args []string) error {
			return a.look(cmd.Context(), func(ctx context.Context, s *session) error {
				cursors, err := s.store.Cursors(ctx)
				if err != nil {
					return err
				}
				var table [][]string
				for _, name := range slices.Sorted(maps.Keys(cursors)) {
					table = append(table, []string{name, string(cursors[name])})
				}
				return a.print([]string{"stream", "cursor"}, table)
			})
		})
	cmd.Args = noArgs
	reset := &cobra.Command{Use: "reset STREAM", Short: "Forget the cursor of a stream, so that the next run reads it from the beginning",
		Example: "  elt state reset shop.orders", Long: "Forget the cursor of a stream, so that the next run reads it from the beginning.\n" + exitHelp(exitOK, exitFailed, exitUsage, exitLocked, exitTryAgain),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) != 1 {
				return usage("state reset takes the name of a stream, such as shop.orders")
			}
			s, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer func() { joinErr(&err, s.close()) }()
			cursors, err := s.store.Cursors(cmd.Context())
			if err != nil {
				return err
			}
			if _, ok := cursors[args[0]]; !ok {
				return usage("no cursor of %q, expected one of %s", args[0], strings.Join(slices.Sorted(maps.Keys(cursors)), ", "))
			}
			if err := s.store.ResetCursor(cmd.Context(), args[0]); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s: the next run reads from the beginning\n", args[0])
			return nil
		}}
	cmd.AddCommand(reset)
	return cmd
}

func (a *app) cmdDoctor() *cobra.Command {
	cmd := command("operate", "doctor", "Check that everything a run needs is there: project, warehouse, sources, destinations, without sending anything", "elt doctor --target prod",
		[]int{exitOK, exitFailed, exitUsage, exitLocked, exitTryAgain},
		func(cmd *cobra.Command, args []string) (err error) {
			ctx := cmd.Context()
			s, err := a.open(ctx, false)
			if err != nil {
				return err
			}
			defer func() { joinErr(&err, s.close()) }()
			table, bad := a.examine(ctx, s)
			if err := a.print([]string{"what", "name", "verdict"}, table); err != nil {
				return err
			}
			if bad > 0 {
				return &exitError{code: exitFailed, err: fmt.Errorf("%d of %d checks failed", bad, len(table))}
			}
			return nil
		})
	cmd.Args = noArgs
	return cmd
}

// examine tries all that a run of s uses: a line each with its verdict, and how
// many are bad.
func (a *app) examine(ctx context.Context, s *session) (table [][]string, bad int) {
	_, shown, _ := engine(s.target)
	table = [][]string{{"project", s.project.Name, "ok"}, {"warehouse", shown, "ok"}}
	note := func(kind, name, verdict string, err error) {
		if err != nil {
			verdict, bad = a.redact(err.Error()), bad+1
		}
		table = append(table, []string{kind, name, verdict})
	}
	for _, name := range slices.Sorted(maps.Keys(s.project.Sources)) {
		note("source", name, "ok", a.reach(ctx, s, name))
	}
	p := a.pipeline(s)
	_, err := transform.Plan(ctx, s.db, s.graph.Models, p.PlanOptions())
	note("models", fmt.Sprint(len(s.graph.Models)), "ok", err)
	for _, name := range slices.Sorted(maps.Keys(s.project.Syncs)) {
		verdict, err := p.Reach(ctx, s.project.Syncs[name])
		note("sync", name, verdict, err)
	}
	return table, bad
}

// reach opens a source and asks for its declared streams.
func (a *app) reach(ctx context.Context, s *session, name string) error {
	src := s.project.Sources[name]
	source, err := pipeline.OpenSource(ctx, a.sources(), s.project, src)
	if err != nil {
		return err
	}
	_, err = source.Streams(ctx, slices.Sorted(maps.Keys(src.Streams))...)
	return errors.Join(err, source.Close())
}
