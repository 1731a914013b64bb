package activate_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

// A mirror deletes what it made or changed there and the model has no more, and
// nothing else: no row of others, of another sync, of another account, none that
// an earlier mode sent once, and none of a key that is in the model twice.
func TestInvariant10(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeInsert, 10)
		w.dest.Put(`{"customer_id":90}`, `{"customer_id":90,"name":"foreign"}`)
		w.dest.Put(`{"customer_id":3}`, `{"customer_id":3,"name":"adopted"}`)
		w.model(map[int]string{1: "once"})
		w.mustRun()
		other := *w
		other.sync.Name, other.sync.Mode = "other", activate.ModeUpsert
		other.model(map[int]string{91: "others"})
		other.mustRun()
		elsewhere := *w
		elsewhere.sync.Mode, elsewhere.sync.TargetFP = activate.ModeMirror, "another account"
		elsewhere.model(map[int]string{92: "elsewhere"})
		elsewhere.mustRun()

		w.sync.Mode = activate.ModeMirror
		w.model(map[int]string{2: "b", 3: "c", 4: "d", 5: "e"})
		w.mustRun()
		w.model(map[int]string{5: "e"})
		w.exec(`INSERT INTO marts.customers VALUES (4, 'd'), (4, 'd'), (NULL, 'n')`)
		want := activate.Result{Read: 4, Invalid: 3, Unchanged: 1, Gone: activate.Gone{Planned: 2, Deleted: 2}}
		got := w.mustRun()
		got.Samples = nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		w.want("1:once", "4:d", "5:e", "90:foreign", "91:others", "92:elsewhere")
		if n := w.one(`SELECT count(*) FROM _elt.ledger WHERE sync = 'crm' AND target_fp <> 'another account'`); n != 3 {
			t.Errorf("the ledger has %d rows, want those of 1, 4 and 5", n)
		}
	})
}

// Deletes come after all that the model has, each page by itself, and not at all
// as long as the outcome of one of its rows is not known.
func TestDeletesComeLast(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeMirror, 2)
		w.model(map[int]string{1: "a", 2: "b", 3: "c", 4: "d"})
		w.mustRun()
		w.model(map[int]string{4: "d2", 5: "e", 6: "f"})
		w.dest.Fault = func(int, activate.Batch) activatetest.Fault { return activatetest.LoseReply }
		r := w.mustRun()
		if r.Unknown != 3 || r.Gone != (activate.Gone{Planned: 3, Deferred: 3}) || len(w.dest.Deleted()) != 0 {
			t.Errorf("%+v, deleted %v; want the deletes deferred", r, w.dest.Deleted())
		}
		var order []activate.Action
		w.dest.Fault = func(_ int, b activate.Batch) activatetest.Fault {
			for _, c := range b.Changes {
				order = append(order, c.Action)
				if c.Action == activate.Delete && c.Fields != nil {
					t.Errorf("a delete has fields: %s", c.Fields)
				}
			}
			return activatetest.None
		}
		r = w.mustRun()
		if want := []activate.Action{activate.Upsert, activate.Upsert, activate.Upsert, activate.Delete, activate.Delete, activate.Delete}; !slices.Equal(order, want) || r.Gone.Deleted != 3 {
			t.Errorf("%+v, sent %v, want %v", r, order, want)
		}
		w.want("4:d2", "5:e", "6:f")
		history, err := w.st.SyncHistory(t.Context(), "crm", 2)
		if err != nil || len(history) != 2 || history[0].Deleted != 3 || history[1].Gone != 3 || history[1].Status != "unfinished" {
			t.Errorf("history %+v, %v", history, err)
		}
	})
}

// A row that an upsert of unknown outcome may have made is deleted once it is
// known to be there, and also a delete of unknown outcome comes to an end. With
// upsert nothing is sent for a key that is gone; the run tells of it.
func TestUnknownOutcomeOfAKeyThatIsGone(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		for _, mode := range []string{activate.ModeMirror, activate.ModeUpsert} {
			w := newWorld(t, db, mode, 10)
			w.sync.Name = "crm_" + mode
			w.model(map[int]string{1: "a"})
			w.dest.Fault = func(int, activate.Batch) activatetest.Fault { return activatetest.LoseReply }
			w.mustRun()
			w.model(map[int]string{2: "b"})
			w.mustRun()
			w.dest.Fault = nil
			r := w.mustRun()
			if mode == activate.ModeUpsert {
				if r.Gone != (activate.Gone{Left: 1}) {
					t.Errorf("%+v, want one outcome left alone", r)
				}
				w.want("1:a", "2:b")
				continue
			}
			if r.Gone != (activate.Gone{Planned: 1, Settled: 1}) {
				t.Errorf("%+v, want one settled", r)
			}
			w.dest.Fault = func(int, activate.Batch) activatetest.Fault { return activatetest.LoseReply }
			if r = w.mustRun(); r.Gone != (activate.Gone{Planned: 1, Unknown: 1}) {
				t.Errorf("%+v, want the outcome of the delete unknown", r)
			}
			w.dest.Fault = nil
			if r = w.mustRun(); r.Gone != (activate.Gone{Planned: 1, Deleted: 1}) {
				t.Errorf("%+v, want it deleted", r)
			}
			w.want("2:b")
		}
	})
}

// A key that comes back while the outcome of its delete is unknown is sent anew,
// also where a destination knows operations by their keys.
func TestAKeyComesBackAfterAnUnknownDelete(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		for _, replay := range []activate.ReplayClass{activate.Idempotent, activate.IdempotencyKey} {
			w := newWorld(t, db, activate.ModeMirror, 10)
			w.sync.Name, w.dest.Max.Replay = "crm_"+string(replay), replay
			w.model(map[int]string{1: "a", 2: "b"})
			w.mustRun()
			w.model(map[int]string{2: "b"})
			w.dest.Fault = func(int, activate.Batch) activatetest.Fault { return activatetest.LoseReply }
			w.mustRun()
			w.want("2:b")
			w.dest.Fault = nil
			w.model(map[int]string{1: "a", 2: "b"})
			if r := w.mustRun(); r.Acked != 1 || r.Gone != (activate.Gone{}) {
				t.Errorf("%s: %+v, want the row sent again", replay, r)
			}
			w.want("1:a", "2:b")
		}
	})
}

// A delete that the destination refuses is asked for once; it is asked again when
// somebody releases it, and forgotten when the key comes back.
func TestRefusedDelete(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeMirror, 10)
		w.model(map[int]string{1: "a", 2: "b"})
		w.mustRun()
		w.dest.Reject = func(c activate.Change) string {
			if c.Action == activate.Delete {
				return "has orders"
			}
			return ""
		}
		w.model(map[int]string{2: "b"})
		want := activate.Gone{Planned: 1, Rejected: 1}
		if r := w.mustRun(); r.Gone != want {
			t.Errorf("%+v, want one refused", r)
		}
		calls := w.dest.Calls()
		if r := w.mustRun(); r.Gone != want || w.dest.Calls() != calls {
			t.Errorf("%+v after %d calls, want it left alone", r, w.dest.Calls()-calls)
		}
		w.model(map[int]string{1: "a", 2: "b"})
		w.mustRun()
		if n := w.one(`SELECT count(*) FROM _elt.sync_quarantine`); n != 0 {
			t.Errorf("%d rows are left in the quarantine of a key that is back", n)
		}
		w.want("1:a", "2:b")
	})
}

// The ledger of another mapping or engine is as good for deletes.
func TestMirrorAfterAnUpgrade(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeMirror, 10)
		w.model(map[int]string{1: "a", 2: "b"})
		w.mustRun()
		w.exec(`UPDATE _elt.sync_target SET engine = 'of last year'`, `UPDATE _elt.ledger SET acked_hash = 'of another engine'`)
		w.sync.Fields = append(w.sync.Fields, activate.Field{Theirs: "nick", Column: "name"})
		w.model(map[int]string{2: "b"})
		if r := w.mustRun(); r.Acked != 1 || r.Gone.Deleted != 1 || len(w.dest.Rows()) != 1 {
			t.Errorf("%+v, want one sent again and one deleted", r)
		}
	})
}

// nameless is a destination whose rows have no ids of their own.
type nameless struct{ *activatetest.Memory }

func (n nameless) Push(ctx context.Context, b activate.Batch) ([]activate.Outcome, error) {
	outs, err := n.Memory.Push(ctx, b)
	for i := range outs {
		outs[i].DestID = ""
	}
	return outs, err
}

// A page of deletes that are all acknowledged alike ends their ledger rows.
func TestDeletesOfANamelessDestinationEndInTheLedger(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeMirror, 10)
		for n, rows := range []map[int]string{{1: "a", 2: "b"}, {2: "b"}} {
			w.model(rows)
			w.sync.RunID = fmt.Sprint("run", n)
			plan, err := activate.NewPlan(t.Context(), db, w.st, w.sync)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := plan.Push(t.Context(), activate.Connector{Destination: nameless{w.dest}}, noWait); err != nil {
				t.Error(err)
			}
			if err := plan.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		w.want("2:b")
		if n := w.one(`SELECT count(*) FROM _elt.ledger`); n != 1 {
			t.Errorf("%d rows are in the ledger, want 1", n)
		}
	})
}
