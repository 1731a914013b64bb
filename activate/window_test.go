package activate_test

import (
	"testing"
	"time"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

// An operation is sent again by its key only as long as the destination knows the
// key, counted from the first time that it was sent. After that it waits until
// somebody looks; a new row does not wait with it.
func TestAForgottenKeyIsNotSentAgain(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeAppend, 10)
		w.dest.Max.Replay, w.dest.Max.Window = activate.IdempotencyKey, 24*time.Hour
		lose := func(int, activate.Batch) activatetest.Fault { return activatetest.LoseReply }
		age := func() { w.exec(`UPDATE _elt.intent SET prepared_at = prepared_at - INTERVAL '15 hours'`) }
		w.dest.Fault = lose
		w.model(map[int]string{1: "a"})
		w.mustRun()
		age()
		calls := w.dest.Calls()
		if r := w.mustRun(); r.Unknown != 1 || w.dest.Calls() == calls {
			t.Errorf("%+v, want it sent again within the time", r)
		}
		age()
		w.dest.Fault = nil
		calls = w.dest.Calls()
		if r := w.mustRun(); r.Unknown != 1 || w.dest.Calls() != calls {
			t.Errorf("%+v after %d more calls, want it left alone", r, w.dest.Calls()-calls)
		}
		w.model(map[int]string{1: "a", 2: "b"})
		if r := w.mustRun(); r.Unknown != 1 || r.Acked != 1 {
			t.Errorf("%+v, want the new row sent", r)
		}
		w.lookup = w.dest
		if r := w.mustRun(); r.Acked != 1 || r.Unchanged != 1 {
			t.Errorf("%+v, want it found", r)
		}
		w.want("1:a", "2:b")
	})
}
