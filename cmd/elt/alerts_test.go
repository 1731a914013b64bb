package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"elt/internal/alert"
	"elt/internal/event"
	"elt/internal/project"
	"elt/internal/testdb"
	"elt/internal/warehouse"
	"elt/internal/warehouse/duckdb"
)

// fakeChat is a chat on loopback. It keeps the plain text of every message that it
// takes, and refuses what Slack would.
type fakeChat struct {
	url  string
	mu   sync.Mutex
	got  []string
	down int // the status that it answers with; 0: it takes messages
}

func newFakeChat(t *testing.T) *fakeChat {
	t.Helper()
	c := &fakeChat{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		var p struct {
			Text   string            `json:"text"`
			Blocks []json.RawMessage `json:"blocks"`
		}
		switch {
		case c.down != 0:
			w.WriteHeader(c.down)
		case json.Unmarshal(body, &p) != nil || p.Text == "" || len(p.Blocks) > 50:
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, "invalid_payload")
		default:
			c.got = append(c.got, p.Text)
			fmt.Fprint(w, "ok")
		}
	}))
	t.Cleanup(srv.Close)
	c.url = srv.URL + "/services/T0/B0/s3cr3t-hook"
	return c
}

func (c *fakeChat) set(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = status
}

// take returns the messages since the last call.
func (c *fakeChat) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.got
	c.got = nil
	return got
}

// alertProject is a stream with checks, a model that reads it, and a job; keys are
// added to its file.
func alertProject(t *testing.T, engine string, chat *fakeChat, keys string) (dir, addr string) {
	t.Helper()
	dir = filepath.Join(quickDir(t), "project")
	for name, text := range map[string]string{
		"data/a.csv":         "id,n,email\n1,1,ann@example.test\n2,2,bob@example.test\n",
		"models/marts/m.sql": "select id, n from \"in\".things",
		"elt.yaml": `version: 1
name: tiny
timezone: Europe/Berlin
owner: data-team
targets:
  dev: {warehouse: "${env:WAREHOUSE}", push: live}
connections:
  chat: {type: slack, url: "` + chat.url + `"}
sources:
  in:
    type: files
    path: data/*.csv
    streams:
      things: {load: replace, pii: {email: email}, columns: {id: BIGINT, n: BIGINT}, checks: [{range: {column: n, min: 0}}, {unique: id}]}
` + keys,
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if engine == "postgres" {
		return dir, testdb.URL(t)
	}
	return dir, "duckdb:wh.duckdb"
}

const (
	goodThings  = "id,n,email\n1,1,ann@example.test\n2,2,bob@example.test\n"
	badThings   = "id,n,email\n1,1,ann@example.test\n2,-5,bob@example.test\n"
	otherThings = "id,n,email\n1,1,ann@example.test\n1,2,bob@example.test\n"
	told        = "alerts: [{to: chat}]\njobs: {nightly: {schedule: \"0 2 * * *\", run: all, runbook: wiki/nightly}}\n"
)

// runs writes the data, runs, and wants the exit code and parts of the one message
// that the chat gets; no parts: it gets none.
func (c *fakeChat) runs(t *testing.T, dir, addr, things string, exit int, parts ...string) (stderr string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "data", "a.csv"), []byte(things), 0o600); err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	code, out := elt(t, dir, addr, &errs, nil, "run")
	if code != exit {
		t.Fatalf("exit %d, want %d\n%s\n%s", code, exit, out, errs.String())
	}
	got := c.take()
	if len(parts) == 0 && len(got) > 0 || len(parts) > 0 && len(got) != 1 {
		t.Errorf("%d messages:\n%s\nwant %q", len(got), strings.Join(got, "\n---\n"), parts)
	}
	for _, part := range parts {
		if len(got) == 1 && !strings.Contains(got[0], part) {
			t.Errorf("the message lacks %q:\n%s", part, got[0])
		}
	}
	for _, text := range append(got, errs.String(), out) {
		if strings.Contains(text, "s3cr3t") || strings.Contains(text, "@example.test") {
			t.Errorf("a secret or a personal value is told:\n%s", text)
		}
	}
	return errs.String()
}

// A failure is told once with what a person needs, again when something else fails, and its
// recovery once.
func TestInvariant12AlertsAreToldOncePerChange(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			chat := newFakeChat(t)
			dir, addr := alertProject(t, engine, chat, told)
			chat.runs(t, dir, addr, goodThings, exitOK)
			chat.runs(t, dir, addr, badThings, exitCheck, "in.things: range(n): 1 row, expected at least 0", "Observed: range(n): 1 row",
				"in.things still serves the data of ", "Blocked: 1: marts.m", "job nightly", "elt logs ", "elt show in.things --failed", "elt retry ", "Owner: data-team", `{"id":2,"n":-5,"email":"***","_source_file":"data/a.csv"}`, "tiny · dev · run ")
			chat.runs(t, dir, addr, badThings, exitCheck)
			chat.runs(t, dir, addr, otherThings, exitCheck, "in.things: unique(id): 2 rows, expected each value once")
			chat.runs(t, dir, addr, otherThings, exitCheck)
			chat.runs(t, dir, addr, goodThings, exitOK, "in.things: recovered after ")
			chat.runs(t, dir, addr, goodThings, exitOK)
		})
	}
}

// A chat that is down changes no run; the next one that reaches it tells.
func TestInvariant12AChatOutageChangesNoRun(t *testing.T) {
	t.Parallel()
	chat := newFakeChat(t)
	dir, addr := alertProject(t, "duckdb", chat, told)
	chat.runs(t, dir, addr, goodThings, exitOK)
	chat.set(http.StatusInternalServerError)
	errs := chat.runs(t, dir, addr, badThings, exitCheck)
	if !strings.Contains(errs, "warning: chat could not be told, the next run tells it: 500 Internal Server Error") {
		t.Errorf("nobody hears of the outage:\n%s", errs)
	}
	_, log := said(t, dir, addr, "logs")
	if !strings.Contains(log, `"alert":{"to":"chat","subjects":1,"error":"500 Internal Server Error`) {
		t.Errorf("the log of the run lacks it:\n%s", log)
	}
	_, rows := said(t, dir, addr, "query", "select subject, state, told_at from _elt.alert")
	if !strings.Contains(rows, "chat: in.things") || !strings.Contains(rows, "failed") {
		t.Error(rows)
	}
	chat.set(0)
	chat.runs(t, dir, addr, badThings, exitCheck, "in.things: range(n): 1 row, expected at least 0")
	chat.set(http.StatusTooManyRequests)
	chat.runs(t, dir, addr, goodThings, exitOK)
	chat.set(0)
	chat.runs(t, dir, addr, goodThings, exitOK, "in.things: recovered after ")
	_, runs := said(t, dir, addr, "runs")
	if strings.Count(runs, "check") != 2 || strings.Count(runs, "ok") != 3 {
		t.Errorf("runs ended otherwise:\n%s", runs)
	}
}

// A laptop harms nobody: with push: fake the same message goes to a file.
func TestAlertsOfAFakePushGoToAFile(t *testing.T) {
	t.Parallel()
	chat := newFakeChat(t)
	dir, addr := alertProject(t, "duckdb", chat, told)
	rewrite(t, filepath.Join(dir, "elt.yaml"), "push: live", "push: fake")
	chat.runs(t, dir, addr, badThings, exitCheck)
	text, err := os.ReadFile(filepath.Join(dir, ".elt", "fake", "dev", "chat", "alerts.jsonl"))
	if err != nil || !strings.Contains(string(text), "range(n): 1 row") {
		t.Errorf("%v %s", err, text)
	}
}

func rewrite(t *testing.T, file, old, now string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, []byte(strings.Replace(string(text), old, now, 1)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A run of a job that cannot begin is told once too, though its state cannot be
// read, and so is the first that begins again. A person who runs by hand sees it.
func TestAJobThatCannotStartIsTold(t *testing.T) {
	t.Parallel()
	chat := newFakeChat(t)
	dir, addr := alertProject(t, "duckdb", chat, told)
	down := "postgres://nobody:s3cr3t@127.0.0.1:1/none"
	job := func(addr string, exit int) []string {
		t.Helper()
		var errs bytes.Buffer
		if code, out := elt(t, dir, addr, &errs, nil, "run", "--job", "nightly"); code != exit {
			t.Fatalf("exit %d, want %d\n%s\n%s", code, exit, out, errs.String())
		}
		return chat.take()
	}
	wantSaid(t, dir, down, exitTryAgain, "run")
	if got := chat.take(); len(got) > 0 {
		t.Errorf("a run by hand is told: %q", got)
	}
	got := job(down, exitTryAgain)
	if len(got) != 1 || !strings.Contains(got[0], "start of job nightly: could not start: ") || !strings.Contains(got[0], "elt doctor") || !strings.Contains(got[0], "Runbook: wiki/nightly") || strings.Contains(got[0], "s3cr3t") {
		t.Errorf("%q", got)
	}
	if got := job(down, exitTryAgain); len(got) > 0 {
		t.Errorf("told again: %q", got)
	}
	if got := job(addr, exitOK); len(got) != 1 || !strings.Contains(got[0], "start of job nightly: recovered after ") {
		t.Errorf("%q", got)
	}
	if got := job(addr, exitOK); len(got) > 0 {
		t.Errorf("told again: %q", got)
	}
}

// An interrupted run tells nobody: the next one sees how things are.
func TestAnInterruptedRunTellsNobody(t *testing.T) {
	t.Parallel()
	chat := newFakeChat(t)
	dir, addr := alertProject(t, "duckdb", chat, told)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var errs bytes.Buffer
	eltContext(ctx, dir, addr, &errs, nil, "run", "--job", "nightly")
	if got := chat.take(); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

// A run of a job that is done after complete_by is told, and the first that is
// done in time again. A job that began to be after that time could not keep it.
func TestALateJobIsTold(t *testing.T) {
	t.Parallel()
	chat := newFakeChat(t)
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	clock := func(d time.Duration) string { return time.Now().Add(d).In(zone).Format("15:04") }
	hour, minute, _ := strings.Cut(clock(-2*time.Hour), ":")
	by := clock(-time.Hour)
	dir, addr := alertProject(t, "duckdb", chat, "alerts: [{to: chat}]\njobs: {nightly: {schedule: \""+minute+" "+hour+" * * *\", complete_by: \""+by+"\"}}\n")
	run := func() []string {
		t.Helper()
		wantSaid(t, dir, addr, exitOK, "run|--job|nightly")
		return chat.take()
	}
	for range 2 {
		if got := run(); len(got) > 0 {
			t.Errorf("a job that is new was to be done before it was there: %q", got)
		}
	}
	wantSaid(t, dir, addr, exitOK, "status|--fail-if-stale")
	age(t, dir, addr, 24*time.Hour)
	if got := run(); len(got) != 1 || !strings.Contains(got[0], "job nightly: done at ") || !strings.Contains(got[0], "after complete_by "+by) {
		t.Errorf("%q", got)
	}
	if got := run(); len(got) > 0 {
		t.Errorf("told again: %q", got)
	}
	rewrite(t, filepath.Join(dir, "elt.yaml"), "complete_by: \""+by, "complete_by: \""+clock(time.Hour))
	if got := run(); len(got) != 1 || !strings.Contains(got[0], "job nightly: recovered after ") {
		t.Errorf("%q", got)
	}
}

// age makes all runs and slots older.
func age(t *testing.T, dir, addr string, by time.Duration) {
	t.Helper()
	d, err := duckdb.Open(t.Context(), duckdb.Options{Path: filepath.Join(dir, strings.TrimPrefix(addr, "duckdb:")), TimeZone: "Europe/Berlin"})
	if err != nil {
		t.Fatal(err)
	}
	db, err := warehouse.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	seconds := int64(by.Seconds())
	for _, q := range []string{
		`UPDATE _elt.run SET started_at = started_at - $1 * INTERVAL '1 second', ended_at = ended_at - $1 * INTERVAL '1 second'`,
		`UPDATE _elt.slot SET slot = slot - $1 * INTERVAL '1 second', recorded_at = recorded_at - $1 * INTERVAL '1 second'`,
	} {
		if err := db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
			_, err := tx.Exec(ctx, q, seconds)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// Data that grow old are told once, with what is made of them counted below, and
// so is the load that brings new ones.
func TestStaleDataAreTold(t *testing.T) {
	t.Parallel()
	chat := newFakeChat(t)
	dir, addr := alertProject(t, "duckdb", chat, "alerts: [{to: chat, when: [stale, recovered]}]\n")
	rewrite(t, filepath.Join(dir, "elt.yaml"), "{load: replace, ", "{load: replace, time: seen_at, decision_window: 7d, ")
	if err := os.WriteFile(filepath.Join(dir, "models", "marts", "m.sql"), []byte("-- elt:\n--   time: seen_at\n--   decision_window: 7d\nselect id, seen_at from \"in\".things"), 0o600); err != nil {
		t.Fatal(err)
	}
	old := "id,n,email,seen_at\n1,1,ann@example.test,2026-01-05T10:00:00Z\n"
	chat.runs(t, dir, addr, old, exitOK, "age of in.things: ", " old, expected at most 7d", "in.things still serves the data of 5 Jan 11:00", "Also: 1: age of marts.m")
	chat.runs(t, dir, addr, old, exitOK)
	now := "id,n,email,seen_at\n1,1,ann@example.test," + time.Now().UTC().Format(time.RFC3339) + "\n"
	chat.runs(t, dir, addr, now, exitOK, "age of in.things: recovered after ", "age of marts.m: recovered after ")
}

// A sync that is not done is held: it says what is left, and who goes on.
func TestWhatAnUnfinishedSyncTells(t *testing.T) {
	t.Parallel()
	s := &session{project: &project.Project{Owner: "team", Timezone: time.UTC, Syncs: map[string]*project.Sync{"crm": {To: "crm.contacts", Owner: "sales"}}}, target: &project.Target{Name: "prod"}}
	w := &watch{run: "7f3a", endedAt: time.Now()}
	for hint, want := range map[string]string{"": "the next run sends the rest", "elt approve 7f3a": "nothing is sent until a plan is within the guards or this one is approved"} {
		st := event.Step{Kind: "sync", Name: "crm", Status: map[bool]event.Status{true: event.Unfinished, false: event.Held}[hint == ""], Result: event.Result{Counts: []event.Count{{Label: "deferred", N: 12000}},
			Warnings: []event.Warning{{Text: "8% of the rows would be deleted, max_delete is 5%", Hint: hint, Cause: true}, {Text: "3 rows rejected"}}}}
		p := w.problem(s, st, nil, nil)
		if p.State != alert.Held || p.Next != want || p.Title != "8% of the rows would be deleted, max_delete is 5%, 12,000 deferred" || p.Owner != "sales" || p.Readers != "crm.contacts keeps what it has" {
			t.Errorf("%q: %+v", hint, p)
		}
		if hint != "" && !slices.Contains(p.Commands, "elt approve 7f3a --target prod") {
			t.Errorf("commands %q", p.Commands)
		}
	}
	st := event.Step{Kind: "sync", Name: "crm", Status: event.Unfinished, Result: event.Result{Counts: []event.Count{{Label: "rejected", N: 3}},
		Warnings: []event.Warning{{Text: "none of 3 rows was accepted by the destination", Cause: true}}}}
	if p := w.problem(s, st, nil, nil); p.Title != "none of 3 rows was accepted by the destination" || !strings.Contains(p.Next, "--release") {
		t.Errorf("%+v", p)
	}
}

// A run that its job's timeout has cancelled has failed, and is told.
func TestARunThatTakesTooLongIsTold(t *testing.T) {
	t.Parallel()
	chat := newFakeChat(t)
	dir, addr := alertProject(t, "duckdb", chat, "alerts: [{to: chat}]\njobs: {nightly: {timeout: 3s}}\n")
	var errs bytes.Buffer
	code, out := elt(t, dir, addr, &errs, func(d warehouse.Driver) warehouse.Driver { return &holdDriver{Driver: d, dir: dir, in: "marts"} }, "run", "--job", "nightly")
	if code != exitFailed {
		t.Fatalf("exit %d\n%s\n%s", code, out, errs.String())
	}
	if got := chat.take(); len(got) != 1 || !strings.Contains(got[0], "job nightly: timeout of job nightly: the run was not done after 3s") {
		t.Errorf("%q", got)
	}
	wantSaid(t, dir, addr, exitOK, "run|--job|nightly", "OK in")
	if got := chat.take(); len(got) != 1 || !strings.Contains(got[0], "job nightly: recovered after ") {
		t.Errorf("%q", got)
	}
}
