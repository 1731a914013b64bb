package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"elt/activate"
	"elt/internal/check"
	"elt/internal/project"
	"elt/internal/report"
	"elt/internal/schedule"
	"elt/internal/state"
	"elt/internal/yamlx"
)

// staleness is what --fail-if-stale asks for.
type staleness struct {
	asked bool
	limit time.Duration // of every table; 0: its decision window
}

// declared is the value of --fail-if-stale without one.
const declared = "as declared"

func (a *app) cmdStatus() *cobra.Command {
	var failIfStale string
	cmd := command("day", "status", "Show the last run and how old each table's data are; works while a run is on",
		"elt status\nelt status --fail-if-stale --target prod\nelt status --fail-if-stale 6h", []int{exitOK, exitFailed, exitUsage, exitCheck, exitLocked, exitTryAgain},
		func(cmd *cobra.Command, args []string) error {
			want, err := parseStaleness(cmd.Flags().Changed("fail-if-stale"), failIfStale, args)
			if err != nil {
				return err
			}
			return a.look(cmd.Context(), func(ctx context.Context, s *session) error { return a.status(ctx, s, want) })
		})
	cmd.Use = "status [--fail-if-stale [DURATION]]"
	cmd.Flags().StringVar(&failIfStale, "fail-if-stale", declared, "exit 3 when a table is older than its decision_window (or than DURATION), or a job was not done in time; judged as of now, for a monitor")
	cmd.Flags().Lookup("fail-if-stale").NoOptDefVal = declared
	cmd.Flags().Lookup("fail-if-stale").DefValue = ""
	return cmd
}

// parseStaleness reads --fail-if-stale, --fail-if-stale=6h and --fail-if-stale 6h.
func parseStaleness(asked bool, value string, args []string) (staleness, error) {
	out := staleness{asked: asked}
	if asked && value == declared && len(args) == 1 {
		value, args = args[0], nil
	}
	if len(args) > 0 {
		return out, usage("elt status takes no arguments, got %q\n     see: elt status --help", args)
	}
	if !asked || value == declared {
		return out, nil
	}
	d, err := yamlx.ParseDuration(value)
	if err != nil || d <= 0 {
		return out, usage("--fail-if-stale %q is no duration, expected one such as 6h, 90m or 2d", value)
	}
	out.limit = d
	return out, nil
}

func (a *app) status(ctx context.Context, s *session, want staleness) error {
	runs, err := s.store.Runs(ctx, manyRuns)
	if err != nil {
		return err
	}
	if len(runs) == 0 {
		fmt.Fprintf(a.out, "%s · %s · no run yet; start one: elt run\n", s.project.Name, s.target.Name)
	} else if !a.flags.JSON {
		r, state := runs[0], runs[0].Status
		if r.Gone() {
			state = died + ": its process has ended, and the next run closes it and goes on"
		}
		fmt.Fprintf(a.out, "%s · %s · run %s, started %s: %s\n\n", s.project.Name, s.target.Name, r.ID, r.StartedAt.In(s.project.Timezone).Format("2006-01-02 15:04:05"), state)
	}
	stale, err := a.tables(ctx, s, want)
	if err != nil {
		return err
	}
	if err := a.printHolds(ctx, s); err != nil {
		return err
	}
	if err := a.printWaits(ctx, s); err != nil {
		return err
	}
	overdue, err := s.jobsOverdue(ctx, runs)
	if err != nil {
		return err
	}
	stale = append(stale, overdue...)
	if !want.asked || len(stale) == 0 {
		return nil
	}
	return &exitError{code: exitCheck, err: fmt.Errorf("stale: %s", strings.Join(stale, "\n     stale: "))}
}

// tables prints how old each table is, and returns what is too old or was never
// loaded though it has a decision window, each with its age and its limit.
func (a *app) tables(ctx context.Context, s *session, want staleness) (stale []string, err error) {
	fresh, err := s.store.Freshness(ctx)
	if err != nil {
		return nil, err
	}
	windows := s.windows()
	var table [][]string
	for _, f := range fresh {
		limit := windows[f.Relation]
		if _, known := windows[f.Relation]; known && want.limit > 0 {
			limit = want.limit
		}
		verdict := check.Freshness(f.Relation, f.HighWater, s.now, limit)
		status := f.Status
		if !verdict.OK && verdict.Severity == check.Error {
			status = "stale"
			stale = append(stale, fmt.Sprintf("%s is %s, expected %s", f.Relation, verdict.Observed, verdict.Expected))
		}
		table = append(table, []string{f.Relation, verdict.Observed, verdict.Expected, f.UpdatedAt.In(s.project.Timezone).Format("2006-01-02 15:04"), status})
	}
	for _, relation := range slices.Sorted(maps.Keys(windows)) {
		loaded := slices.ContainsFunc(fresh, func(f state.Freshness) bool { return f.Relation == relation })
		if !loaded && windows[relation] > 0 {
			verdict := check.Freshness(relation, time.Time{}, s.now, windows[relation])
			stale = append(stale, fmt.Sprintf("%s was never loaded, expected %s", relation, verdict.Expected))
		}
	}
	return stale, a.print([]string{"table", "data", "expected", "loaded_at", "status"}, table)
}

// printWaits lists the syncs whose account has asked not to be called for a time.
func (a *app) printWaits(ctx context.Context, s *session) error {
	waits, err := a.pipeline(s).Waits(ctx)
	if err != nil || len(waits) == 0 {
		return err
	}
	var table [][]string
	for _, w := range waits {
		table = append(table, []string{w.Sync, w.Connection, w.Until.Format(minuteLayout), activate.Silence})
	}
	if !a.flags.JSON {
		fmt.Fprintf(a.out, "\n%s told to wait by the destination: nothing is sent before\n", report.Several(len(waits), "sync"))
	}
	return a.print([]string{"waits", "connection", "until", "reason"}, table)
}

// jobsOverdue are the jobs of which no run has done in time what was due last. A
// job that has never run counts where its runs have effects: on a laptop it need
// not run. What was due before a job that has run was there does not count.
func (s *session) jobsOverdue(ctx context.Context, runs []state.Run) (overdue []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(s.project.Jobs)) {
		j := s.project.Jobs[name]
		slot, by := lastDue(j, s.now.In(s.project.Timezone))
		if slot.IsZero() {
			continue
		}
		mine := slices.DeleteFunc(slices.Clone(runs), func(r state.Run) bool { return r.Job != name })
		if len(mine) == 0 && s.target.Push == "fake" {
			continue
		}
		if _, done := doneFor(name, slot, mine); done {
			continue
		}
		// Without complete_by a run that is on is in time.
		if j.CompleteBy == "" && slices.ContainsFunc(mine, func(r state.Run) bool { return r.Status == state.Running && !r.Gone() }) {
			continue
		}
		since, err := s.store.JobSince(ctx, name)
		if err != nil {
			return nil, err
		}
		if by.Before(since) {
			continue
		}
		last := "it has never run here"
		if i := slices.IndexFunc(mine, good); i >= 0 {
			last = "the last good one ended " + mine[i].EndedAt.In(by.Location()).Format(minuteLayout)
		} else if len(mine) > 0 {
			last = "none was good since " + mine[len(mine)-1].StartedAt.In(by.Location()).Format(minuteLayout)
		}
		overdue = append(overdue, fmt.Sprintf("job %s: no good run since %s, due by %s; %s", name, slot.Format(minuteLayout), by.Format(minuteLayout), last))
	}
	return overdue, nil
}

const minuteLayout = "2006-01-02 15:04"

// lastDue is the latest slot of a job whose work had to be done before now, and
// when; zero for a job that is never due. Without a schedule complete_by alone says
// that there is one a day.
func lastDue(j *project.Job, now time.Time) (slot, by time.Time) {
	sched, err := schedule.Parse(j.Schedule)
	if err != nil {
		hour, minute, ok := strings.Cut(j.CompleteBy, ":")
		if !ok {
			return slot, by
		}
		if sched, err = schedule.Parse(minute + " " + hour + " * * *"); err != nil {
			return slot, by
		}
		by = sched.Last(now)
		return sched.Last(by.Add(-1)), by
	}
	const farthest = 2000 // slots between complete_by and now: more than a day of minutes
	slot = sched.Last(now)
	for range farthest {
		if slot.IsZero() {
			break
		}
		if by = due(j, slot); !by.After(now) {
			return slot, by
		}
		slot = sched.Last(slot.Add(-1))
	}
	return time.Time{}, time.Time{}
}

// windows are the decision windows by relation.
func (s *session) windows() map[string]time.Duration {
	out := map[string]time.Duration{}
	for _, src := range s.project.Sources {
		for _, st := range src.Streams {
			out[src.Name+"."+st.Name] = st.DecisionWindow
		}
	}
	for _, m := range s.graph.Models {
		out[m.FullName()] = m.DecisionWindow
	}
	return out
}
