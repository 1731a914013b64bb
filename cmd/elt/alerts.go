package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"elt/internal/alert"
	"elt/internal/event"
	"elt/internal/httpx"
	"elt/internal/pipeline"
	"elt/internal/project"
	"elt/internal/secret"
	"elt/internal/state"
)

// readers are the places that alerts go to, as the target's push says: live to
// the chats, fake to a file beside what syncs push there, off to nobody. Close ends
// their connections.
func (a *app) readers(prj *project.Project, target *project.Target) (out []alert.Reader, done func(), err error) {
	done = func() {}
	if target.Push == "off" {
		return nil, done, nil
	}
	var client *httpx.Client
	for _, to := range prj.Alerts {
		hook, ok := to.Connection.Config.(*alert.Connection)
		if !ok { // of a type that comes later; validate and plan say so
			continue
		}
		place := alert.Place{To: to.To, When: to.When, Repeat: to.RepeatAfter}
		if target.Push != "live" {
			// What went to the file is not known to the chat.
			place.To += " (fake)"
			out = append(out, alert.Reader{Place: place, Sender: alert.File(filepath.Join(prj.Dir, ".elt", "fake", target.Name, to.To, "alerts.jsonl"))})
			continue
		}
		if client == nil {
			if client, err = a.caller(prj); err != nil {
				return nil, done, err
			}
			done = client.Close
		}
		out = append(out, alert.Reader{Place: place, Sender: &alert.Webhook{URL: hook.URL, Client: client, Policy: a.alertPolicy()}})
	}
	return out, done, nil
}

// alertPolicy is how alerts are tried; a test, which has no backoff, does not wait.
func (a *app) alertPolicy() alert.Policy {
	policy := alert.DefaultPolicy()
	policy.Backoff = a.backoff
	return policy
}

// caller makes HTTP calls whose errors hold no secret of the project.
func (a *app) caller(prj *project.Project) (*httpx.Client, error) {
	var hide []string
	for _, s := range prj.Secrets {
		hide = append(hide, s.Reveal())
	}
	return httpx.New(httpx.Options{Timeout: alert.DefaultPolicy().Within, MaxBody: 64 << 10, Scrub: secret.NewScrubber(hide...)})
}

// tellPeople tells what w saw of a run that has ended and is recorded. Nothing of
// it changes how the run ended: what goes wrong is a warning, and is due again with
// the next run.
func (a *app) tellPeople(ctx context.Context, s *session, w *watch, emit func(event.Event)) {
	var late *pipeline.LateError
	if errors.As(context.Cause(ctx), &late) { // it has failed, and was not interrupted
		ctx = context.WithoutCancel(ctx)
	}
	if len(s.project.Alerts) == 0 || w.end.Status == event.Interrupted || ctx.Err() != nil {
		return // after an interruption nothing more is written than its record
	}
	if err := a.tellSeen(ctx, s, w, emit); err != nil {
		a.warn("alerts could not be told, the next run tells them: %s", a.redact(err.Error()))
		emit(event.Event{At: time.Now(), Run: w.run, Alert: &event.Alert{Error: a.redact(err.Error())}})
	}
}

func (a *app) tellSeen(ctx context.Context, s *session, w *watch, emit func(event.Event)) error {
	readers, done, err := a.readers(s.project, s.target)
	if err != nil || len(readers) == 0 {
		return err
	}
	defer done()
	seen, err := w.observations(ctx, s)
	if err != nil {
		return err
	}
	longest := time.Minute + time.Duration(len(readers))*alert.DefaultPolicy().Within // for another run that tells, and each chat
	ctx, cancel := context.WithTimeoutCause(ctx, longest, fmt.Errorf("alerts took longer than %s", longest))
	defer cancel()
	teller := a.teller(s.project, s.target, readers, alert.Where{Job: w.job, Run: w.run})
	teller.Exists = s.subjectExists
	outcomes, err := teller.Tell(ctx, twoBooks{warehouseBook{s.store}, a.startBook(s.project, s.target)}, seen)
	a.report(outcomes, w.run, emit)
	return err
}

func (a *app) teller(prj *project.Project, target *project.Target, readers []alert.Reader, w alert.Where) *alert.Teller {
	w.Project, w.Target, w.Zone = prj.Name, target.Name, prj.Timezone
	return &alert.Teller{Readers: readers, Where: w, Now: time.Now, Redact: a.redact}
}

// report says what became of the messages.
func (a *app) report(outcomes []alert.Outcome, run string, emit func(event.Event)) {
	for _, o := range outcomes {
		e := &event.Alert{To: o.To, Subjects: o.Told}
		if o.Err != nil {
			e.Error = a.redact(o.Err.Error())
			a.warn("%s could not be told, the next run tells it: %s", o.To, e.Error)
		}
		emit(event.Event{At: time.Now(), Run: run, Alert: e})
	}
}

// tellNotStarted tells that a run of a job could not even begin. The state cannot
// be read then, so what was told of it is kept in files beside the project.
func (a *app) tellNotStarted(ctx context.Context, job string, failure error) {
	prj, exit := a.project, exitCode(failure)
	if prj == nil || job == "" || ctx.Err() != nil || len(prj.Alerts) == 0 || prj.Jobs[job] == nil {
		return
	}
	target, err := prj.Target(a.flags.Target)
	if err != nil {
		return // nobody knows whom to tell
	}
	readers, done, err := a.readers(prj, target)
	defer done()
	if err == nil && len(readers) > 0 {
		now := time.Now()
		p := &alert.Problem{State: alert.Failed, Title: "could not start: " + headline(a.redact(failure.Error())), Error: failure.Error(), Next: nextOf(prj, job, now),
			Commands: []string{target.Command("elt doctor"), target.Command("elt run --job " + job)}, Owner: prj.Jobs[job].Owner, Runbook: prj.Jobs[job].Runbook,
			Readers: fmt.Sprintf("all tables stand as the run before left them (exit %d)", exit)}
		var outcomes []alert.Outcome
		outcomes, err = a.teller(prj, target, readers, alert.Where{Job: job}).Tell(ctx, a.startBook(prj, target),
			[]alert.Observation{{Subject: startOf(job), At: now, Problem: p}})
		a.report(outcomes, "", func(event.Event) {})
	}
	if err != nil {
		a.warn("nobody could be told that job %s did not start: %s", job, a.redact(err.Error()))
	}
}

// startOf is the subject of runs of a job that cannot begin.
func startOf(job string) string { return "start of job " + job }

// warehouseBook keeps what was told in the state of the warehouse.
type warehouseBook struct{ store *state.Store }

func (b warehouseBook) Alone(ctx context.Context) (context.Context, func(), error) {
	return b.store.AlertsAlone(ctx)
}

func (b warehouseBook) Read(ctx context.Context) ([]alert.Record, error) {
	stored, err := b.store.Alerts(ctx)
	if err != nil {
		return nil, err
	}
	var out []alert.Record
	for _, one := range stored {
		var r alert.Record
		if err := json.Unmarshal([]byte(one.Detail), &r); err != nil {
			return nil, fmt.Errorf("read the alert on %s: %w", one.Subject, err)
		}
		out = append(out, r)
	}
	return out, nil
}

func (b warehouseBook) Write(ctx context.Context, records []alert.Record) error {
	var list []state.Alert
	for _, r := range records {
		detail, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("record the alert on %s: %w", r.Subject, err)
		}
		one := state.Alert{Subject: r.To + ": " + r.Subject, State: string(r.Seen.State), Since: r.Since, Detail: string(detail)}
		if r.Told.State == r.Seen.State {
			one.ToldAt = r.Told.At
		}
		if one.Since.IsZero() {
			one.Since = r.Seen.At
		}
		list = append(list, one)
	}
	return b.store.SaveAlerts(ctx, list)
}

// fileBook keeps the records of runs that could not begin, a file each.
type fileBook struct{ dir string }

func (a *app) startBook(prj *project.Project, target *project.Target) fileBook {
	return fileBook{filepath.Join(prj.Dir, ".elt", "alerts", target.Name)}
}

// Alone does not wait: two runs of one job that both cannot begin may both tell it.
func (b fileBook) Alone(ctx context.Context) (context.Context, func(), error) {
	return ctx, func() {}, nil
}

func (b fileBook) Read(context.Context) ([]alert.Record, error) {
	files, err := os.ReadDir(b.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list what was told: %w", err)
	}
	var out []alert.Record
	for _, f := range files {
		if filepath.Ext(f.Name()) != ".json" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(b.dir, f.Name()))
		if err != nil {
			return nil, fmt.Errorf("read what was told: %w", err)
		}
		var r alert.Record
		if json.Unmarshal(text, &r) == nil { // else it was cut off, and is told again
			out = append(out, r)
		}
	}
	return out, nil
}

func (b fileBook) Write(_ context.Context, records []alert.Record) error {
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return fmt.Errorf("remember what was told: %w", err)
	}
	for _, r := range records {
		text, err := json.Marshal(r)
		name := filepath.Join(b.dir, url.PathEscape(r.To+" "+r.Subject)+".json")
		if err == nil {
			err = os.WriteFile(name+".new", text, 0o600)
		}
		if err == nil {
			err = os.Rename(name+".new", name)
		}
		if err != nil {
			return fmt.Errorf("remember what was told: %w", err)
		}
	}
	return nil
}

// twoBooks are the book of the warehouse and that of runs that could not begin,
// as one: a run that has begun tells of both in one message.
type twoBooks struct {
	warehouseBook
	start fileBook
}

func (b twoBooks) Read(ctx context.Context) ([]alert.Record, error) {
	all, err := b.warehouseBook.Read(ctx)
	if err != nil {
		return nil, err
	}
	more, err := b.start.Read(ctx)
	return append(all, more...), err
}

func (b twoBooks) Write(ctx context.Context, records []alert.Record) error {
	start := slices.DeleteFunc(slices.Clone(records), func(r alert.Record) bool { return !isStart(r.Subject) })
	others := slices.DeleteFunc(slices.Clone(records), func(r alert.Record) bool { return isStart(r.Subject) })
	if len(start) > 0 {
		if err := b.start.Write(ctx, start); err != nil {
			return err
		}
	}
	if len(others) == 0 {
		return nil
	}
	return b.warehouseBook.Write(ctx, others)
}
