package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"elt/internal/retry"
	"elt/internal/warehouse"
)

// jobProject is the project of [faultProject] with jobs in it.
func jobProject(t *testing.T, engine, jobs string) (dir, addr string) {
	t.Helper()
	dir, addr = faultProject(t, engine)
	f, err := os.OpenFile(filepath.Join(dir, "elt.yaml"), os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString("\njobs:\n" + jobs)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return dir, addr
}

// eltAt runs a command line in process while the clock on the wall shows at, and
// returns all that it told.
func eltAt(t *testing.T, dir, addr, at string, wrap func(warehouse.Driver) warehouse.Driver, args ...string) (int, string) {
	t.Helper()
	now, err := time.Parse(time.RFC3339, at)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &out, err: &out, wrap: wrap, clockNow: func() time.Time { return now }, env: func(name string) (string, bool) {
		return addr, name == "WAREHOUSE"
	}}
	return a.run(context.WithoutCancel(t.Context()), append([]string{"-C", dir}, args...)), out.String()
}

const slotsQuery = `SELECT CAST(slot AT TIME ZONE 'UTC' AS text), status || ' ' || CASE WHEN run_id <> '' THEN 'by a run' ELSE reason END FROM _elt.slot ORDER BY slot`

// TestInvariant11 holds that every slot of a job has one record: ran, skipped or
// missed, with its reason.
func TestInvariant11(t *testing.T) { onBoth(t, everySlotHasOneRecord) }

func everySlotHasOneRecord(t *testing.T, engine string) {
	dir, addr := jobProject(t, engine, "  nightly: {schedule: \"30 2 * * *\"}\n")
	for _, c := range []struct {
		at, args, told string
	}{
		{"2026-03-27T09:00:00Z", "--if-due --quiet", ""}, // nobody knows whether it ran elsewhere
		{"2026-03-27T09:00:00Z", "--if-due", "job nightly: not due; it is next at 2026-03-28 02:30 +01:00"},
		{"2026-03-28T01:30:02Z", "--if-due --quiet", ""},
		{"2026-03-28T01:30:03Z", "--if-due", "not due"}, // cron fired twice
		{"2026-03-28T09:00:00Z", "", "OK in"},           // by hand
		{"2026-03-29T00:59:00Z", "--if-due", "not due"},
		{"2026-03-29T01:00:00Z", "--if-due", "OK in"}, // 02:30 does not exist: at 03:00
		{"2026-04-02T07:00:00Z", "--if-due", "OK in"}, // the machine was off
	} {
		code, told := eltAt(t, dir, addr, c.at, nil, append([]string{"run", "--threads", "1", "--job", "nightly"}, strings.Fields(c.args)...)...)
		if code != exitOK || c.told == "" && told != "" || !strings.Contains(told, c.told) {
			t.Errorf("at %s: exit %d, want %q\n%s", c.at, code, c.told, told)
		}
	}
	c := &child{dir: dir, addr: addr}
	const covers = "missed no run was started; that of 2026-04-02 02:30 +02:00 covers it "
	want := strings.Join([]string{"2026-03-28 01:30:00=ran by a run 2026-03-29 01:00:00=ran by a run 2026-03-30 00:30:00=", "2026-03-31 00:30:00=", "2026-04-01 00:30:00=", "2026-04-02 00:30:00=ran by a run"}, covers)
	if got := statuses(t, c, slotsQuery); got != want {
		t.Errorf("slots: %s\nwant:  %s", got, want)
	}
	if got, want := statuses(t, c, `SELECT job, trigger || CASE WHEN slot IS NULL THEN '' ELSE ' of a slot' END FROM _elt.run ORDER BY started_at`),
		"nightly=schedule of a slot nightly=manual nightly=schedule of a slot nightly=schedule of a slot"; got != want {
		t.Errorf("runs: %s\nwant: %s", got, want)
	}
}

// A run of a job that overlaps another one is skipped, at once and without an
// error, also where the other one owns the warehouse.
func TestOverlapIsSkipped(t *testing.T) { onBoth(t, overlapIsSkipped) }

func overlapIsSkipped(t *testing.T, engine string) {
	dir, addr := jobProject(t, engine, "  yearly: {schedule: \"0 0 1 1 *\", owner: ann, runbook: wiki/yearly}\n  other: {}\n")
	c := start(t, dir, append(os.Environ(), "WAREHOUSE="+addr, "ELT_TEST_HOLD="+dir), "-C", dir, "run", "--threads", "1", "--job", "yearly")
	c.addr = addr
	c.until(t, "a run stands still", func() bool { return exists(filepath.Join(dir, holdFile)) })
	code, told := eltAt(t, dir, addr, "2099-01-01T00:00:30Z", nil, "run", "--job", "yearly")
	if code != exitOK || !strings.Contains(told, "job yearly: run ") || !strings.Contains(told, "is still on, so this one is skipped") {
		t.Errorf("exit %d\n%s", code, told)
	}
	if code, told := eltAt(t, dir, addr, "2099-01-01T00:00:30Z", nil, "run", "--job", "yearly", "--quiet"); code != exitOK || told != "" {
		t.Errorf("with --quiet: exit %d\n%s", code, told)
	}
	if engine == "duckdb" { // another job waits, or says who owns the file
		if code, told := eltAt(t, dir, addr, "2099-01-01T00:00:30Z", nil, "run", "--job", "other"); code != exitLocked {
			t.Errorf("another job: exit %d\n%s", code, told)
		}
	}
	c.release(t)
	c.wantExit(t, exitOK)
	if got, want := statuses(t, c, `SELECT owner, runbook FROM _elt.run`), "ann=wiki/yearly"; got != want {
		t.Errorf("run: %s, want %s", got, want)
	}
	if got := statuses(t, c, `SELECT status, reason FROM _elt.slot ORDER BY slot DESC`); engine == "postgres" && (!strings.HasPrefix(got, "skipped=run ") || !strings.HasSuffix(got, "missed=no run was started ran=")) {
		t.Errorf("slots: %s", got)
	}
}

// Of runs that queue, one waits and any more are skipped; all end well.
func TestOverlapQueuesOneOnPostgres(t *testing.T) {
	t.Parallel()
	dir, addr := jobProject(t, "postgres", "  nightly: {overlap: queue_one}\n")
	env := append(os.Environ(), "WAREHOUSE="+addr)
	args := []string{"-C", dir, "run", "--threads", "1", "--job", "nightly"}
	first := start(t, dir, append(env, "ELT_TEST_HOLD="+dir), args...)
	first.addr = addr
	first.until(t, "a run stands still", func() bool { return exists(filepath.Join(dir, holdFile)) })
	second := start(t, dir, env, args...)
	waits := `SELECT 'locks', CAST(count(*) AS text) FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
	before := statuses(t, first, waits)
	second.until(t, "the second one waits", func() bool { return statuses(t, first, waits) > before })
	code, told := eltAt(t, dir, addr, "2026-03-28T02:30:00Z", nil, "run", "--job", "nightly")
	if code != exitOK || !strings.Contains(told, "is skipped") {
		t.Errorf("the third one: exit %d\n%s", code, told)
	}
	first.release(t)
	first.wantExit(t, exitOK)
	second.wantExit(t, exitOK)
	if got := statuses(t, first, runsQuery); got != "0=ok 0=ok" {
		t.Errorf("runs: %s", got)
	}
}

// A run that takes longer than its job may is cancelled, has failed, and says so.
func TestJobTimeout(t *testing.T) { onBoth(t, jobTimeout) }

func jobTimeout(t *testing.T, engine string) {
	dir, addr := jobProject(t, engine, "  nightly: {timeout: 2s}\n")
	code, told := eltAt(t, dir, addr, "2026-03-28T02:30:00Z", func(d warehouse.Driver) warehouse.Driver { return &holdDriver{Driver: d, dir: dir, in: "marts"} },
		"run", "--threads", "1", "--job", "nightly", "--quiet")
	if code != exitFailed || !strings.Contains(told, "timeout of job nightly: the run was not done after 2s and was cancelled") {
		t.Errorf("exit %d\n%s", code, told)
	}
	mustRun(t, dir, addr)
}

// A job says how often a step is tried again whose error may pass.
func TestJobRetries(t *testing.T) {
	t.Parallel()
	for retries, want := range map[string]int{"0": exitTryAgain, "1": exitTryAgain, "2": exitOK} {
		dir, addr := jobProject(t, "duckdb", "  nightly: {retries: "+retries+"}\n")
		code, told := eltAt(t, dir, addr, "2026-03-28T02:30:00Z", func(d warehouse.Driver) warehouse.Driver { return &shakyDriver{Driver: d, fails: 2} },
			"run", "--threads", "1", "--job", "nightly")
		if code != want {
			t.Errorf("retries %s, two faults: exit %d, want %d\n%s", retries, code, want, told)
		}
	}
}

// shakyDriver fails the first statements about a mart of a run that is on, with an
// error that may pass.
type shakyDriver struct {
	warehouse.Driver
	fails int32
	run   atomic.Bool
	n     atomic.Int32
}

func (d *shakyDriver) Begin(ctx context.Context, readOnly bool) (warehouse.DriverTx, error) {
	tx, err := d.Driver.Begin(ctx, readOnly)
	if err != nil {
		return nil, err
	}
	return &shakyTx{DriverTx: tx, d: d}, nil
}

type shakyTx struct {
	warehouse.DriverTx
	d *shakyDriver
}

func (t *shakyTx) Exec(ctx context.Context, q string, args ...any) (int64, error) {
	if strings.Contains(q, "INSERT INTO _elt.run") {
		t.d.run.Store(true)
	}
	if t.d.run.Load() && strings.Contains(q, `"marts"`) && t.d.n.Add(1) <= t.d.fails {
		return 0, retry.AsTransient(errors.New("injected: the server is busy"))
	}
	return t.DriverTx.Exec(ctx, q, args...)
}

// The job of the sample needs nothing of the environment: it is silent on success
// and tells the whole story otherwise.
func TestNightlyJobWithoutEnvironment(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "shop")
	start(t, ".", []string{}, "init", dir).wantExit(t, exitOK)
	run := func(code int) string {
		c := start(t, ".", []string{}, "-C", dir, "run", "--job", "nightly", "--quiet")
		c.wantExit(t, code)
		return c.out.String()
	}
	if told := run(exitOK); told != "" {
		t.Errorf("told on success:\n%s", told)
	}
	if err := os.Remove(filepath.Join(dir, "testdata", "shop", "products.parquet")); err != nil {
		t.Fatal(err)
	}
	told := run(exitFailed)
	for _, text := range []string{"shop · dev", "job nightly", "catalog.products", "FAILED in", "exit 1", "staging.orders"} {
		if !strings.Contains(told, text) {
			t.Errorf("%q is not told:\n%s", text, told)
		}
	}
}
