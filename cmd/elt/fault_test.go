package main

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"elt/internal/fault"
	"elt/internal/testdb"
	"elt/internal/warehouse"
)

// faultCase is the project that is broken at its calls.
const faultCase = casesDir + "/the_loop_runs_twice"

func faultProject(t *testing.T, engine string) (dir, addr string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "project")
	if err := os.CopyFS(dir, os.DirFS(faultCase)); err != nil {
		t.Fatal(err)
	}
	if engine == "postgres" {
		return dir, testdb.URL(t)
	}
	return dir, "duckdb:wh.duckdb"
}

// outcome is all that a user can see of the project: tables and destination.
func outcome(t *testing.T, dir, addr string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, table := range wanted(t, faultCase, "tables") {
		out[table] = dump(t, dir, addr, table[:len(table)-len(".csv")])
	}
	for _, object := range wanted(t, faultCase, "destination") {
		data, err := os.ReadFile(filepath.Join(dir, ".elt", "fake", object))
		if err != nil {
			t.Fatal(err)
		}
		out[object] = lastOfEachKey(string(data))
	}
	return out
}

// A fault at calls 1, 4, 7… of the warehouse, until a run passes untouched; after
// each, a clean rerun ends where a run without faults ends.
func TestFaultsOverAllCalls(t *testing.T) {
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			dir, addr := faultProject(t, engine)
			mustRun(t, dir, addr)
			clean := outcome(t, dir, addr)
			for index := 1; ; index += stride(index) {
				dir, addr := faultProject(t, engine)
				reached := false
				wrap := func(d warehouse.Driver) warehouse.Driver {
					at := fault.At(index, true, errors.New("injected fault"))
					return fault.Driver(d, func(call int, op string, before bool) error {
						reached = reached || call >= index
						return at(call, op, before)
					})
				}
				var stderr bytes.Buffer
				elt(t, dir, addr, &stderr, wrap, "run", "--threads", "1")
				mustRun(t, dir, addr)
				if got := outcome(t, dir, addr); !maps.Equal(got, clean) {
					t.Fatalf("after a fault at call %d a clean rerun ends elsewhere:\n%v\nwant\n%v", index, got, clean)
				}
				if !reached {
					return
				}
			}
		})
	}
}

// stride keeps the suite short: it samples the calls, densely where a run is
// prepared. Every single call is not tried yet.
func stride(index int) int {
	if index < 12 {
		return 3
	}
	return 17
}

// A SIGKILL at calls of the re-executed binary; a clean rerun ends where a run
// without faults ends, nothing lost, nothing doubled.
func TestKillAtFailpoints(t *testing.T) {
	t.Parallel()
	dir, addr := faultProject(t, "duckdb")
	mustRun(t, dir, addr)
	clean := outcome(t, dir, addr)
	killed := 0
	for _, at := range []int{3, -9, 20, -33, 47, -60, 90, -120, 150, -200} {
		dir, addr := faultProject(t, "duckdb")
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChildElt$")
		cmd.Env = append(os.Environ(), "ELT_TEST_CHILD="+dir, "WAREHOUSE="+addr, "ELT_FAILPOINT="+strconv.Itoa(at), "HOME="+dir)
		err := cmd.Run()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGKILL {
				killed++
			}
		}
		mustRun(t, dir, addr)
		if got := outcome(t, dir, addr); !maps.Equal(got, clean) {
			t.Fatalf("killed at %d, a clean rerun ends elsewhere:\n%v\nwant\n%v", at, got, clean)
		}
	}
	if killed < 5 {
		t.Errorf("only %d of 10 children were killed; are the failpoints reached?", killed)
	}
}

// TestChildElt is the process that TestKillAtFailpoints kills: it runs elt where
// ELT_TEST_CHILD says and does nothing in an ordinary test run.
func TestChildElt(t *testing.T) {
	dir, ok := os.LookupEnv("ELT_TEST_CHILD")
	if !ok {
		return
	}
	var stderr bytes.Buffer
	elt(t, dir, os.Getenv("WAREHOUSE"), &stderr, failpoint(os.LookupEnv), "run", "--threads", "1")
}

func mustRun(t *testing.T, dir, addr string) {
	t.Helper()
	var stderr bytes.Buffer
	if code, out := elt(t, dir, addr, &stderr, nil, "run", "--threads", "1"); code != 0 {
		t.Fatalf("exit %d\n%s\n%s", code, out, stderr.String())
	}
}

// lastOfEachKey reads the destination as its readers do: the last line of a key.
func lastOfEachKey(s string) string {
	last := map[string]string{}
	for line := range bytes.Lines([]byte(withoutIDs(s))) {
		last[string(line)] = ""
	}
	keys := slices.Sorted(maps.Keys(last))
	return string(bytes.Join(func() (b [][]byte) {
		for _, k := range keys {
			b = append(b, []byte(k))
		}
		return b
	}(), nil))
}
