package activate_test

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync/atomic"
	"testing"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/internal/fault"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

// trap fails, or kills, one call of the warehouse once it is set.
type trap struct {
	at      atomic.Int64 // the call that fails, counted from when it was set; 0: none
	calls   atomic.Int64 // those that could
	crash   bool
	after   bool // COMMITs alone, after they have happened
	reached bool
}

func (c *trap) hook(_ int, op string, before bool) error {
	at := c.at.Load()
	if at == 0 || op == fault.Rollback || before == c.after || c.after && op != fault.Commit {
		return nil
	}
	if c.calls.Add(1) != at {
		return nil
	}
	c.reached = true
	if c.crash {
		panic(activatetest.Crash{})
	}
	return errors.New("injected")
}

// Every call of the warehouse between a plan and its end fails once, or is where
// the process dies, inside the transactions that prepare and settle too; it dies
// also after each COMMIT. Whatever it was, the next runs end with every row at
// the destination once, and nothing open.
func TestInvariant8AFaultAtEveryCall(t *testing.T) {
	for engine, mode := range map[string]string{"duckdb": activate.ModeUpsert, "postgres": activate.ModeAppend} {
		t.Run(engine+"/"+mode, func(t *testing.T) {
			t.Parallel()
			c := &trap{}
			db, err := warehouse.Open(t.Context(), fault.Driver(warehousetest.Open(t, engine), c.hook))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			for kind, set := range []struct{ crash, after bool }{{false, false}, {true, false}, {true, true}} {
				c.crash, c.after = set.crash, set.after
				for at := int64(1); ; at++ {
					if c.reached = false; !faultAt(t, db, mode, c, at, fmt.Sprintf("%s%d_%d", mode, kind, at)) {
						break
					}
				}
			}
		})
	}
}

// faultAt pushes changes with a fault at one call, then without; false when the
// push had fewer calls.
func faultAt(t *testing.T, db *warehouse.DB, mode string, c *trap, at int64, name string) bool {
	t.Helper()
	w := newWorld(t, db, mode, 2)
	w.sync.Name = name
	if mode == activate.ModeAppend {
		w.dest.Max.Replay = activate.IdempotencyKey
	}
	w.dest.Reject = func(ch activate.Change) string {
		if strings.Contains(string(ch.Fields), "bad") {
			return "no"
		}
		return ""
	}
	w.model(map[int]string{1: "a", 2: "b"})
	w.mustRun()
	rows := map[int]string{1: "a", 2: "c", 3: "bad", 4: "d"}
	w.model(rows)
	w.broken(c, at)
	rows[3] = "mended"
	w.model(rows)
	for range 2 { // with idempotency keys the first may send what was meant before
		w.mustRun()
	}
	if r := w.mustRun(); r.Unchanged != int64(len(rows)) {
		t.Errorf("%s: %+v, want all %d rows unchanged", name, r, len(rows))
	}
	want := []string{"1", "2", "3", "4"}
	var got []string
	for _, pair := range w.there() {
		id, value, _ := strings.Cut(pair, ":")
		got = append(got, id)
		if mode == activate.ModeUpsert && value != rows[int(id[0]-'0')] {
			t.Errorf("%s: the destination has %s, want %s", name, pair, rows[int(id[0]-'0')])
		}
	}
	if sort.Strings(got); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%s: the destination has rows %v, want each of %v once", name, got, want)
	}
	if n := w.one(`SELECT count(*) FROM _elt.intent WHERE sync = $1`, name); n != 0 {
		t.Errorf("%s: %d intents are open", name, n)
	}
	return c.reached
}

// broken plans, and pushes with the trap set.
func (w *world) broken(c *trap, at int64) {
	w.t.Helper()
	w.runs++
	sync := w.sync
	sync.RunID = fmt.Sprintf("run%d", w.runs)
	plan, err := activate.NewPlan(context.Background(), w.db, w.st, sync)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() {
		c.at.Store(0)
		switch p := recover().(type) {
		case nil:
			if err := plan.Close(context.Background()); err != nil {
				w.t.Errorf("close: %v", err)
			}
		case activatetest.Crash:
			plan.Abandon()
		default:
			panic(p)
		}
	}()
	c.calls.Store(0)
	c.at.Store(at)
	_, _ = plan.Push(context.Background(), activate.Connector{Destination: w.dest}, noWait) // what it says of the fault does not matter here
}
