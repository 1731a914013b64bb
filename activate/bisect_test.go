package activate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

// poisoned are changes whose name says so.
func poisoned(c activate.Change) string {
	if strings.Contains(string(c.Fields), `"name":"bad`) {
		return "a contact with this address exists"
	}
	return ""
}

// fillModel makes rows 1..n, of which some are bad.
func (w *world) fillModel(n int, bad ...int) {
	w.t.Helper()
	w.exec(`DELETE FROM marts.customers`,
		fmt.Sprintf(`INSERT INTO marts.customers SELECT i, 'x' FROM generate_series(1, %d) AS s(i)`, n))
	for _, id := range bad {
		w.exec(fmt.Sprintf(`UPDATE marts.customers SET name = 'bad%d' WHERE id = %d`, id, id))
	}
}

// A destination that refuses a whole call for one row gets all the others; the
// row waits with what was said of it, and is not asked for again.
func TestGoodRowsAreNotHeldBackByBadOnes(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 64)
		w.dest.Poison = poisoned
		w.fillModel(128, 7, 100, 101)
		if r := w.mustRun(); r.Acked != 125 || r.Rejected != 3 || r.Problem != "" {
			t.Errorf("%+v, want 125 acked and 3 rejected", r)
		}
		if most := 2 + 3*2*6; w.dest.Calls() > most { // two batches; two calls for each of 6 halvings
			t.Errorf("%d calls, want at most %d", w.dest.Calls(), most)
		}
		refused, err := w.st.RefusedRows(t.Context(), "crm", 0)
		if err != nil || len(refused) != 3 || refused[0].Code != "conflict" || refused[0].Message != "a contact with this address exists" {
			t.Errorf("refused rows: %+v, %v", refused, err)
		}
		calls := w.dest.Calls()
		if r := w.mustRun(); r.Rejected != 3 || r.Unchanged != 125 || w.dest.Calls() != calls {
			t.Errorf("%+v after %d more calls, want none", r, w.dest.Calls()-calls)
		}
		w.fillModel(128)
		if r := w.mustRun(); r.Acked != 3 || r.Rejected != 0 {
			t.Errorf("%+v, want the mended rows sent", r)
		}
	})
}

// Where all rows are to blame, the guard ends it before each of them has cost
// two calls.
func TestRejectGuardStopsHalving(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 1000)
		w.dest.Poison = func(activate.Change) string { return "no" }
		w.fillModel(1000)
		w.sync.Guards.MaxRejectPercent = 5
		if r := w.mustRun(); r.Rejected != 200 || r.Deferred != 800 || !strings.Contains(r.Problem, "max_reject") {
			t.Errorf("%+v, want 200 rejected and the rest deferred", r)
		}
	})
}

// A row whose first try may have happened, and whose second is refused, is
// rejected, but what may be there stays in doubt until it is acknowledged, unless
// the destination knows operations by their key.
func TestARefusalDoesNotEndADoubt(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		for replay, open := range map[activate.ReplayClass]int64{activate.Idempotent: 1, activate.IdempotencyKey: 0} {
			w := newWorld(t, db, activate.ModeUpsert, 4)
			w.sync.Name = "crm_" + string(replay)
			w.dest.Max.Replay = replay
			w.fillModel(4, 3)
			w.dest.Fault = func(call int, _ activate.Batch) activatetest.Fault {
				if call == 1 {
					return activatetest.LoseReply
				}
				w.dest.Poison = poisoned // from the second call on
				return activatetest.None
			}
			if r := w.mustRun(); r.Acked != 3 || r.Rejected != 1 {
				t.Errorf("%s: %+v, want 3 acked and 1 rejected", replay, r)
			}
			if n := w.one(`SELECT count(*) FROM _elt.intent WHERE sync = $1 AND state = 'UNKNOWN'`, w.sync.Name); n != open {
				t.Errorf("%s: %d intents are unknown, want %d", replay, n, open)
			}
		}
	})
}

// A call that would fail whatever its rows are ends the sync: what was answered
// is settled, the rest waits, and the run is recorded.
func TestBarredEndsTheSync(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		for _, workers := range []int{1, 3} {
			w := newWorld(t, db, activate.ModeUpsert, 1)
			w.sync.Name = fmt.Sprintf("crm%d", workers)
			w.dest.Max.Concurrency = workers
			w.fillModel(20)
			w.dest.Fault = func(call int, _ activate.Batch) activatetest.Fault {
				if call > 4 {
					return activatetest.Bar
				}
				return activatetest.None
			}
			r := w.mustRun()
			var barred *activate.BarredError
			if !errors.As(r.Barred, &barred) || barred.Hint != "make another token" || r.Problem != "the token was revoked" {
				t.Errorf("barred %v, problem %q", r.Barred, r.Problem)
			}
			if r.Acked != 4 || r.Deferred != 16 || w.dest.Calls() > 4+workers {
				t.Errorf("%+v after %d calls, want 4 acked and nothing sent after the refusal", r, w.dest.Calls())
			}
			runs, err := w.st.SyncHistory(context.Background(), w.sync.Name, 1)
			if err != nil || len(runs) != 1 || runs[0].Status != "stopped" || runs[0].Deferred != 16 {
				t.Errorf("history %+v, %v", runs, err)
			}
			w.dest.Fault = nil
			if r := w.mustRun(); r.Acked != 16 || r.Barred != nil {
				t.Errorf("%+v, want the rest sent", r)
			}
		}
	})
}

// Up to Concurrency calls are on their way, each with keys that no other has.
func TestCallsAreSideBySide(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		const workers = 4
		w := newWorld(t, db, activate.ModeUpsert, 2)
		w.dest.Max.Concurrency = workers
		w.fillModel(4 * workers)
		var (
			mu       sync.Mutex
			inFlight = map[string]bool{}
			arrived  int
			full     = make(chan struct{})
		)
		w.dest.Before = func(_ context.Context, b activate.Batch) {
			mu.Lock()
			for _, c := range b.Changes {
				if inFlight[string(c.Key)] {
					t.Errorf("key %s is in two calls", c.Key)
				}
				inFlight[string(c.Key)] = true
			}
			if arrived++; arrived == workers {
				close(full)
			}
			mu.Unlock()
			<-full
		}
		if r := w.mustRun(); r.Acked != 4*workers {
			t.Errorf("%+v", r)
		}
	})
}

// The process dies in one of several calls: its caller hears of it, and the next
// run ends with everything there once.
func TestACrashAmongCallsSideBySide(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeAppend, 1)
		w.dest.Max.Concurrency, w.dest.Max.Replay = 4, activate.IdempotencyKey
		w.fillModel(12)
		w.dest.Fault = func(call int, _ activate.Batch) activatetest.Fault {
			if call == 3 {
				return activatetest.CrashAfter
			}
			return activatetest.None
		}
		if _, crashed, err := w.run(t.Context()); !crashed {
			t.Fatalf("no crash; %v", err)
		}
		w.dest.Fault = nil
		if r := w.mustRun(); r.Acked+r.Unchanged != 12 || len(w.dest.Rows()) != 12 {
			t.Errorf("%+v, and %d rows there", r, len(w.dest.Rows()))
		}
	})
}
