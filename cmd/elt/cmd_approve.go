package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"elt/activate"
	"elt/internal/pipeline"
	"elt/internal/project"
	"elt/internal/report"
	"elt/internal/state"
	"elt/scheduler"
)

type approveFlags struct {
	yes  bool
	rows int
}

func (a *app) cmdApprove() *cobra.Command {
	var f approveFlags
	cmd := command("day", "approve RUN [SYNC…]", "Show what a run that its guards hold would push, and push exactly that",
		"elt status\nelt approve 7f3a2c\nelt approve 7f3a2c crm_contacts --yes",
		[]int{exitOK, exitFailed, exitUsage, exitUnfinished, exitLocked, exitTryAgain, exitInterrupted},
		func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("approve takes the run that holds a sync, such as 7f3a2c\n     see what is held: elt status")
			}
			return a.approve(cmd.Context(), args[0], args[1:], f)
		})
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask: push if the plan is still the one that was held")
	cmd.Flags().IntVar(&f.rows, "rows", 5, "how many rows of each kind to show")
	return cmd
}

func (a *app) approve(ctx context.Context, id string, names []string, f approveFlags) (err error) {
	in, terminal := a.in.(*os.File)
	if terminal = terminal && term.IsTerminal(int(in.Fd())); !f.yes && !terminal {
		return usage("approve asks before it pushes, and there is no terminal to ask on\n     elt approve %s --yes pushes if the plan is still the one that was held", id)
	}
	s, err := a.open(ctx, false)
	if err != nil {
		return err
	}
	defer func() { joinErr(&err, s.close()) }()
	p := a.pipeline(s)
	defer func() { joinErr(&err, p.Close()) }()
	if p.Push == "off" {
		return usage("target %s pushes nowhere (push: off)", s.target.Name)
	}
	if err := p.Validate(); err != nil {
		return err
	}
	held, err := a.heldBy(ctx, s, p, id, names, f.rows)
	if err != nil {
		return err
	}
	if err := a.printHeld(p, held); err != nil {
		return err
	}
	if err := changed(held, s.target); err != nil {
		return err
	}
	if !f.yes && !agreed(a.in, a.err) {
		return &exitError{code: exitUnfinished, err: errors.New("nothing was pushed: the plan stays held")}
	}
	return a.pushApproved(ctx, s, p, held)
}

// heldBy are the syncs that run id holds, those called names when there are any.
func (a *app) heldBy(ctx context.Context, s *session, p *pipeline.Pipeline, id string, names []string, rows int) ([]pipeline.HeldSync, error) {
	run, ok, err := s.store.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, usage("no run %q; list them: elt runs", id)
	}
	held, err := p.HeldBy(ctx, run.ID, rows)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if !slices.ContainsFunc(held, func(h pipeline.HeldSync) bool { return h.Sync.Name == name }) {
			return nil, usage("run %s holds no sync %q; see what is held: elt status", run.ID, name)
		}
	}
	if len(names) > 0 {
		held = slices.DeleteFunc(held, func(h pipeline.HeldSync) bool { return !slices.Contains(names, h.Sync.Name) })
	}
	if len(held) == 0 {
		return nil, usage("run %s holds nothing (any more); see what is held: elt status", run.ID)
	}
	return held, nil
}

// printHeld tells of each sync why it is held, what it would push in numbers, and
// some of the rows field by field.
func (a *app) printHeld(p *pipeline.Pipeline, held []pipeline.HeldSync) error {
	var table [][]any
	for _, h := range held {
		if !a.flags.JSON {
			fmt.Fprintf(a.out, "sync %s to %s, held by run %s\n  %s\n  %s\n", h.Sync.Name, h.Sync.To, h.Hold.RunID, h.Hold.Reason, counted(h.Now.Outline))
		}
		table = append(table, a.changes(p, h.Sync.Name, h.Now.Rows)...)
	}
	if !a.flags.JSON {
		fmt.Fprintln(a.out)
	}
	return a.printValues([]string{"sync", "what", "key", "field", "old", "new"}, table)
}

// changes are lines of a table, one for each field of each row of a plan.
func (a *app) changes(p *pipeline.Pipeline, sync string, shown []activate.Shown) [][]any {
	var table [][]any
	s := p.Project.Syncs[sync]
	for _, r := range shown {
		key := document(p.MaskPushed(s, r.Key))
		fields := p.Differences(s, r)
		if r.What == "delete" || len(fields) == 0 {
			fields = []pipeline.FieldChange{{}}
		}
		for _, f := range fields {
			table = append(table, []any{sync, r.What, key, nothing(f.Field), value(f.Old), value(f.New)})
		}
	}
	return table
}

// value is a JSON text as a value of a table; nil where there is none.
func value(text string) any {
	if !json.Valid([]byte(text)) {
		return nothing(text)
	}
	return json.RawMessage(text)
}

// nothing is nil for an empty text.
func nothing(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// counted is a plan in numbers.
func counted(o activate.Outline) string {
	parts := []string{fmt.Sprintf("%d to create", o.Creates), fmt.Sprintf("%d to change", o.Changes), fmt.Sprintf("%d to delete", o.Deletes)}
	if o.Again > 0 {
		parts = append(parts, fmt.Sprintf("%d again, whose last outcome is not known", o.Again))
	}
	return strings.Join(parts, ", ") + fmt.Sprintf("; %d there", o.There)
}

// changed refuses plans that are not those that were held.
func changed(held []pipeline.HeldSync, target *project.Target) error {
	var errs []error
	for _, h := range held {
		if h.Changed {
			errs = append(errs, fmt.Errorf("the plan of %s is not the one that run %s held: then %s; now %s\n     nothing was pushed; the next run judges it anew: %s",
				h.Sync.Name, h.Hold.RunID, counted(h.Then), counted(h.Now.Outline), target.Command("elt run sync:"+h.Sync.Name)))
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return &exitError{code: exitUnfinished, err: errors.Join(errs...)}
}

// agreed asks on a terminal; only y or yes is leave.
func agreed(in io.Reader, out io.Writer) bool {
	fmt.Fprint(out, "Push this? [y/N] ")
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && line == "" {
		return false
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes"
}

// pushApproved pushes the plans that were shown, and no others, as a run of its own.
func (a *app) pushApproved(ctx context.Context, s *session, p *pipeline.Pipeline, held []pipeline.HeldSync) error {
	p.Approved = map[string]string{}
	for _, h := range held {
		p.Approved[h.Sync.Name] = h.Hold.PlanHash
	}
	steps := slices.DeleteFunc(p.Steps(), func(step scheduler.Step) bool { return step.Kind != pipeline.Sync || p.Approved[step.Name] == "" })
	command := "elt approve " + held[0].Hold.RunID + " " + strings.Join(slices.Sorted(maps.Keys(p.Approved)), " ")
	opts := pipeline.RunOptions{Retries: defaultRetries, Record: state.Run{Command: command, Trigger: "approve"}}
	return ended(a.execute(ctx, s, p, steps, opts))
}

// printHolds lists what is held, the last hold of each sync; nothing when nothing is.
func (a *app) printHolds(ctx context.Context, s *session) error {
	holds, err := a.pipeline(s).Holds(ctx, "")
	if err != nil {
		return err
	}
	var table [][]any
	seen := map[string]int{}
	for _, h := range holds { // newest first
		since := h.HeldAt.In(s.project.Timezone).Format("2006-01-02 15:04")
		if at, ok := seen[h.Sync]; ok {
			table[at][1] = since
			continue
		}
		seen[h.Sync] = len(table)
		table = append(table, []any{h.Sync, since, h.Reason, s.target.Command("elt approve " + h.RunID)})
	}
	if len(table) == 0 {
		return nil
	}
	if !a.flags.JSON {
		fmt.Fprintf(a.out, "\n%s held back by guards: nothing of them is sent\n", report.Several(len(table), "sync"))
	}
	return a.printValues([]string{"held", "since", "reason", "approve"}, table)
}
