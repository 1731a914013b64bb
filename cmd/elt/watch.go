package main

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"elt/internal/alert"
	"elt/internal/check"
	"elt/internal/event"
	"elt/internal/pipeline"
	"elt/internal/project"
	"elt/internal/report"
	"elt/internal/schedule"
	"elt/internal/state"
)

// watch is a sink that keeps what alerts need of a run.
type watch struct {
	run, job string
	began    time.Time // zero: the run never began
	steps    []seenStep
	end      event.End
	endedAt  time.Time
	asOf     bool // its clock was not now
}

type seenStep struct {
	event.Step
	at time.Time
}

// Emit implements [event.Sink].
func (w *watch) Emit(e event.Event) {
	switch {
	case e.Start != nil:
		w.run, w.began, w.asOf = e.Run, e.At, !e.Start.AsOf.IsZero()
	case e.Step != nil:
		w.steps = append(w.steps, seenStep{*e.Step, e.At})
	case e.End != nil:
		w.end, w.endedAt = *e.End, e.At
	}
}

// The subjects of alerts are steps by their name, and what is prefixed so.
const (
	ageSubject   = "age of "
	jobSubject   = "job "
	startSubject = "start of job "
)

func isStart(subject string) bool { return strings.HasPrefix(subject, startSubject) }

// subjectExists reports whether a subject is still of the project.
func (s *session) subjectExists(subject string) bool {
	if job, ok := strings.CutPrefix(subject, startSubject); ok {
		return s.project.Jobs[job] != nil
	}
	if job, ok := strings.CutPrefix(subject, jobSubject); ok {
		return s.project.Jobs[job] != nil
	}
	if relation, ok := strings.CutPrefix(subject, ageSubject); ok {
		return s.windows()[relation] > 0
	}
	_, table := s.windows()[subject]
	return table || s.project.Syncs[subject] != nil
}

// observations are what the run saw of its steps, of the age of all tables that
// may not grow old, and of its job.
func (w *watch) observations(ctx context.Context, s *session) ([]alert.Observation, error) {
	fresh, err := s.store.Freshness(ctx)
	if err != nil {
		return nil, err
	}
	var seen []alert.Observation
	for _, job := range s.project.Jobs { // this run has begun
		seen = append(seen, alert.Observation{Subject: startOf(job.Name), At: w.began})
	}
	steps, err := w.stepsSeen(ctx, s, fresh)
	if err != nil {
		return nil, err
	}
	seen = append(seen, steps...)
	if w.asOf { // of another day: how old data are, and whether a job is late, it cannot tell
		return seen, nil
	}
	seen = append(seen, w.ages(s, fresh)...)
	late, err := w.late(ctx, s)
	return append(seen, late...), err
}

// stepsSeen are the steps that say how they are: not those that were blocked,
// left out or cut off, nor those that another run has ended since.
func (w *watch) stepsSeen(ctx context.Context, s *session, fresh []state.Freshness) ([]alert.Observation, error) {
	var later map[string]time.Time
	var findings []state.Finding
	if w.end.Status != event.OK {
		var err error
		if later, err = s.store.EndedSince(ctx, w.run, w.began); err != nil {
			return nil, err
		}
		if findings, err = s.store.Findings(ctx, w.run, "", 0); err != nil {
			return nil, err
		}
	}
	var seen []alert.Observation
	for _, st := range w.steps {
		if later[st.Name].After(st.at) {
			continue
		}
		o := alert.Observation{Subject: st.Name, At: st.at}
		switch st.Status {
		case event.OK, "":
		case event.Failed, event.CheckFailed, event.Unfinished, event.Held:
			o.Problem = w.problem(s, st.Step, findings, fresh)
		default:
			continue
		}
		seen = append(seen, o)
	}
	return seen, nil
}

// problem is a step that did not end well, as people are told of it.
func (w *watch) problem(s *session, st event.Step, findings []state.Finding, fresh []state.Freshness) *alert.Problem {
	p := &alert.Problem{State: alert.Failed, Run: w.run, Readers: s.stillSee(st, fresh), Blocked: w.blockedBy(st.Name),
		Next: nextOf(s.project, w.job, w.endedAt), Owner: s.ownerOf(st)}
	if job := s.project.Jobs[w.job]; job != nil {
		p.Runbook = job.Runbook
	}
	for _, f := range slices.Backward(findings) { // newest first
		if f.Relation == st.Name && !f.OK && f.Severity == string(check.Error) {
			p.Causes = append(p.Causes, alert.Cause{Check: f.Check, Observed: f.Observed, Expected: f.Expected, Samples: withoutOwn(f.Samples)})
		}
	}
	p.Commands = append(p.Commands, "elt logs "+w.run)
	for _, warning := range st.Result.Warnings {
		if strings.HasPrefix(warning.Hint, "elt ") && !strings.Contains(warning.Hint, ",") {
			p.Commands = append(p.Commands, s.target.Command(warning.Hint))
		}
	}
	if st.Status == event.Failed || st.Status == event.CheckFailed {
		p.Commands = append(p.Commands, s.target.Command("elt retry "+w.run))
	}
	p.Commands = slices.Compact(p.Commands)
	switch st.Status {
	case event.Failed:
		p.Causes = nil // it has not come to an end that checks could judge
		p.Title, p.Error = headline(st.Error), st.Error
	case event.CheckFailed:
		p.Title = "a check failed"
		if len(p.Causes) > 0 {
			c := p.Causes[0]
			p.Title = fmt.Sprintf("%s: %s, expected %s", c.Check, c.Observed, c.Expected)
		}
	case event.Unfinished:
		p.State, p.Causes, p.Title = alert.Held, nil, unfinished(st)
		p.Next = restOf(st, s.target) + strings.TrimPrefix(p.Next, "the next run tries again")
	case event.Held:
		p.State, p.Causes, p.Title = alert.Held, nil, unfinished(st)
		p.Next = "nothing is sent until a plan is within the guards or this one is approved"
	}
	return p
}

// ownFields are elt's own columns in a sample, which tell people nothing.
var ownFields = regexp.MustCompile(`,?"_elt_[a-z_]+":"[^"]*"`)

func withoutOwn(samples []string) []string {
	var out []string
	for _, s := range samples {
		out = append(out, ownFields.ReplaceAllString(s, ""))
	}
	return out
}

// unfinished says with its numbers what a sync left undone.
func unfinished(st event.Step) string {
	var texts []string
	for _, w := range st.Result.Warnings {
		if w.Cause { // others stand also when it has recovered
			texts = append(texts, w.Text)
		}
	}
	for _, c := range st.Result.Counts {
		if c.Label == "deferred" || c.Label == "unknown" {
			texts = append(texts, report.Number(c.N)+" "+c.Label)
		}
	}
	return headline(strings.Join(texts, ", "))
}

// restOf is what the next run does about what a sync left undone: refused rows are
// not sent again as they are, and some of unknown outcome wait for a person.
func restOf(st event.Step, target *project.Target) string {
	for _, w := range st.Result.Warnings {
		if strings.HasPrefix(w.Hint, "elt quarantine resolve ") {
			return "nothing is sent for rows of unknown outcome until you say whether they are there; the rest is sent"
		}
	}
	for _, c := range st.Result.Counts {
		if c.Label == "deferred" || c.Label == "unknown" {
			return "the next run sends the rest"
		}
	}
	return "rows are sent again when they have changed, or after " + target.Command("elt quarantine "+st.Name+" --release")
}

// blockedBy are the steps that wait for one, through any number of others.
func (w *watch) blockedBy(name string) []string {
	by := map[string]string{}
	for _, st := range w.steps {
		if st.Status == event.Blocked {
			by[st.Name] = st.Needs
		}
	}
	var out []string
	for _, st := range w.steps {
		root, n := st.Name, 0
		for by[root] != "" && n <= len(by) {
			root, n = by[root], n+1
		}
		if st.Status == event.Blocked && root == name {
			out = append(out, st.Name)
		}
	}
	return out
}

// stillSee says what readers of a step's table find there now.
func (s *session) stillSee(st event.Step, fresh []state.Freshness) string {
	if st.Kind == pipeline.Sync {
		return s.project.Syncs[st.Name].To + " keeps what it has"
	}
	i := slices.IndexFunc(fresh, func(f state.Freshness) bool { return f.Relation == st.Name })
	if i < 0 {
		return st.Name + " has never been loaded: there is nothing to read"
	}
	const layout = "2 Jan 15:04"
	if f := fresh[i]; !f.HighWater.IsZero() {
		return st.Name + " still serves the data of " + f.HighWater.In(s.project.Timezone).Format(layout)
	}
	return st.Name + " still serves the data that were loaded " + fresh[i].UpdatedAt.In(s.project.Timezone).Format(layout)
}

func (s *session) ownerOf(st event.Step) string {
	switch st.Kind {
	case pipeline.Sync:
		return s.project.Syncs[st.Name].Owner
	case pipeline.Model:
		if m := s.graph.Model(st.Name); m != nil {
			return m.Owner
		}
	default:
		source, stream, _ := strings.Cut(st.Name, ".")
		if src := s.project.Sources[source]; src != nil && src.Streams[stream] != nil {
			return src.Streams[stream].Owner
		}
	}
	return s.project.Owner
}

// ages judges every table that has a decision window as of now, also those that
// this run did not touch.
func (w *watch) ages(s *session, fresh []state.Freshness) []alert.Observation {
	windows, stale := s.windows(), map[string]bool{}
	verdicts := map[string]check.Finding{}
	for _, f := range fresh {
		v := check.Freshness(f.Relation, f.HighWater, w.endedAt, windows[f.Relation])
		verdicts[f.Relation] = v
		stale[f.Relation] = !v.OK && v.Severity == check.Error
	}
	var seen []alert.Observation
	for _, f := range fresh {
		if windows[f.Relation] == 0 {
			continue
		}
		o := alert.Observation{Subject: ageSubject + f.Relation, At: w.endedAt}
		if v := verdicts[f.Relation]; stale[f.Relation] {
			o.Problem = &alert.Problem{State: alert.Stale, Run: w.run, Title: fmt.Sprintf("%s, expected %s", v.Observed, v.Expected),
				Readers: s.stillSee(event.Step{Name: f.Relation, Kind: pipeline.Model}, fresh), Under: w.staleUnder(s, f.Relation, stale),
				Next: nextOf(s.project, w.job, w.endedAt), Owner: s.ownerOf(event.Step{Name: f.Relation, Kind: s.kindOf(f.Relation)}), Commands: []string{s.target.Command("elt status")}}
		}
		seen = append(seen, o)
	}
	return seen
}

func (s *session) kindOf(relation string) string {
	if s.graph.Model(relation) != nil {
		return pipeline.Model
	}
	return pipeline.Extract
}

// staleUnder is the subject that makes a table stale: the step that fills it, or
// one before it, when that failed in this run, else what it is made of, if that is
// stale too. "": nothing that is known.
func (w *watch) staleUnder(s *session, relation string, stale map[string]bool) string {
	by := map[string]string{}
	for _, st := range w.steps {
		switch st.Status {
		case event.Failed, event.CheckFailed:
			by[st.Name] = st.Name
		case event.Blocked:
			by[st.Name] = st.Needs
		}
	}
	at := relation
	for n := 0; by[at] != "" && by[at] != at && n <= len(by); n++ {
		at = by[at]
	}
	if by[at] == at {
		return at
	}
	root := relation
	for n := 0; n <= len(stale); n++ {
		i := slices.IndexFunc(s.graph.Needs(root), func(need string) bool { return stale[need] && need != root })
		if i < 0 {
			break
		}
		root = s.graph.Needs(root)[i]
	}
	if root == relation {
		return ""
	}
	return ageSubject + root
}

// nextOf is the next step that is taken without anybody: the next slot of the job,
// or of one that runs everything.
func nextOf(prj *project.Project, job string, now time.Time) string {
	var next time.Time
	var of string
	for _, j := range prj.Jobs {
		sched, err := schedule.Parse(j.Schedule)
		if err != nil || job != "" && j.Name != job || job == "" && !slices.Equal(j.Run, []string{"all"}) {
			continue
		}
		if at := sched.Next(now.In(prj.Timezone)); !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next, of = at, j.Name
		}
	}
	if next.IsZero() {
		return "the next run tries again"
	}
	return fmt.Sprintf("the next run tries again: job %s, %s", of, next.Format("Mon 2 Jan 15:04 MST"))
}

// headline is the first line of a text, at a length that fits a title.
func headline(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	line = cmp.Or(strings.TrimSpace(line), "failed")
	if utf8.RuneCountInString(line) > 200 {
		line = string([]rune(line)[:199]) + "…"
	}
	return line
}
