package activate_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

func TestUpsertSendsOnlyWhatChanged(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 2)
		w.model(map[int]string{1: "Ada", 2: "Bob", 3: "Cy"})
		want := activate.Result{Read: 3, Planned: 3, Acked: 3, New: 3}
		if diff := cmp.Diff(want, w.mustRun()); diff != "" {
			t.Error(diff)
		}
		w.want("1:Ada", "2:Bob", "3:Cy")
		w.model(map[int]string{1: "Ada", 2: "Bea", 4: "Di"})
		want = activate.Result{Read: 3, Unchanged: 1, Planned: 2, Acked: 2, New: 1}
		if diff := cmp.Diff(want, w.mustRun()); diff != "" {
			t.Error(diff)
		}
		w.want("1:Ada", "2:Bea", "3:Cy", "4:Di")
		want = activate.Result{Read: 3, Unchanged: 3}
		if diff := cmp.Diff(want, w.mustRun()); diff != "" {
			t.Error(diff)
		}
		if n := w.one(`SELECT count(*) FROM _elt.intent`); n != 0 {
			t.Errorf("%d intents are left", n)
		}
		history, err := w.st.SyncHistory(context.Background(), "crm", 1)
		if err != nil || len(history) != 1 || history[0].Unchanged != 3 || history[0].Status != "ok" {
			t.Errorf("history %+v, %v", history, err)
		}
	})
}

func TestModes(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		for _, tt := range []struct {
			mode string
			want []string
			last activate.Result
		}{
			{activate.ModeInsert, []string{"1:old", "2:b", "3:c"}, activate.Result{Read: 3, Unchanged: 1, Planned: 2, Acked: 1, New: 1, Rejected: 1}},
			{activate.ModeUpdate, []string{"1:a2"}, activate.Result{Read: 3, Planned: 3, Acked: 1, Rejected: 2}},
			{activate.ModeAppend, []string{"1:a", "1:old", "2:b", "3:c"}, activate.Result{Read: 3, Unchanged: 2, Planned: 1, Acked: 1, New: 1}},
		} {
			t.Run(tt.mode, func(t *testing.T) {
				w := newWorld(t, db, tt.mode, 10)
				w.t = t
				w.sync.Name = "crm_" + tt.mode
				w.dest.Put(`{"customer_id":1}`, `{"customer_id":1,"name":"old"}`)
				w.model(map[int]string{1: "a", 2: "b"})
				w.mustRun()
				w.model(map[int]string{1: "a2", 2: "b2", 3: "c"})
				if tt.mode != activate.ModeUpdate {
					w.model(map[int]string{1: "a", 2: "b2", 3: "c"})
				}
				got := w.mustRun()
				got.Samples = nil
				if diff := cmp.Diff(tt.last, got); diff != "" {
					t.Error(diff)
				}
				w.want(tt.want...)
			})
		}
	})
}

func TestInvalidRowsAreCountedAndNamed(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 10)
		w.exec(`INSERT INTO marts.customers VALUES (1, 'a'), (2, 'b'), (2, 'c'), (NULL, 'd')`)
		want := activate.Result{Read: 4, Invalid: 3, Planned: 1, Acked: 1, New: 1, Samples: []activate.Sample{
			{Key: `{"customer_id":2}`, Reason: "duplicate_key"}, {Key: `{"customer_id":2}`, Reason: "duplicate_key"},
			{Key: `{"customer_id":null}`, Reason: "null_key"},
		}}
		if diff := cmp.Diff(want, w.mustRun()); diff != "" {
			t.Error(diff)
		}
		w.want("1:a")
	})
}

func TestRejectedRowWaitsForAnotherPayload(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 10)
		bad := `{"customer_id":2,"name":"bad"}`
		w.dest.Reject = func(c activate.Change) string {
			if string(c.Fields) == bad {
				return "no such country"
			}
			return ""
		}
		w.model(map[int]string{1: "a", 2: "bad"})
		want := activate.Result{Read: 2, Planned: 2, Acked: 1, New: 1, Rejected: 1, Samples: []activate.Sample{
			{Key: `{"customer_id":2}`, Reason: "no such country", Payload: bad},
		}}
		if diff := cmp.Diff(want, w.mustRun()); diff != "" {
			t.Error(diff)
		}
		refused, err := w.st.RefusedRows(context.Background(), "crm", 0)
		if err != nil || len(refused) != 1 || refused[0].Payload != bad || refused[0].Message != "no such country" {
			t.Errorf("refused rows: %+v, %v", refused, err)
		}
		calls := w.dest.Calls()
		if r := w.mustRun(); r.Rejected != 1 || w.dest.Calls() != calls {
			t.Errorf("%+v after %d calls: the refused payload was sent again", r, w.dest.Calls()-calls)
		}
		if n, err := w.st.ReleaseRefused(context.Background(), "crm"); n != 1 || err != nil {
			t.Errorf("released %d, %v", n, err)
		}
		if r := w.mustRun(); r.Rejected != 1 || w.dest.Calls() != calls+1 {
			t.Errorf("%+v: a released row was not sent again", r)
		}
		w.model(map[int]string{1: "a", 2: "good"})
		if r := w.mustRun(); r.Acked != 1 || r.Rejected != 0 {
			t.Errorf("%+v: the mended row was not sent", r)
		}
		w.want("1:a", "2:good")
		if n := w.one(`SELECT count(*) FROM _elt.sync_quarantine`); n != 0 {
			t.Errorf("%d rows are left in the quarantine", n)
		}
	})
}

// A row that goes back to what was acknowledged, while the outcome of the change
// between is not known, must be sent although its hash is the acknowledged one.
func TestUnknownOutcomeForcesTheRow(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 10)
		w.model(map[int]string{1: "A"})
		w.mustRun()
		w.model(map[int]string{1: "B"})
		w.dest.Fault = func(int, activate.Batch) activatetest.Fault { return activatetest.LoseReply }
		if r := w.mustRun(); r.Unknown != 1 {
			t.Errorf("%+v, want one unknown", r)
		}
		w.want("1:B")
		w.dest.Fault = nil
		w.model(map[int]string{1: "A"})
		if r := w.mustRun(); r.Acked != 1 || r.Unchanged != 0 {
			t.Errorf("%+v, want the row sent again", r)
		}
		w.want("1:A")
	})
}

func TestReconcileBlocksOnlyTheUnknownKey(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 1)
		w.dest.Max.Replay = activate.Reconcile
		w.model(map[int]string{1: "a", 2: "b"})
		w.dest.Fault = func(call int, _ activate.Batch) activatetest.Fault {
			if call == 1 {
				return activatetest.LoseReply
			}
			return activatetest.None
		}
		if r := w.mustRun(); r.Unknown != 1 || r.Acked != 1 {
			t.Errorf("%+v, want one unknown and one acked", r)
		}
		calls := w.dest.Calls()
		if r := w.mustRun(); r.Unknown != 1 || r.Unchanged != 1 || w.dest.Calls() != calls {
			t.Errorf("%+v after %d calls, want the unknown key left alone", r, w.dest.Calls()-calls)
		}
	})
}

func TestRenamedFieldIsSentAgain(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 10)
		w.model(map[int]string{1: "a"})
		w.mustRun()
		w.sync.Fields[0].Theirs = "full_name"
		if r := w.mustRun(); r.Acked != 1 {
			t.Errorf("%+v, want the row sent under the new name", r)
		}
	})
}

func TestEngineUpgradeSendsNothing(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 10)
		w.model(map[int]string{1: "a", 2: "b"})
		w.mustRun()
		w.exec(`UPDATE _elt.sync_target SET engine = 'of last year'`, `UPDATE _elt.ledger SET acked_hash = 'of another engine'`)
		w.model(map[int]string{1: "a", 2: "b2"})
		for _, want := range []activate.Result{
			{Read: 2, Unchanged: 1, Planned: 1, Acked: 1}, {Read: 2, Unchanged: 2},
		} {
			if diff := cmp.Diff(want, w.mustRun()); diff != "" {
				t.Error(diff)
			}
		}
	})
}

func TestDeadDestinationDefersTheRest(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 1)
		w.model(map[int]string{1: "a", 2: "b", 3: "c", 4: "d", 5: "e"})
		w.dest.Fault = func(int, activate.Batch) activatetest.Fault { return activatetest.RefuseAll }
		r := w.mustRun()
		if r.Deferred != 5 || r.Problem == "" || w.dest.Calls() != 12 {
			t.Errorf("%+v after %d calls, want all deferred after 3 batches of 4 tries", r, w.dest.Calls())
		}
		w.dest.Fault = nil
		if r := w.mustRun(); r.Acked != 5 {
			t.Errorf("%+v, want all sent by the next run", r)
		}
	})
}

func TestCancellationSettlesWhatWasAnswered(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 1)
		w.model(map[int]string{1: "a", 2: "b", 3: "c"})
		ctx, cancel := context.WithCancel(context.Background())
		w.dest.Fault = func(call int, _ activate.Batch) activatetest.Fault {
			if call == 2 {
				cancel()
			}
			return activatetest.None
		}
		r, _, err := w.run(ctx)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want the cancellation", err)
		}
		balanced(t, r)
		if r.Acked != 2 || r.Deferred != 1 {
			t.Errorf("%+v, want two acked and one deferred", r)
		}
		if r := w.mustRun(); r.Unchanged != 2 || r.Acked != 1 {
			t.Errorf("%+v, want only the third sent", r)
		}
	})
}

// A run that lost its lease settles nothing, though its calls went through.
func TestZombieCannotSettle(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 1)
		w.model(map[int]string{1: "a"})
		w.dest.Fault = func(int, activate.Batch) activatetest.Fault {
			w.exec(`UPDATE _elt.sync_target SET lease_epoch = lease_epoch + 1`)
			return activatetest.None
		}
		if _, _, err := w.run(context.Background()); !errors.Is(err, activate.ErrFenced) {
			t.Errorf("error %v, want ErrFenced", err)
		}
		if n := w.one(`SELECT count(*) FROM _elt.ledger`); n != 0 {
			t.Errorf("the zombie wrote %d ledger rows", n)
		}
		w.dest.Fault = nil
		if r := w.mustRun(); r.Acked != 1 {
			t.Errorf("%+v, want the row settled by the next run", r)
		}
		w.want("1:a")
	})
}

// A run that has lost its lock sends nothing more: whoever has it now may have
// sent other rows of the same keys. What was answered before is settled as long as
// nobody has taken over.
func TestWhoHasLostTheLockSendsNothingMore(t *testing.T) {
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			p := activatetest.NewProcess(t, activatetest.Quick(t, engine))
			w := newWorld(t, p.DB, activate.ModeUpsert, 1)
			w.model(map[int]string{1: "a", 2: "b", 3: "c"})
			p.Start(&activatetest.Mishap{Where: activatetest.BeforePush, At: 2, Do: func() error {
				return p.LoseLocks(func() error { return nil })
			}})
			plan, err := activate.NewPlan(t.Context(), p.DB, w.st, w.sync)
			if err != nil {
				t.Fatal(err)
			}
			r, err := plan.Push(t.Context(), p.Calling(activate.Connector{Destination: w.dest}), noWait)
			if !errors.Is(err, activatetest.ErrLost) || r.Acked != 1 || r.Deferred != 2 || w.dest.Calls() != 1 {
				t.Errorf("%+v after %d calls, %v; want one row sent, and that the lock was lost", r, w.dest.Calls(), err)
			}
			if err := plan.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if r := w.mustRun(); r.Acked != 2 || r.Unchanged != 1 {
				t.Errorf("%+v, want the others sent", r)
			}
		})
	}
}

func TestPreview(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 10)
		w.model(map[int]string{1: "a", 2: "b"})
		w.mustRun()
		w.sync.Mode = activate.ModeMirror
		w.model(map[int]string{2: "b2", 3: "c", 4: "d"})
		got, err := activate.NewPreview(context.Background(), db, w.st, w.sync, activate.PreviewOptions{Samples: 2, Hash: true})
		if err != nil {
			t.Fatal(err)
		}
		want := activate.Preview{
			Result:  activate.Result{Read: 3, Planned: 3, Deferred: 3, Gone: activate.Gone{Planned: 1, Deferred: 1}},
			Outline: activate.Outline{Creates: 2, Changes: 1, Deletes: 1, There: 2, Hash: got.Outline.Hash},
			Rows: []activate.Shown{
				{What: "create", Key: `{"customer_id":3}`, New: `{"customer_id":3,"name":"c"}`},
				{What: "create", Key: `{"customer_id":4}`, New: `{"customer_id":4,"name":"d"}`},
				{What: "change", Key: `{"customer_id":2}`, Old: `{"customer_id":2,"name":"b"}`, New: `{"customer_id":2,"name":"b2"}`},
				{What: "delete", Key: `{"customer_id":1}`, Old: `{"customer_id":1,"name":"a"}`},
			},
		}
		if diff := cmp.Diff(want, got); diff != "" || got.Outline.Hash == "" {
			t.Error(diff)
		}
	})
}

func TestRejectGuardStops(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 100)
		w.exec(`INSERT INTO marts.customers SELECT i, 'x' FROM generate_series(1, 1000) AS s(i)`)
		w.dest.Reject = func(activate.Change) string { return "no" }
		w.sync.Guards.MaxRejectPercent = 5
		r := w.mustRun()
		if r.Rejected != 200 || r.Deferred != 800 || r.Problem == "" {
			t.Errorf("%+v, want 200 rejected and the rest deferred", r)
		}
	})
}
