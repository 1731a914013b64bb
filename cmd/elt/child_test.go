package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
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

// TestChildProcess is a process of elt for tests of processes: it runs the
// command line after --, and does nothing in an ordinary test run. With
// ELT_TEST_HOLD=DIR its run stands still in the build of a mart, or in what writes
// to the schema of ELT_TEST_HOLD_IN; it makes the file of ELT_TEST_ASKED when it asks for the address of its warehouse.
func TestChildProcess(*testing.T) {
	if flag.NArg() == 0 {
		return
	}
	if err := limitFiles(); err != nil {
		panic(err)
	}
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.LookupEnv, wrap: failpoint(os.LookupEnv)}
	if dir, ok := os.LookupEnv("ELT_TEST_HOLD"); ok {
		in := cmp.Or(os.Getenv("ELT_TEST_HOLD_IN"), "marts")
		a.wrap = func(d warehouse.Driver) warehouse.Driver { return &holdDriver{Driver: d, dir: dir, in: in} }
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

// holdDriver holds, once a run is recorded, the first statement about a schema.
type holdDriver struct {
	warehouse.Driver
	dir, in   string
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
	if t.d.run.Load() && strings.Contains(q, `"`+t.d.in+`"`) && t.d.held.CompareAndSwap(false, true) {
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
	addr string       // of its warehouse
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
func holding(t *testing.T, engine string) *child {
	t.Helper()
	dir, addr := faultProject(t, engine)
	c := start(t, dir, append(os.Environ(), "WAREHOUSE="+addr, "ELT_TEST_HOLD="+dir), "-C", dir, "run", "--threads", "1")
	c.addr = addr
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
		_, out := elt(t, c.dir, c.addr, &stderr, nil, "query", "select status from _elt.step where kind = 'sync'")
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
func statuses(t *testing.T, c *child, query string) string {
	t.Helper()
	db := openAt(t, c.dir, c.addr)
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
