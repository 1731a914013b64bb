package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"elt/internal/rows"
	"elt/internal/warehouse"
)

// patience is how long a test waits for another process before it gives up.
const patience = 2 * time.Minute

// holdFile is made by a child that stands still, releaseFile lets it go on.
const (
	holdFile    = "child.held"
	releaseFile = "child.released"
)

// TestChildProcess is a process of elt for the tests of this file: it runs the
// command line after --, and does nothing in an ordinary test run. With
// ELT_TEST_HOLD=DIR its run stands still in the build of a mart; it makes the
// file of ELT_TEST_ASKED when it asks for the address of its warehouse.
func TestChildProcess(*testing.T) {
	if flag.NArg() == 0 {
		return
	}
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.LookupEnv}
	if dir, ok := os.LookupEnv("ELT_TEST_HOLD"); ok {
		a.wrap = func(d warehouse.Driver) warehouse.Driver { return &holdDriver{Driver: d, dir: dir} }
	}
	if path, ok := os.LookupEnv("ELT_TEST_ASKED"); ok {
		a.env = func(name string) (string, bool) {
			if name == "WAREHOUSE" {
				if err := os.WriteFile(path, nil, 0o600); err != nil {
					panic(err)
				}
			}
			return os.LookupEnv(name)
		}
	}
	os.Exit(a.main(context.Background(), flag.Args()))
}

// holdDriver holds, once a run is recorded, the first statement about a mart.
type holdDriver struct {
	warehouse.Driver
	dir       string
	run, held atomic.Bool
}

func (d *holdDriver) Begin(ctx context.Context, readOnly bool) (warehouse.DriverTx, error) {
	tx, err := d.Driver.Begin(ctx, readOnly)
	if err != nil {
		return nil, err
	}
	return &holdTx{DriverTx: tx, d: d}, nil
}

type holdTx struct {
	warehouse.DriverTx
	d *holdDriver
}

func (t *holdTx) Exec(ctx context.Context, q string, args ...any) (int64, error) {
	if strings.Contains(q, "INSERT INTO _elt.run") {
		t.d.run.Store(true)
	}
	if t.d.run.Load() && strings.Contains(q, `"marts"`) && t.d.held.CompareAndSwap(false, true) {
		if err := os.WriteFile(filepath.Join(t.d.dir, holdFile), nil, 0o600); err != nil {
			return 0, err
		}
		if err := poll(ctx, func() bool { return exists(filepath.Join(t.d.dir, releaseFile)) }); err != nil {
			return 0, err
		}
	}
	return t.DriverTx.Exec(ctx, q, args...)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// poll asks until the answer is yes.
func poll(ctx context.Context, yes func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}

// child is a process of elt in the project in dir.
type child struct {
	*exec.Cmd
	dir  string
	out  bytes.Buffer // both streams; to be read after done is closed
	done chan struct{}
	code int // -1 after a signal
}

// start starts elt with args; env is all of its environment.
func start(t *testing.T, dir string, env []string, args ...string) *child {
	t.Helper()
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	c := &child{dir: dir, done: make(chan struct{})}
	c.Cmd = exec.CommandContext(t.Context(), self, append([]string{"-test.run=^TestChildProcess$", "--"}, args...)...)
	c.Env, c.Stdout, c.Stderr = env, &c.out, &c.out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.done)
		_ = c.Wait() // its exit code says it
		c.code = c.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		_ = c.Process.Kill() // fails where it has ended
		<-c.done
	})
	return c
}

// holding starts a run that stands still in the build of marts.people.
func holding(t *testing.T) *child {
	t.Helper()
	dir, addr := faultProject(t, "duckdb")
	c := start(t, dir, append(os.Environ(), "WAREHOUSE="+addr, "ELT_TEST_HOLD="+dir), "-C", dir, "run", "--threads", "1")
	c.until(t, "a run stands still", func() bool { return exists(filepath.Join(dir, holdFile)) })
	return c
}

// until waits for a condition that holds while the child lives.
func (c *child) until(t *testing.T, what string, yes func() bool) {
	t.Helper()
	ended := false
	err := poll(t.Context(), func() bool {
		select {
		case <-c.done:
			ended = true
		default:
		}
		return ended || yes()
	})
	if ended {
		t.Fatalf("waiting until %s: the child has ended with %d\n%s", what, c.code, &c.out)
	}
	if err != nil {
		t.Fatalf("waiting until %s: %v", what, err)
	}
}

func (c *child) release(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, releaseFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (c *child) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := c.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
}

// drain sends the first SIGTERM and waits until no more steps are started.
func (c *child) drain(t *testing.T) {
	t.Helper()
	c.signal(t, syscall.SIGTERM)
	c.until(t, "the sync is given up", func() bool {
		var stderr bytes.Buffer
		_, out := elt(t, c.dir, "duckdb:wh.duckdb", &stderr, nil, "query", "select status from _elt.step where kind = 'sync'")
		return strings.Contains(out, "interrupted")
	})
}

// wantExit waits for the child's end.
func (c *child) wantExit(t *testing.T, code int) {
	t.Helper()
	select {
	case <-c.done:
		if c.code != code {
			t.Fatalf("the child exits with %d, want %d\n%s", c.code, code, &c.out)
		}
	case <-time.After(patience):
		t.Fatal("the child does not end")
	}
}

// wantTold wants each text in what the child, which has ended, told.
func (c *child) wantTold(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(c.out.String(), text) {
			t.Errorf("%q is not told:\n%s", text, &c.out)
		}
	}
}

// statuses reads NAME=STATUS of the query's two columns from the closed warehouse.
func statuses(t *testing.T, dir, query string) string {
	t.Helper()
	db := openAt(t, dir, "duckdb:wh.duckdb")
	var out []string
	err := warehouse.Each(t.Context(), db, query, func(r rows.Row) error {
		out = append(out, r.String(0)+"="+r.String(1))
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}

const (
	runsQuery  = `SELECT CAST(exit_code AS text), status FROM _elt.run ORDER BY started_at`
	stepsQuery = `SELECT kind || ':' || name, status FROM _elt.step ORDER BY kind, name`
)

// A second run names who owns the file; with wait_for_lock it waits for it.
func TestSecondRunOnAFileThatIsOwned(t *testing.T) {
	t.Parallel()
	c := holding(t)
	var stderr bytes.Buffer
	code, _ := elt(t, c.dir, "duckdb:wh.duckdb", &stderr, nil, "run")
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
	if got := statuses(t, c.dir, runsQuery); got != "0=ok 0=ok" {
		t.Errorf("runs: %s", got)
	}
}

// A SIGTERM while a run waits for the file ends it at once, in one line.
func TestSIGTERMWhileWaitingForTheFile(t *testing.T) {
	t.Parallel()
	c := holding(t)
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

// Who looks while a run is on is answered by the process that runs.
func TestLookWhileARunIsOn(t *testing.T) {
	t.Parallel()
	c := holding(t)
	for _, look := range []struct{ want, args string }{
		{"running", "status"},
		{"running", "runs"},
		{"shop.orders", "status"},
		{"running", "query|select status from _elt.run"},
		{"3", "query|select count(*) as n from shop.orders"},
	} {
		var stderr bytes.Buffer
		code, out := elt(t, c.dir, "duckdb:wh.duckdb", &stderr, nil, strings.Split(look.args, "|")...)
		if code != exitOK || !strings.Contains(out, look.want) {
			t.Errorf("elt %s: exit %d, want %q\n%s\n%s", look.args, code, look.want, out, &stderr)
		}
	}
	c.release(t)
	c.wantExit(t, exitOK)
}

// The first SIGTERM lets running steps end and starts no more.
func TestSIGTERMDrainsTheRun(t *testing.T) {
	t.Parallel()
	c := holding(t)
	c.drain(t)
	c.release(t)
	c.wantExit(t, exitInterrupted)
	if got := statuses(t, c.dir, runsQuery); got != "130=interrupted" {
		t.Errorf("runs: %s", got)
	}
	if got, want := statuses(t, c.dir, stepsQuery), "extract:shop.orders=ok extract:shop.people=ok model:marts.people=ok sync:people=interrupted"; got != want {
		t.Errorf("steps: %s\nwant:  %s", got, want)
	}
	c.wantTold(t, "interrupted people: not started", "elt run people")
	mustRun(t, c.dir, "duckdb:wh.duckdb")
}

// The second SIGTERM cancels the step that runs; nothing of it is kept.
func TestSecondSIGTERMCancelsTheRun(t *testing.T) {
	t.Parallel()
	c := holding(t)
	c.drain(t)
	c.signal(t, syscall.SIGTERM)
	c.wantExit(t, exitInterrupted)
	if got := statuses(t, c.dir, runsQuery); got != "130=interrupted" {
		t.Errorf("runs: %s", got)
	}
	if got := statuses(t, c.dir, stepsQuery); !strings.Contains(got, "model:marts.people=interrupted sync:people=interrupted") {
		t.Errorf("steps: %s", got)
	}
	c.wantTold(t, "interrupted marts.people: cut short", "readers still see", "elt run people marts.people")
	if got := dump(t, c.dir, "duckdb:wh.duckdb", "marts.people"); got != "no table\n" {
		t.Errorf("a cancelled build left\n%s", got)
	}
	mustRun(t, c.dir, "duckdb:wh.duckdb")
}

// A run whose process was killed is running until the next run finds it.
func TestNextRunClosesAKilledOne(t *testing.T) {
	t.Parallel()
	c := holding(t)
	c.signal(t, syscall.SIGKILL)
	c.wantExit(t, -1)
	if got := statuses(t, c.dir, runsQuery); got != "0=running" {
		t.Errorf("after the kill: %s", got)
	}
	mustRun(t, c.dir, "duckdb:wh.duckdb")
	if got := statuses(t, c.dir, runsQuery); got != "130=interrupted 0=ok" {
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
