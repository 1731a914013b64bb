package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	runsQuery  = `SELECT CAST(exit_code AS text), status FROM _elt.run ORDER BY started_at`
	stepsQuery = `SELECT kind || ':' || name, status FROM _elt.step ORDER BY kind, name`
)

// A second run names who owns the file; with wait_for_lock it waits for it.
func TestSecondRunOnAFileThatIsOwned(t *testing.T) {
	t.Parallel()
	c := holding(t, "duckdb")
	var stderr bytes.Buffer
	code, _ := elt(t, c.dir, c.addr, &stderr, nil, "run")
	for _, word := range []string{fmt.Sprint(c.Process.Pid), "-test.run=^TestChildProcess$"} {
		if code != exitLocked || !strings.Contains(stderr.String(), word) {
			t.Errorf("exit %d, want %d and %q in\n%s", code, exitLocked, word, &stderr)
		}
	}
	path := filepath.Join(c.dir, "elt.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("push: fake"), []byte("push: fake, wait_for_lock: 2m"), 1)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	asked := filepath.Join(c.dir, "child.asked")
	waiting := start(t, c.dir, append(os.Environ(), "WAREHOUSE=duckdb:wh.duckdb", "ELT_TEST_ASKED="+asked), "-C", c.dir, "run", "--threads", "1")
	waiting.until(t, "the second run has read its project", func() bool { return exists(asked) })
	c.release(t)
	c.wantExit(t, exitOK)
	waiting.wantExit(t, exitOK)
	if got := statuses(t, c, runsQuery); got != "0=ok 0=ok" {
		t.Errorf("runs: %s", got)
	}
}

// A SIGTERM while a run waits for the file ends it at once, in one line.
func TestSIGTERMWhileWaitingForTheFile(t *testing.T) {
	t.Parallel()
	c := holding(t, "duckdb")
	path := filepath.Join(c.dir, "elt.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("push: fake"), []byte("push: fake, wait_for_lock: 1h"), 1)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	asked := filepath.Join(c.dir, "child.asked")
	waiting := start(t, c.dir, append(os.Environ(), "WAREHOUSE=duckdb:wh.duckdb", "ELT_TEST_ASKED="+asked), "-C", c.dir, "run")
	waiting.until(t, "the second run has read its project", func() bool { return exists(asked) })
	waiting.signal(t, syscall.SIGTERM)
	waiting.wantExit(t, exitInterrupted)
	if told := strings.TrimSpace(waiting.out.String()); !strings.HasPrefix(told, "elt: interrupted") || strings.Contains(told, "\n") {
		t.Errorf("told:\n%s", told)
	}
	c.release(t)
	c.wantExit(t, exitOK)
}

// onBoth runs a test on each engine.
func onBoth(t *testing.T, test func(t *testing.T, engine string)) {
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			test(t, engine)
		})
	}
}

// Two runs on one Postgres warehouse take turns at each step; both end well.
func TestTwoRunsTakeTurnsOnPostgres(t *testing.T) {
	t.Parallel()
	c := holding(t, "postgres")
	second := start(t, c.dir, append(os.Environ(), "WAREHOUSE="+c.addr), "-C", c.dir, "run", "--threads", "1")
	second.until(t, "two runs are on", func() bool { return statuses(t, c, runsQuery) == "0=running 0=running" })
	c.release(t)
	c.wantExit(t, exitOK)
	second.wantExit(t, exitOK)
	if got := statuses(t, c, runsQuery); got != "0=ok 0=ok" {
		t.Errorf("runs: %s", got)
	}
	if got := dump(t, c.dir, c.addr, "marts.people"); strings.Count(got, "\n") != 3 {
		t.Errorf("two people, and the table holds\n%s", got)
	}
}

// When the server ends every connection of a run in its middle, the next run ends
// where one without that ends.
func TestConnectionsKilledInARunOnPostgres(t *testing.T) {
	t.Parallel()
	dir, addr := faultProject(t, "postgres")
	mustRun(t, dir, addr)
	c := holding(t, "postgres")
	conn, err := pgx.Connect(t.Context(), c.addr)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	err = conn.QueryRow(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`).Scan(&n)
	if err := errors.Join(err, conn.Close(t.Context())); err != nil || n < 2 {
		t.Fatalf("%d connections, err %v", n, err)
	}
	c.release(t)
	select {
	case <-c.done:
	case <-time.After(patience):
		t.Fatal("the child does not end")
	}
	if c.code != exitOK && c.code != exitFailed && c.code != exitTryAgain {
		t.Errorf("exit %d\n%s", c.code, &c.out)
	}
	mustRun(t, c.dir, c.addr)
	if got, want := outcome(t, faultCase, c.dir, c.addr), outcome(t, faultCase, dir, addr); !maps.Equal(got, want) {
		t.Errorf("ended with %d, then a clean rerun ends elsewhere:\n%v\nwant\n%v", c.code, got, want)
	}
}

// Who looks while a run is on is answered by the process that runs.
func TestLookWhileARunIsOn(t *testing.T) { onBoth(t, lookWhileARunIsOn) }

func lookWhileARunIsOn(t *testing.T, engine string) {
	c := holding(t, engine)
	for _, look := range []struct{ want, args string }{
		{"running", "status"},
		{"running", "runs"},
		{"shop.orders", "status"},
		{"running", "query|select status from _elt.run"},
		{"3", "query|select count(*) as n from shop.orders"},
	} {
		var stderr bytes.Buffer
		code, out := elt(t, c.dir, c.addr, &stderr, nil, strings.Split(look.args, "|")...)
		if code != exitOK || !strings.Contains(out, look.want) {
			t.Errorf("elt %s: exit %d, want %q\n%s\n%s", look.args, code, look.want, out, &stderr)
		}
	}
	c.release(t)
	c.wantExit(t, exitOK)
}

// The first SIGTERM lets running steps end and starts no more.
func TestSIGTERMDrainsTheRun(t *testing.T) { onBoth(t, sigtermDrainsTheRun) }

func sigtermDrainsTheRun(t *testing.T, engine string) {
	c := holding(t, engine)
	c.drain(t)
	c.release(t)
	c.wantExit(t, exitInterrupted)
	if got := statuses(t, c, runsQuery); got != "130=interrupted" {
		t.Errorf("runs: %s", got)
	}
	if got, want := statuses(t, c, stepsQuery), "extract:shop.orders=ok extract:shop.people=ok model:marts.people=ok sync:people=interrupted"; got != want {
		t.Errorf("steps: %s\nwant:  %s", got, want)
	}
	c.wantTold(t, "interrupted people: not started", "to continue: elt retry")
	mustRun(t, c.dir, c.addr)
}

// A SIGTERM between the end of a run and that of its process changes nothing: what
// is open is closed to its end, and the exit code is that of the run.
func TestSIGTERMAfterTheRun(t *testing.T) { onBoth(t, sigtermAfterTheRun) }

func sigtermAfterTheRun(t *testing.T, engine string) {
	c := holding(t, engine)
	logs, err := filepath.Glob(filepath.Join(c.dir, ".elt", "logs", "*.jsonl"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("%d logs, %v", len(logs), err)
	}
	c.release(t)
	err = poll(t.Context(), func() bool {
		text, rerr := os.ReadFile(logs[0])
		return rerr == nil && bytes.Contains(text, []byte(`"end":{`))
	})
	if serr := c.Process.Signal(syscall.SIGTERM); err != nil || serr != nil && !errors.Is(serr, os.ErrProcessDone) {
		t.Fatal(err, serr)
	}
	c.wantExit(t, exitOK)
}

// The second SIGTERM cancels the step that runs; nothing of it is kept.
func TestSecondSIGTERMCancelsTheRun(t *testing.T) { onBoth(t, secondSIGTERMCancelsTheRun) }

func secondSIGTERMCancelsTheRun(t *testing.T, engine string) {
	c := holding(t, engine)
	c.drain(t)
	c.signal(t, syscall.SIGTERM)
	c.wantExit(t, exitInterrupted)
	if got := statuses(t, c, runsQuery); got != "130=interrupted" {
		t.Errorf("runs: %s", got)
	}
	if got := statuses(t, c, stepsQuery); !strings.Contains(got, "model:marts.people=interrupted sync:people=interrupted") {
		t.Errorf("steps: %s", got)
	}
	c.wantTold(t, "interrupted marts.people: cut short", "readers still see", "to continue: elt retry")
	if got := dump(t, c.dir, c.addr, "marts.people"); got != "no table\n" {
		t.Errorf("a cancelled build left\n%s", got)
	}
	mustRun(t, c.dir, c.addr)
}

// A run whose process was killed is running until the next run finds it.
func TestNextRunClosesAKilledOne(t *testing.T) { onBoth(t, nextRunClosesAKilledOne) }

func nextRunClosesAKilledOne(t *testing.T, engine string) {
	c := holding(t, engine)
	c.signal(t, syscall.SIGKILL)
	c.wantExit(t, -1)
	if got := statuses(t, c, runsQuery); got != "0=running" {
		t.Errorf("after the kill: %s", got)
	}
	mustRun(t, c.dir, c.addr)
	if got := statuses(t, c, runsQuery); got != "130=interrupted 0=ok" {
		t.Errorf("after the next run: %s", got)
	}
}

// The sample needs nothing of where it is run from, nor of the environment.
func TestSampleRunsFromAnywhereWithoutEnvironment(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "shop")
	for _, args := range [][]string{{"init", dir}, {"-C", dir, "run"}, {"-C", dir, "status"}} {
		c := start(t, dir, []string{}, args...)
		c.wantExit(t, exitOK)
	}
	if !exists(filepath.Join(dir, ".elt")) || exists(".elt") {
		t.Error("the run wrote to where it was started, not to its project")
	}
}
