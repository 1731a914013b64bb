package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"elt/internal/fault"
	"elt/internal/rows"
	"elt/internal/warehouse"
	"elt/internal/warehouse/duckdb"
)

// TestMain plays the process that dies when it is told where.
func TestMain(m *testing.M) {
	path, call := os.Getenv("FAULT_TEST_FILE"), 0
	if path == "" {
		os.Exit(m.Run())
	}
	if _, err := fmt.Sscan(os.Getenv("FAULT_TEST_CALL"), &call); err != nil {
		panic(err)
	}
	before := os.Getenv("FAULT_TEST_MOMENT") == "before"
	err := work(context.Background(), path, func(n int, _ string, b bool) error {
		if n == call && b == before {
			self, err := os.FindProcess(os.Getpid())
			if err == nil {
				err = self.Kill()
			}
			if err != nil {
				panic(err)
			}
			select {} // until the signal arrives
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
	os.Exit(0)
}

var errInjected = errors.New("injected")

// work writes the pair of rows that must never be apart, once.
func work(ctx context.Context, path string, hook fault.Hook) error {
	d, err := duckdb.Open(ctx, duckdb.Options{Path: path, Threads: 1})
	if err != nil {
		return err
	}
	wrapped := fault.Driver(d, hook)
	defer func() { _ = wrapped.Close() }()
	db, err := warehouse.Open(ctx, wrapped)
	if err != nil {
		return err
	}
	return db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		for _, q := range []string{
			"CREATE TABLE IF NOT EXISTS _elt.a (x bigint PRIMARY KEY)", "CREATE TABLE IF NOT EXISTS _elt.b (x bigint PRIMARY KEY)",
			"INSERT INTO _elt.a VALUES (1) ON CONFLICT DO NOTHING", "INSERT INTO _elt.b VALUES (1) ON CONFLICT DO NOTHING",
		} {
			if _, err := tx.Exec(ctx, q); err != nil {
				return err
			}
		}
		return warehouse.Each(ctx, tx, "SELECT 1", func(rows.Row) error { return nil })
	})
}

// contents reports how many rows each of the two tables has, 0 without table.
func contents(t *testing.T, path string) (n [2]int64) {
	t.Helper()
	d, err := duckdb.Open(t.Context(), duckdb.Options{Path: path, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	db := warehouse.OpenReadOnly(d)
	defer func() { _ = db.Close() }()
	for i, table := range []string{"a", "b"} {
		err := warehouse.Each(t.Context(), db, "SELECT count(*) FROM _elt."+table, func(r rows.Row) error { n[i] = r.Int(0); return nil })
		if err != nil && warehouse.KindOf(err) != warehouse.KindNotFound {
			t.Fatal(err)
		}
	}
	return n
}

func TestEveryCallCanFailBeforeAndAfter(t *testing.T) {
	for _, before := range []bool{true, false} {
		failed := map[string]bool{}
		for call := 1; ; call++ {
			path := filepath.Join(t.TempDir(), "wh.duckdb")
			hit := ""
			at := fault.At(call, before, errInjected)
			err := work(t.Context(), path, func(n int, op string, b bool) error {
				err := at(n, op, b)
				if err != nil {
					hit = op
				}
				return err
			})
			n := contents(t, path)
			if n[0] != n[1] || (err == nil) != (n[0] == 1) {
				t.Errorf("call %d (%s, before: %t): rows %v after error %v", call, hit, before, n, err)
			}
			if hit != "" && err != nil && !errors.Is(err, errInjected) {
				t.Errorf("call %d: error %v hides what was injected", call, err)
			}
			if err := work(t.Context(), path, fault.At(0, true, nil)); err != nil {
				t.Errorf("the clean run after call %d: %v", call, err)
			}
			if n := contents(t, path); n != [2]int64{1, 1} {
				t.Errorf("the clean run after call %d leaves %v", call, n)
			}
			if hit == "" {
				break
			}
			failed[hit] = true
		}
		for _, op := range []string{fault.Begin, fault.Exec, fault.Query, fault.Commit} {
			if !failed[op] {
				t.Errorf("no %s was made to fail (before: %t)", op, before)
			}
		}
	}
}

func TestAKillAtEveryCallLeavesAllOrNothing(t *testing.T) {
	for _, moment := range []string{"before", "after"} {
		for call := 1; ; call++ {
			path := filepath.Join(t.TempDir(), "wh.duckdb")
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), "FAULT_TEST_FILE="+path, fmt.Sprintf("FAULT_TEST_CALL=%d", call), "FAULT_TEST_MOMENT="+moment)
			cmd.Stderr = io.Discard
			died := cmd.Run() != nil
			if n := contents(t, path); n[0] != n[1] || !died && n[0] != 1 {
				t.Errorf("killed %s call %d: rows %v", moment, call, n)
			}
			if !died {
				if call < 8 {
					t.Errorf("only %d calls were reached", call-1)
				}
				break
			}
			if err := work(t.Context(), path, fault.At(0, true, nil)); err != nil {
				t.Errorf("the run after a kill %s call %d: %v", moment, call, err)
			}
			if n := contents(t, path); n != [2]int64{1, 1} {
				t.Errorf("the run after a kill %s call %d leaves %v", moment, call, n)
			}
		}
	}
}
