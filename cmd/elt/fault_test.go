package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"elt/internal/fault"
	"elt/internal/testdb"
	"elt/internal/warehouse"
)

// faultCase is the project that other tests fail and kill; smallCase has one step
// of each kind, in a chain, so that a test can afford to fail every call of it.
const (
	faultCase = casesDir + "/the_loop_runs_twice"
	smallCase = casesDir + "/one_of_everything"
)

func faultProject(t *testing.T, engine string) (dir, addr string) {
	t.Helper()
	return projectOf(t, faultCase, engine)
}

// projectOf copies a case to a folder of its own, beside an empty warehouse.
func projectOf(t *testing.T, source, engine string) (dir, addr string) {
	t.Helper()
	if engine == "postgres" {
		return copyOf(t, source), testdb.URL(t)
	}
	return copyOf(t, source), "duckdb:wh.duckdb"
}

func copyOf(t *testing.T, source string) (dir string) {
	t.Helper()
	dir = filepath.Join(quickDir(t), "project")
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// quickDir is a folder in memory where the system has one: hundreds of warehouses
// are made and thrown away, and none has to outlive a power cut.
func quickDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "elt-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// outcome is all that a user can see of a project: tables and destination.
func outcome(t *testing.T, source, dir, addr string) map[string]string {
	t.Helper()
	out := map[string]string{}
	db := openAt(t, dir, addr)
	for _, table := range wanted(t, source, "tables") {
		out[table] = dumpFrom(t, db, strings.TrimSuffix(table, ".csv"))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, object := range wanted(t, source, "destination") {
		data, err := os.ReadFile(filepath.Join(dir, ".elt", "fake", "dev", object))
		if err != nil {
			t.Fatal(err)
		}
		out[object] = distinctLines(string(data))
	}
	return out
}

// A fault at call 1, 2, 3… of the warehouse, until a run passes untouched; after
// each, a clean rerun ends where a run without faults ends. A COMMIT fails in two
// ways: before it is done, and after, when only its answer is lost.
func TestFaultsOverAllCalls(t *testing.T) {
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			all := t
			used := make(chan string, 1000) // databases for the next one
			dir, addr := projectOf(t, smallCase, engine)
			var ops []string // of the calls of a run without faults
			var stderr bytes.Buffer
			code, out := elt(t, dir, addr, &stderr, hooked(func(call int, op string, before bool) error {
				if before && call == len(ops)+1 {
					ops = append(ops, op)
				}
				return nil
			}), "run", "--threads", "1")
			clean := outcome(t, smallCase, dir, addr)
			if code != 0 || len(ops) < 50 || slices.Contains(slices.Collect(maps.Values(clean)), "no table\n") {
				t.Fatalf("exit %d after %d calls\n%s\n%s", code, len(ops), out, &stderr)
			}
			t.Logf("a run makes %d calls", len(ops))
			for i := range len(ops) + 1 { // the last one is never reached
				for _, before := range []bool{true, false} {
					if before || i < len(ops) && ops[i] == fault.Commit {
						t.Run(fmt.Sprintf("%d/%t", i+1, before), func(t *testing.T) {
							t.Parallel()
							addr := emptied(t, all, engine, used)
							failAt(t, addr, i+1, before, i < len(ops), clean)
						})
					}
				}
			}
		})
	}
}

func hooked(hook fault.Hook) func(warehouse.Driver) warehouse.Driver {
	return func(d warehouse.Driver) warehouse.Driver { return fault.Driver(d, hook) }
}

// emptied is the address of an empty warehouse. Of PostgreSQL it takes a database
// that another of all's tests has done with, since making one costs more than a run.
func emptied(t, all *testing.T, engine string, used chan string) (addr string) {
	t.Helper()
	if engine == "duckdb" {
		return "duckdb:wh.duckdb"
	}
	select {
	case addr = <-used:
	default:
		addr = testdb.URL(all)
	}
	t.Cleanup(func() { used <- addr })
	empty(t, addr)
	return addr
}

// empty drops what runs of the cases make.
func empty(t *testing.T, addr string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(t.Context(), "DROP SCHEMA IF EXISTS _elt, elt, shop, marts CASCADE")
	if err := errors.Join(err, conn.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// failAt runs a new project with a fault at one call and then without, and wants
// the outcome of clean. reached says whether the run must come to that call.
func failAt(t *testing.T, addr string, call int, before, reached bool, clean map[string]string) {
	t.Helper()
	dir := copyOf(t, smallCase)
	hit := ""
	at := fault.At(call, before, errors.New("injected fault"))
	var stderr bytes.Buffer
	code, out := elt(t, dir, addr, &stderr, hooked(func(n int, op string, b bool) error {
		err := at(n, op, b)
		if err != nil {
			hit = op
		}
		return err
	}), "run", "--threads", "1")
	if (hit != "") != reached {
		t.Fatalf("call %d was reached: %t, want %t; exit %d\n%s\n%s", call, hit != "", reached, code, out, &stderr)
	}
	mustRun(t, dir, addr)
	if got := outcome(t, smallCase, dir, addr); !maps.Equal(got, clean) {
		t.Errorf("after a fault at call %d (%s) that ended with %d a clean rerun ends elsewhere:\n%v\nwant\n%v", call, hit, code, got, clean)
	}
}

func mustRun(t *testing.T, dir, addr string) {
	t.Helper()
	var stderr bytes.Buffer
	if code, out := elt(t, dir, addr, &stderr, nil, "run", "--threads", "1"); code != 0 {
		t.Fatalf("exit %d\n%s\n%s", code, out, stderr.String())
	}
}

// distinctLines sorts what a destination holds; a change that was pushed again,
// as after a crash, counts once.
func distinctLines(s string) string {
	return strings.Join(slices.Compact(strings.Split(withoutIDs(s), "\n")), "\n")
}
