package activate_test

import (
	"bytes"
	"context"
	"testing"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

func loseReply(int, activate.Batch) activatetest.Fault { return activatetest.LoseReply }

// The process dies with a call under way. The next run sends the operation again
// while the service is still busy with the first call: that is no refusal, so that
// the row is not appended a second time when its payload becomes another one.
func TestAnOperationUnderWaySinceTheRunBeforeIsNotRefused(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeAppend, 10)
		w.dest.Max.Replay = activate.IdempotencyKey
		w.model(map[int]string{1: "a"})
		busy := &slow{Memory: w.dest}
		w.dest.Before = func(_ context.Context, b activate.Batch) { busy.first = b }
		w.dest.Fault = func(int, activate.Batch) activatetest.Fault { return activatetest.CrashBefore }
		if _, crashed, err := w.run(t.Context()); !crashed {
			t.Fatalf("no crash; %v", err)
		}
		w.dest.Fault, w.dest.Before = nil, nil
		if r := w.through(busy); r.Unknown != 1 || r.Rejected != 0 {
			t.Errorf("%+v, want one unknown", r)
		}
		if _, err := w.dest.Push(t.Context(), busy.first); err != nil {
			t.Fatal(err)
		}
		w.model(map[int]string{1: "b"})
		w.mustRun()
		w.want("1:a")
	})
}

// A service is not at a call for ever: a conflict of an operation of yesterday is the
// refusal that it looks like, so that the row does not stay unknown.
func TestAConflictOfYesterdayIsARefusal(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeAppend, 10)
		w.dest.Max.Replay = activate.IdempotencyKey
		w.model(map[int]string{1: "a"})
		w.dest.Fault = func(int, activate.Batch) activatetest.Fault { return activatetest.LoseCall }
		w.mustRun()
		w.dest.Fault = nil
		busy := &slow{Memory: w.dest}
		if r := w.through(busy); r.Unknown != 1 {
			t.Errorf("%+v, want it unknown within the hour", r)
		}
		w.exec(`UPDATE _elt.intent SET prepared_at = prepared_at - INTERVAL '61 minutes', settled_at = settled_at - INTERVAL '61 minutes'`)
		if r := w.through(busy); r.Rejected != 1 || r.Unknown != 0 {
			t.Errorf("%+v, want it refused", r)
		}
	})
}

// Of a row that may be there it is told why nobody knows, not that a later try was
// put off.
func TestADoubtKeepsItsReason(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 10)
		w.model(map[int]string{1: "a"})
		w.dest.Fault = func(call int, _ activate.Batch) activatetest.Fault {
			if call == 1 {
				return activatetest.LoseReply
			}
			return activatetest.RefuseAll
		}
		if r := w.mustRun(); r.Unknown != 1 {
			t.Errorf("%+v, want one unknown", r)
		}
		if n := w.one(`SELECT count(*) FROM _elt.attempt WHERE status = 'unknown' AND attempts > 1 AND message = 'connection reset'`); n != 1 {
			t.Errorf("%d attempts tell of the connection, want one", n)
		}
	})
}

// A service that knows its operations settles what an earlier run may have done by
// refusing the same operation.
func TestARefusalSettlesTheOperationOfTheRunBefore(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeAppend, 10)
		w.dest.Max.Replay = activate.IdempotencyKey
		w.model(map[int]string{1: "bad"})
		w.dest.Fault = func(int, activate.Batch) activatetest.Fault { return activatetest.LoseCall }
		w.mustRun()
		w.dest.Fault, w.dest.Reject = nil, poisoned
		if r := w.mustRun(); r.Rejected != 1 {
			t.Errorf("%+v, want it rejected", r)
		}
		if n := w.one(`SELECT count(*) FROM _elt.intent`); n != 0 {
			t.Errorf("%d intents are left, want none", n)
		}
		w.model(map[int]string{1: "good"})
		w.mustRun()
		w.want("1:good")
	})
}

// unfit is a destination that has learned to refuse rows before it sends them.
type unfit struct{ *activatetest.Memory }

func (u unfit) Push(_ context.Context, b activate.Batch) (outs []activate.Outcome, err error) {
	for _, c := range b.Changes {
		outs = append(outs, activate.Outcome{OpID: c.OpID, Status: activate.Rejected, Code: "invalid_value", Local: true})
	}
	return outs, nil
}

// A row of which an earlier run may have done something, and which cannot even be
// sent now, stays unknown: nobody was asked about it, so that it is not appended a
// second time when its payload becomes another one.
func TestWhatCannotBeSentAgainStaysUnknown(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		for _, replay := range []activate.ReplayClass{activate.Idempotent, activate.IdempotencyKey} {
			for _, bytes := range []int{0, 30} { // somebody has lowered batch.bytes
				w := newWorld(t, db, activate.ModeAppend, 10)
				w.dest.Max.Replay = replay
				w.model(map[int]string{1: "a long name indeed"})
				w.dest.Fault = loseReply
				w.mustRun()
				w.dest.Fault, w.dest.Max.BatchBytes = nil, bytes
				if r := w.through(unfit{w.dest}); r.Unknown != 1 || r.Rejected != 0 {
					t.Errorf("%s, %d bytes: %+v, want it unknown still", replay, bytes, r)
				}
				w.dest.Max.BatchBytes = 0
				w.model(map[int]string{1: "b"})
				w.mustRun()
				w.want("1:a long name indeed")
				w.exec(`DELETE FROM _elt.ledger`)
			}
		}
	})
}

// What a look did not find goes out as it is now. That it cannot be sent refutes
// nothing of what was sent before.
func TestWhatCannotBeSentRefutesNothing(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeAppend, 10)
		w.dest.Max.Replay = activate.Reconcile
		w.model(map[int]string{1: "a"})
		w.dest.Fault = func(int, activate.Batch) activatetest.Fault { return activatetest.LoseCall }
		w.mustRun()
		w.model(map[int]string{1: "a name that is longer than it may be"})
		w.dest.Fault, w.lookup, w.dest.Max.BatchBytes = nil, w.dest, 60
		if r := w.mustRun(); r.Rejected != 1 {
			t.Errorf("%+v, want it rejected", r)
		}
		if n := w.one(`SELECT count(*) FROM _elt.intent WHERE state = 'UNKNOWN'`); n != 1 {
			t.Errorf("%d intents are unknown, want the first", n)
		}
	})
}

// silence is a lookup that can tell of nothing.
type silence struct{}

func (silence) Find(context.Context, []activate.Change) ([]activate.Outcome, error) { return nil, nil }

// A look that finds nothing out leaves nothing to send, and no call is made for it.
func TestALookThatTellsNothingIsFollowedByNoCall(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 10)
		w.dest.Max.Replay, w.lookup = activate.Reconcile, silence{}
		w.model(map[int]string{1: "a"})
		w.dest.Fault = loseReply
		if r := w.mustRun(); r.Unknown != 1 || w.dest.Calls() != 1 {
			t.Errorf("%+v after %d calls, want one unknown after one", r, w.dest.Calls())
		}
	})
}

// The deletes of a mirror wait as long as nobody knows the outcome of an upsert of
// its model, also when the row has become one that is refused, or of whose key there
// are two: the upsert may have taken over the row that would be deleted.
func TestDeletesWaitForAnOutcomeThatIsNotSentAgain(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		for name, next := range map[string]string{
			"refused": `UPDATE marts.customers SET id = 3`, "twice": `INSERT INTO marts.customers VALUES (4, 'ada')`,
		} {
			w := newWorld(t, db, activate.ModeMirror, 10)
			w.sync.Key = []string{"name"}
			w.dest.Reject = func(c activate.Change) string {
				if bytes.Contains(c.Fields, []byte(`:3`)) {
					return "no"
				}
				return ""
			}
			w.model(map[int]string{1: "Ada"})
			w.through(folding{w.dest})
			w.model(map[int]string{2: "ada"})
			w.dest.Fault = loseReply
			w.through(folding{w.dest})
			w.dest.Fault = nil
			w.exec(next)
			for range 2 {
				r := w.through(folding{w.dest})
				if want := (activate.Gone{Planned: 1, Deferred: 1}); r.Gone != want || r.Unknown != 0 || len(w.dest.Rows()) != 1 {
					t.Errorf("%s: %+v with %v there, want the delete deferred", name, r, w.dest.Rows())
				}
			}
			w.model(map[int]string{5: "ada"})
			r := w.through(folding{w.dest})
			if want := (activate.Gone{Planned: 1, Deleted: 1}); r.Gone != want || len(w.dest.Rows()) != 1 {
				t.Errorf("%s: %+v with %v there, want the old key forgotten", name, r, w.dest.Rows())
			}
			w.exec(`DELETE FROM _elt.ledger`, `DELETE FROM _elt.sync_quarantine`)
		}
	})
}
