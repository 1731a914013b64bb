package activate_test

import (
	"errors"
	"slices"
	"testing"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

// Where nobody can look what became of an operation, a person can say so: what was
// sent is not sent again, and what was not is.
func TestUnknownOutcomesAreResolvedByHand(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 10)
		w.dest.Max.Replay = activate.Reconcile
		w.model(map[int]string{1: "a", 2: "b"})
		w.dest.Fault = func(int, activate.Batch) activatetest.Fault { return activatetest.LoseReply }
		w.mustRun()
		w.dest.Fault = nil
		if r := w.mustRun(); r.Unknown != 2 {
			t.Errorf("%+v, want both blocked", r)
		}
		open, err := w.st.UnknownRows(t.Context(), "crm", 10)
		if err != nil || len(open) != 2 || open[0].Payload == "" {
			t.Errorf("unknown rows %+v, %v", open, err)
		}
		for key, sent := range map[string]bool{"1": true, "2": false} {
			if _, err := activate.Resolve(t.Context(), db, w.st, w.sync, [][]string{{key}}, sent); err != nil {
				t.Error(err)
			}
		}
		if _, err := activate.Resolve(t.Context(), db, w.st, w.sync, [][]string{{"1"}}, true); !errors.Is(err, activate.ErrNothingUnknown) {
			t.Errorf("error %v, want ErrNothingUnknown", err)
		}
		calls := w.dest.Calls()
		if r := w.mustRun(); r.Unchanged != 1 || r.Acked != 1 || w.dest.Calls() != calls+1 {
			t.Errorf("%+v, want the one sent and the other left alone", r)
		}
		x, err := activate.Explain(t.Context(), db, w.st, w.sync, []string{"1"}, 10)
		if err != nil || x.Class != "unchanged" || len(x.Sent) == 0 || x.Sent[0].Status != "resolved: sent" {
			t.Errorf("explained %+v, %v", x, err)
		}
	})
}

// Many keys are settled at once, and none of them when one is wrong.
func TestManyUnknownOutcomesAreResolvedByHand(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 10)
		w.dest.Max.Replay = activate.Reconcile
		w.model(map[int]string{1: "a", 2: "b", 3: "c", 4: "d"})
		w.dest.Fault = func(int, activate.Batch) activatetest.Fault { return activatetest.LoseReply }
		w.mustRun()
		w.dest.Fault = nil
		left := func() int {
			open, err := w.st.UnknownRows(t.Context(), "crm", 10)
			if err != nil {
				t.Error(err)
			}
			return len(open)
		}
		for wrong, want := range map[string]error{"9": activate.ErrNothingUnknown, "x": activate.ErrNoSuchKey} {
			if _, err := activate.Resolve(t.Context(), db, w.st, w.sync, [][]string{{"1"}, {wrong}}, true); !errors.Is(err, want) || left() != 4 {
				t.Errorf("error %v, want %v; %d left", err, want, left())
			}
		}
		some, err := activate.Resolve(t.Context(), db, w.st, w.sync, [][]string{{"1"}, {"2"}, {"1"}}, true)
		if want := []activate.Resolved{{Key: `{"customer_id":1}`}, {Key: `{"customer_id":2}`}}; err != nil || !slices.Equal(some, want) || left() != 2 {
			t.Errorf("settled %v, %v; %d left", some, err, left())
		}
		rest, err := activate.Resolve(t.Context(), db, w.st, w.sync, nil, false)
		if want := []activate.Resolved{{Key: `{"customer_id":3}`}, {Key: `{"customer_id":4}`}}; err != nil || !slices.Equal(rest, want) || left() != 0 {
			t.Errorf("settled %v, %v; %d left", rest, err, left())
		}
		if _, err := activate.Resolve(t.Context(), db, w.st, w.sync, nil, false); !errors.Is(err, activate.ErrNothingUnknown) {
			t.Errorf("error %v, want ErrNothingUnknown", err)
		}
		if r := w.mustRun(); r.Unchanged != 2 || r.Acked != 2 {
			t.Errorf("%+v, want two left alone and two sent", r)
		}
	})
}

// What a person has seen to be there need not be the last that a run sent which has
// died since: the key counts as there, and the row goes out once more.
func TestResolvingSeesWhatADeadRunHasSent(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		for _, c := range []struct {
			dies       activatetest.Fault
			there, now string
		}{{activatetest.CrashAfter, "1:B", "A"}, {activatetest.CrashBefore, "1:A", "B"}} {
			w := newWorld(t, db, activate.ModeUpsert, 10)
			w.model(map[int]string{1: "A"})
			w.dest.Fault = func(int, activate.Batch) activatetest.Fault { return activatetest.LoseReply }
			w.mustRun()
			w.model(map[int]string{1: "B"})
			w.dest.Fault = func(int, activate.Batch) activatetest.Fault { return c.dies }
			if _, crashed, _ := w.run(t.Context()); !crashed {
				t.Fatal("the run has not died")
			}
			w.dest.Fault = nil
			w.want(c.there)
			epoch := w.one(`SELECT max(lease_epoch) FROM _elt.sync_target`)
			settled, err := activate.Resolve(t.Context(), db, w.st, w.sync, [][]string{{"1"}}, true)
			if err != nil || len(settled) != 1 || !settled[0].Again {
				t.Errorf("settled %+v, %v, want that the row goes out again", settled, err)
			}
			if n := w.one(`SELECT max(lease_epoch) FROM _elt.sync_target`); n != epoch+1 {
				t.Errorf("epoch %d after %d: the run that died is not fenced off", n, epoch)
			}
			w.model(map[int]string{1: c.now})
			w.mustRun()
			w.want("1:" + c.now)
			if r := w.mustRun(); r.Unchanged != 1 {
				t.Errorf("%+v, want the row to rest", r)
			}
			w.exec(`DELETE FROM _elt.ledger`)
		}
	})
}

// What is settled by hand keeps the id by which a key that moves is known.
func TestResolvingKeepsTheIDOfARow(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeMirror, 10)
		w.sync.Key = []string{"name"}
		w.dest.Max.Replay = activate.Reconcile
		w.model(map[int]string{1: "Ada"})
		w.through(folding{w.dest})
		w.model(map[int]string{2: "Ada"})
		w.dest.Fault = func(int, activate.Batch) activatetest.Fault { return activatetest.LoseReply }
		w.through(folding{w.dest})
		w.dest.Fault = nil
		if _, err := activate.Resolve(t.Context(), db, w.st, w.sync, [][]string{{"Ada"}}, true); err != nil {
			t.Fatal(err)
		}
		if n := w.one(`SELECT count(*) FROM _elt.ledger WHERE ownership = 'created'`); n != 1 {
			t.Errorf("%d rows are known as created, want the one", n)
		}
		w.model(map[int]string{2: "ada"})
		if r := w.through(folding{w.dest}); len(w.dest.Rows()) != 1 {
			t.Errorf("%+v with %v there, want the row of the key that stays", r, w.dest.Rows())
		}
	})
}

// A refused payload stays refused while its key is away, and is tried again with
// another mapping.
func TestARefusedKeyGoesAndComesBack(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeMirror, 10)
		w.dest.Reject = func(activate.Change) string { return "no" }
		w.model(map[int]string{1: "bad"})
		w.mustRun()
		calls := w.dest.Calls()
		w.model(map[int]string{})
		w.mustRun()
		w.model(map[int]string{1: "bad"})
		if r := w.mustRun(); r.Rejected != 1 || w.dest.Calls() != calls {
			t.Errorf("%+v after %d calls, want the row refused as before", r, w.dest.Calls()-calls)
		}
		w.sync.Fields[0].Theirs = "full_name"
		w.dest.Reject = nil
		if r := w.mustRun(); r.Acked != 1 {
			t.Errorf("%+v, want it sent with the new mapping", r)
		}
	})
}
