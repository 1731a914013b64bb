package activate_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/internal/retry"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

// unsure is a world whose destination does everything again that it is sent again,
// with one row whose outcome nobody knows: done or not.
func unsure(t *testing.T, db *warehouse.DB, mode string, done bool) *world {
	t.Helper()
	w := newWorld(t, db, mode, 10)
	w.dest.Max.Replay = activate.Reconcile
	w.model(map[int]string{1: "a", 2: "b"})
	w.dest.Fault = func(int, activate.Batch) activatetest.Fault {
		if done {
			return activatetest.LoseReply
		}
		return activatetest.LoseCall
	}
	if r := w.mustRun(); r.Unknown != 2 {
		t.Fatalf("%+v, want two unknown", r)
	}
	w.dest.Fault = nil
	w.lookup = w.dest
	return w
}

// sent wants the last operations of a key to have these outcomes, the latest first.
func (w *world) sent(key string, statuses ...string) {
	w.t.Helper()
	x, err := activate.Explain(w.t.Context(), w.db, w.st, w.sync, []string{key}, len(statuses))
	if err != nil {
		w.t.Fatal(err)
	}
	got := make([]string, len(x.Sent))
	for i, s := range x.Sent {
		got[i] = s.Status
	}
	if !slices.Equal(got, statuses) {
		w.t.Errorf("explain tells of %v for key %s, want %v", got, key, statuses)
	}
}

// What is there is acknowledged without a call; what is not there is sent, once.
func TestUnknownIsLookedUpBeforeAnythingIsSent(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		for _, mode := range []string{activate.ModeAppend, activate.ModeInsert, activate.ModeUpsert} {
			for _, done := range []bool{true, false} {
				w := unsure(t, db, mode, done)
				calls := w.dest.Calls()
				r := w.mustRun()
				if sent := w.dest.Calls() > calls; r.Acked != 2 || r.Unknown != 0 || sent == done {
					t.Errorf("%s, done %v: %+v, sent again: %v", mode, done, r, sent)
				}
				w.want("1:a", "2:b")
				w.sent("1", "acked", "unknown")
				if r := w.mustRun(); r.Unchanged != 2 {
					t.Errorf("%s, done %v: %+v, want nothing left to do", mode, done, r)
				}
				w.exec(`DELETE FROM _elt.ledger`, `DELETE FROM _elt.intent`)
			}
		}
	})
}

// The row has become another one since: what was sent is looked for, the ledger says
// what is there, and the row goes out as it is now.
func TestTheEarlierPayloadIsLookedUp(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := unsure(t, db, activate.ModeUpsert, true)
		w.model(map[int]string{1: "a2", 2: "b"})
		var asked []string
		w.dest.Blind = func(changes []activate.Change) error {
			for _, c := range changes {
				asked = append(asked, string(c.Fields))
			}
			return nil
		}
		if r := w.mustRun(); r.Acked != 2 || r.New != 0 {
			t.Errorf("%+v, want one found and one sent", r)
		}
		w.sent("1", "acked", "acked", "unknown")
		if len(asked) != 2 || asked[0] == `{"customer_id":1,"name":"a2"}` || asked[1] == `{"customer_id":1,"name":"a2"}` {
			t.Errorf("asked for %v, want what was sent", asked)
		}
		w.want("1:a2", "2:b")
	})
}

// The earlier payload is there and what should replace it is refused: the ledger
// has what is there, so that going back to what was acknowledged before is a change.
func TestWhatWasFoundIsTheBaseline(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 10)
		w.dest.Max.Replay = activate.Reconcile
		w.model(map[int]string{1: "a"})
		w.mustRun()
		w.model(map[int]string{1: "b"})
		w.dest.Fault = func(int, activate.Batch) activatetest.Fault { return activatetest.LoseReply }
		w.mustRun()
		w.lookup = w.dest
		w.model(map[int]string{1: "c"})
		w.dest.Fault = func(int, activate.Batch) activatetest.Fault { return activatetest.RefuseAll }
		if r := w.mustRun(); r.Deferred != 1 {
			t.Errorf("%+v, want the row deferred", r)
		}
		w.dest.Fault = nil
		w.model(map[int]string{1: "a"})
		if r := w.mustRun(); r.Acked != 1 {
			t.Errorf("%+v, want the row sent: b is there", r)
		}
		w.want("1:a")
	})
}

// Of what nobody can tell, only the key waits.
func TestWhatCannotBeLookedUpStaysUnknown(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		for name, err := range map[string]error{"for good": errors.New("no such search"), "for now": retry.AsTransient(errors.New("busy"))} {
			w := unsure(t, db, activate.ModeAppend, true)
			w.model(map[int]string{1: "a", 2: "b", 3: "c"})
			w.dest.Blind = func([]activate.Change) error { return err }
			if r := w.mustRun(); r.Unknown != 2 || r.Acked != 1 {
				t.Errorf("%s: %+v, want two unknown and the new row sent", name, r)
			}
			w.dest.Blind = nil
			if r := w.mustRun(); r.Acked != 2 || r.Unchanged != 1 {
				t.Errorf("%s: %+v, want the two found", name, r)
			}
			w.want("1:a", "2:b", "3:c")
			w.exec(`DELETE FROM _elt.ledger`)
		}
	})
}

// Each look is a call as others are: it counts, as many rows as it can be for.
func TestEachLookIsACall(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		for _, c := range []struct{ rows, looks, acked int }{{0, 1, 2}, {2, 1, 2}, {1, 1, 1}} {
			w := unsure(t, db, activate.ModeAppend, true)
			w.sync.Account = fmt.Sprint("account ", c.rows)
			w.dest.Max.LookRows, w.dest.Max.Concurrency = c.rows, 2
			w.dest.Max.Rates = []activate.Rate{{Calls: 1, Per: 24 * time.Hour}}
			looks := 0
			w.dest.Blind = func(changes []activate.Change) error { // it is under the lock of dest
				if looks++; c.rows > 0 && len(changes) > c.rows {
					t.Errorf("a look for %d rows, want at most %d", len(changes), c.rows)
				}
				return nil
			}
			if r := w.mustRun(); looks != c.looks || r.Acked != int64(c.acked) || r.Unknown != int64(2-c.acked) {
				t.Errorf("%d rows a look: %d looks, %+v, want %d and %d acked", c.rows, looks, r, c.looks, c.acked)
			}
			w.exec(`DELETE FROM _elt.ledger`, `DELETE FROM _elt.intent`)
		}
	})
}

// Where no look is answered, not every row is looked for.
func TestLooksThatFailAreGivenUp(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeAppend, 10)
		w.dest.Max.Replay, w.dest.Max.LookRows = activate.Reconcile, 1
		w.fillModel(8)
		w.dest.Fault = func(int, activate.Batch) activatetest.Fault { return activatetest.LoseReply }
		w.mustRun()
		w.lookup = w.dest
		looks := 0
		w.dest.Blind = func([]activate.Change) error {
			if looks++; looks == 2 {
				return nil
			}
			return errors.New("internal error")
		}
		if r := w.mustRun(); looks != 5 || r.Acked != 1 || r.Unknown != 7 {
			t.Errorf("%d looks, %+v, want three in a row after the second", looks, r)
		}
	})
}

// What becomes unknown within a run is looked up within it.
func TestUnknownIsLookedUpWithinTheRun(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		for _, fault := range []activatetest.Fault{activatetest.LoseReply, activatetest.LoseCall, activatetest.HalfDone, activatetest.HalfReply} {
			w := newWorld(t, db, activate.ModeAppend, 4)
			w.dest.Max.Replay, w.lookup = activate.Reconcile, w.dest
			w.dest.Max.LookRows = 1
			w.fillModel(4)
			w.dest.Fault = func(call int, _ activate.Batch) activatetest.Fault {
				if call == 1 {
					return fault
				}
				return activatetest.None
			}
			if r := w.mustRun(); r.Acked != 4 || len(w.dest.Rows()) != 4 {
				t.Errorf("fault %d: %+v, and %d rows there", fault, r, len(w.dest.Rows()))
			}
			w.exec(`DELETE FROM _elt.ledger`)
		}
	})
}
