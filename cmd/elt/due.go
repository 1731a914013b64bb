package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"elt/internal/alert"
	"elt/internal/event"
	"elt/internal/project"
	"elt/internal/schedule"
	"elt/internal/state"
)

// due is when the work of a job must be done that began, or was to begin, at slot:
// at the first complete_by after it, else before the next slot. Zero: never.
func due(j *project.Job, slot time.Time) time.Time {
	if hour, minute, ok := strings.Cut(j.CompleteBy, ":"); ok {
		if daily, err := schedule.Parse(minute + " " + hour + " * * *"); err == nil {
			return daily.Next(slot)
		}
	}
	if sched, err := schedule.Parse(j.Schedule); err == nil {
		return sched.Next(slot)
	}
	return time.Time{}
}

// slotOf is the slot that a run which began at t works for: the last one of the
// schedule, or t itself without one.
func slotOf(j *project.Job, t time.Time, zone *time.Location) time.Time {
	t = t.In(zone)
	if sched, err := schedule.Parse(j.Schedule); err == nil {
		if last := sched.Last(t); !last.IsZero() {
			return last
		}
	}
	return t
}

// good reports whether a run of a job did its work: what it left for the next run
// to send counts as done.
func good(r state.Run) bool {
	return r.Status == string(event.OK) || r.Status == string(event.Unfinished)
}

// doneFor is a good run of a job that began at or after slot, the first one; false
// when there is none among runs, which are newest first.
func doneFor(job string, slot time.Time, runs []state.Run) (first state.Run, ok bool) {
	for _, r := range runs {
		if r.Job == job && good(r) && !r.StartedAt.Before(slot) {
			first, ok = r, true
		}
	}
	return first, ok
}

// manyRuns is how far back runs of a job are looked for.
const manyRuns = 5000

// late judges the run against timeout and complete_by of its job. Another run that
// did the work of the same slot in time makes this one an extra that cannot be late,
// and so does a time at which the job was not there yet.
func (w *watch) late(ctx context.Context, s *session) ([]alert.Observation, error) {
	j := s.project.Jobs[w.job]
	if j == nil {
		return nil, nil
	}
	o := alert.Observation{Subject: jobSubject + j.Name, At: w.endedAt}
	p := &alert.Problem{State: alert.Stale, Run: w.run, Owner: j.Owner, Runbook: j.Runbook,
		Next: nextOf(s.project, j.Name, w.endedAt), Commands: []string{s.target.Command("elt runs"), "elt logs " + w.run}}
	if w.end.Reason != "" {
		p.State, p.Title, o.Problem = alert.Failed, w.end.Reason, p
		return []alert.Observation{o}, nil
	}
	if j.CompleteBy == "" {
		return []alert.Observation{o}, nil
	}
	slot := slotOf(j, w.began, s.project.Timezone)
	by := due(j, slot)
	runs, err := s.store.Runs(ctx, manyRuns)
	if err != nil {
		return nil, err
	}
	since, err := s.store.JobSince(ctx, j.Name)
	if err != nil {
		return nil, err
	}
	done, ok := doneFor(j.Name, slot, runs)
	switch {
	case ok && (!done.EndedAt.After(by) || by.Before(since)):
	case by.Before(since):
		return nil, nil // it failed, and the first time that it must keep is yet to come
	case w.endedAt.After(by):
		p.Title, o.Problem = lateTitle(w.end, w.endedAt, by), p
	default:
		return nil, nil // it failed, and there is still time
	}
	return []alert.Observation{o}, nil
}

func lateTitle(end event.End, ended, by time.Time) string {
	what := "done"
	if end.Status != event.OK && end.Status != event.Unfinished {
		what = "not done"
	}
	return fmt.Sprintf("%s at %s, %s after complete_by %s", what, ended.In(by.Location()).Format("2 Jan 15:04"), alert.Lasted(ended.Sub(by)), by.Format("15:04"))
}
