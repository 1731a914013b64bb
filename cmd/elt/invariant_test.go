package main

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"elt/internal/fault"
	"elt/internal/state"
	"elt/internal/warehouse"
)

// Invariant 1: a cursor is saved only in the transaction that publishes its rows,
// and a run of zero rows keeps it. Whichever call fails, a stream has a cursor
// exactly when its table is there.
func TestInvariant1CursorMovesOnlyWithItsRows(t *testing.T) {
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			for _, call := range []int{25, 45, 65, 85, 105} {
				dir, addr := faultProject(t, engine)
				var stderr bytes.Buffer
				elt(t, dir, addr, &stderr, func(d warehouse.Driver) warehouse.Driver {
					return fault.Driver(d, fault.At(call, true, errors.New("injected fault")))
				}, "run", "--threads", "1")
				for stream := range cursors(t, dir, addr) {
					if rows := dump(t, dir, addr, stream); rows == "no table\n" {
						t.Errorf("fault at call %d: %s has a cursor and no rows", call, stream)
					}
				}
			}
			dir, addr := faultProject(t, engine)
			mustRun(t, dir, addr)
			before := cursors(t, dir, addr)
			mustRun(t, dir, addr)
			if after := cursors(t, dir, addr); len(before) != 2 || !maps.Equal(before, after) {
				t.Errorf("a run of zero rows changed the cursors %v to %v", before, after)
			}
		})
	}
}

func cursors(t *testing.T, dir, addr string) map[string]string {
	t.Helper()
	db := openAt(t, dir, addr)
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	list, err := state.View(db, "tiny", "dev").Cursors(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for stream, c := range list {
		out[stream] = string(c)
	}
	return out
}

// Invariant 4: what was read is staged, quarantined or discarded, and what was
// staged is published, superseded or there already; each load's record says so.
func TestInvariant4EveryLoadBalances(t *testing.T) {
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			dir, addr := faultProject(t, engine)
			mustRun(t, dir, addr)
			mustRun(t, dir, addr)
			db := openAt(t, dir, addr)
			defer func() {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			}()
			loads, err := state.View(db, "tiny", "dev").Loads(t.Context(), "", 100)
			if err != nil || len(loads) < 2 {
				t.Fatalf("%d loads, err %v", len(loads), err)
			}
			for _, l := range loads {
				if l.Read != l.Staged+l.Quarantined+l.Discarded || l.Staged != l.Published+l.Superseded+l.AlreadyPresent {
					t.Errorf("%s does not balance: %+v", l.Stream, l)
				}
			}
		})
	}
}

// Rows that were rejected can be looked at also when there were too many of them
// and the load was not published.
func TestRejectsOverTheirLimitAreKept(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "project")
	if err := os.CopyFS(dir, os.DirFS(casesDir+"/too_many_bad_lines_fail_the_load")); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	if code, out := elt(t, dir, "duckdb:wh.duckdb", &stderr, nil, "run"); code != exitCheck || !strings.Contains(out, "elt quarantine in.things") {
		t.Fatalf("exit %d\n%s\n%s", code, out, &stderr)
	}
	code, out := elt(t, dir, "duckdb:wh.duckdb", &stderr, nil, "quarantine", "in.things")
	if code != 0 || !strings.Contains(out, "data/a.jsonl:2") {
		t.Errorf("exit %d, the quarantine does not show line 2\n%s\n%s", code, out, &stderr)
	}
}
