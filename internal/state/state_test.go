package state_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elt/internal/rows"
	"elt/internal/scan"
	"elt/internal/state"
	"elt/internal/testdb"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
	"elt/window"
)

func TestMain(m *testing.M) { os.Exit(testdb.Run(m)) }

var at = time.Date(2026, 11, 24, 2, 0, 0, 123456000, time.UTC)

// each opens the state of shop on dev in a fresh warehouse of each engine.
func each(t *testing.T, fn func(t *testing.T, db *warehouse.DB, s *state.Store)) {
	t.Helper()
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) { fn(t, db, open(t, db, "shop", "dev")) })
}

func open(t *testing.T, db *warehouse.DB, project, target string) *state.Store {
	t.Helper()
	s, err := state.Open(context.Background(), db, project, target)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// same compares what a call returned with what is wanted.
func same[T any](t *testing.T, want T) func(got T, err error) {
	t.Helper()
	return func(got T, err error) {
		t.Helper()
		ok(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("want -, got +:\n%s", diff)
		}
	}
}

func update(t *testing.T, db *warehouse.DB, fn func(ctx context.Context, tx *warehouse.Tx) error) {
	t.Helper()
	ok(t, db.Update(context.Background(), fn))
}

func TestOpenTwiceAndNewer(t *testing.T) {
	each(t, func(t *testing.T, db *warehouse.DB, _ *state.Store) {
		open(t, db, "shop", "dev")
		update(t, db, func(ctx context.Context, tx *warehouse.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO _elt.meta (version, migrated_at) VALUES (999, $1)`, at)
			return err
		})
		_, err := state.Open(context.Background(), db, "shop", "dev")
		var e *warehouse.Error
		if !errors.As(err, &e) || e.Kind != warehouse.KindNewer || e.Hint == "" {
			t.Errorf("error %v, want KindNewer with a hint", err)
		}
		if err := state.View(db, "shop", "dev").Check(context.Background()); warehouse.KindOf(err) != warehouse.KindNewer {
			t.Errorf("check: %v, want KindNewer", err)
		}
	})
}

func TestOpenAtOnce(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				if _, err := state.Open(context.Background(), db, fmt.Sprint("p", i), "dev"); err != nil {
					t.Errorf("open: %v", err)
				}
			})
		}
		wg.Wait()
	})
}

func TestViewOfAnUntouchedWarehouseIsEmpty(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		ctx := context.Background()
		s := state.View(db, "shop", "dev")
		ok(t, s.Check(ctx))
		same[[]state.Run](t, nil)(s.Runs(ctx, 0))
		same[[]state.Freshness](t, nil)(s.Freshness(ctx))
		same(t, scan.Cursor(""))(s.Cursor(ctx, nil, "shop.orders"))
	})
}

func TestRunsAndSteps(t *testing.T) {
	each(t, func(t *testing.T, db *warehouse.DB, s *state.Store) {
		ctx := context.Background()
		run := state.Run{ID: "7f3a", Job: "nightly", Command: "elt run", Trigger: "schedule", StartedAt: at, Host: "h", PID: 42, Log: "l"}
		ok(t, s.StartRun(ctx, run))
		ok(t, s.SaveStep(ctx, state.StepRecord{RunID: "7f3a", Name: "shop.orders", Kind: "extract", Status: state.Running, StartedAt: at}))
		step := state.StepRecord{RunID: "7f3a", Name: "shop.orders", Kind: "extract", Status: "ok", StartedAt: at,
			EndedAt: at.Add(time.Second), Result: []byte(`{"checks":3}`)}
		ok(t, s.SaveStep(ctx, step))
		same(t, []state.StepRecord{step})(s.Steps(ctx, "7f3a"))
		run.Status, run.Exit, run.EndedAt, run.AsOf, run.Error = "failed", 1, at.Add(time.Minute), at, "no space"
		ok(t, s.EndRun(ctx, run))
		ok(t, s.StartRun(ctx, state.Run{ID: "7f4b", StartedAt: at.Add(time.Hour), Host: "h", PID: 43}))
		later := state.Run{ID: "7f4b", StartedAt: at.Add(time.Hour), Host: "h", PID: 43, Status: state.Running}
		same(t, []state.Run{later, run})(s.Runs(ctx, 0))
		same(t, []state.Run{later})(s.Runs(ctx, 1))
		same(t, []state.Run{later})(s.Running(ctx))
		same(t, []state.Run{run, later})(s.RunsSince(ctx, at.Add(-time.Second)))
		same(t, []state.Run{later})(s.RunsSince(ctx, at))
		same(t, map[string][]state.StepRecord{"7f3a": {step}})(s.StepsSince(ctx, at.Add(-time.Second)))
		same(t, map[string][]state.StepRecord{})(s.StepsSince(ctx, at))
		if r, found, err := s.Run(ctx, "7f3"); err != nil || !found || r.ID != "7f3a" {
			t.Errorf("run 7f3: %v %v %v", r, found, err)
		}
		if _, found, err := s.Run(ctx, "7f"); err != nil || found {
			t.Errorf("an ambiguous prefix was found: %v", err)
		}
		same[[]state.Run](t, nil)(open(t, db, "shop", "prod").Runs(ctx, 0))
	})
}

func TestOrphansAreClosed(t *testing.T) {
	each(t, func(t *testing.T, db *warehouse.DB, s *state.Store) {
		ctx := context.Background()
		before := open(t, db, "shop", "dev") // the process before, which had our pid
		ok(t, before.StartRun(ctx, state.Run{ID: "reused", StartedAt: at}))
		ok(t, before.SaveStep(ctx, state.StepRecord{RunID: "reused", Name: "a", Status: state.Running, StartedAt: at}))
		ok(t, before.StartRun(ctx, state.Run{ID: "gone", StartedAt: at, PID: math.MaxInt32}))
		ok(t, before.StartRun(ctx, state.Run{ID: "excepted", StartedAt: at, PID: math.MaxInt32}))
		ok(t, before.StartRun(ctx, state.Run{ID: "parent", StartedAt: at, PID: os.Getppid()}))
		ok(t, before.StartRun(ctx, state.Run{ID: "elsewhere", StartedAt: at, Host: "other", PID: 1}))
		ok(t, s.StartRun(ctx, state.Run{ID: "mine", StartedAt: at}))
		ok(t, before.StartRun(ctx, state.Run{ID: "held", StartedAt: at, Host: "other", PID: 1}))
		release, err := before.Hold(ctx, "held")
		ok(t, err)
		defer release()
		want := []string{"elsewhere", "gone", "reused"} // parent is there, of a version without leases perhaps
		if db.Dialect().Name == "duckdb" {              // its file has one owner at a time, and that is us
			want = []string{"elsewhere", "gone", "held", "parent", "reused"}
		}
		same(t, want)(s.CloseOrphans(ctx, at.Add(time.Hour), "excepted"))
		r, _, err := s.Run(ctx, "reused")
		ok(t, err)
		if r.Status != state.Interrupted || r.Exit != 130 || !r.EndedAt.Equal(at.Add(time.Hour)) {
			t.Errorf("closed run is %+v", r)
		}
		steps, err := s.Steps(ctx, "reused")
		ok(t, err)
		if steps[0].Status != state.Interrupted {
			t.Errorf("step of a closed run is %+v", steps[0])
		}
		same[[]string](t, nil)(s.CloseOrphans(ctx, at, "excepted"))
	})
}

func TestLoadsAndCursors(t *testing.T) {
	each(t, func(t *testing.T, db *warehouse.DB, s *state.Store) {
		ctx := context.Background()
		first := state.Load{ID: "l1", RunID: "r", Stream: "shop.orders", Table: "shop.orders", Disposition: "merge",
			CursorFrom: "", CursorTo: "v1:9", Window: window.Window{Start: at, End: at.Add(time.Hour)}, Read: 10, Staged: 8,
			Quarantined: 1, Discarded: 1, Published: 6, Superseded: 1, AlreadyPresent: 1, Deleted: 2, Checksum: "c",
			HighWater: at, Status: "ok", At: at}
		second := state.Load{ID: "l2", Stream: "shop.orders", Status: "ok", At: at.Add(time.Hour)}
		update(t, db, func(ctx context.Context, tx *warehouse.Tx) error {
			return errors.Join(s.SaveLoad(ctx, tx, first), s.SaveLoad(ctx, tx, second), s.SaveLoad(ctx, tx, first),
				s.SaveCursor(ctx, tx, "shop.orders", "v1:9", "l1"), s.SaveCursor(ctx, tx, "shop.orders", "", "l2"))
		})
		same(t, []state.Load{second, first})(s.Loads(ctx, "shop.orders", 0))
		same(t, []state.Load{second, first})(s.Loads(ctx, "", 0))
		same(t, []state.Load{second})(s.Loads(ctx, "shop.orders", 1))
		same(t, scan.Cursor("v1:9"))(s.Cursor(ctx, nil, "shop.orders"))
		same(t, map[string]scan.Cursor{"shop.orders": "v1:9"})(s.Cursors(ctx))
		same(t, scan.Cursor(""))(open(t, db, "other", "dev").Cursor(ctx, nil, "shop.orders"))
		ok(t, s.ResetCursor(ctx, "shop.orders"))
		same(t, scan.Cursor(""))(s.Cursor(ctx, nil, "shop.orders"))
	})
}

// A cursor that is saved in a transaction that fails stays where it was.
func TestInvariant1(t *testing.T) {
	each(t, func(t *testing.T, db *warehouse.DB, s *state.Store) {
		failure := errors.New("publish failed")
		err := db.Update(context.Background(), func(ctx context.Context, tx *warehouse.Tx) error {
			if err := s.SaveCursor(ctx, tx, "shop.orders", "v1:9", "l1"); err != nil {
				return err
			}
			if c, err := s.Cursor(ctx, tx, "shop.orders"); err != nil || c != "v1:9" {
				t.Errorf("inside the transaction the cursor is %q, %v", c, err)
			}
			return failure
		})
		if !errors.Is(err, failure) {
			t.Errorf("error %v", err)
		}
		same(t, scan.Cursor(""))(s.Cursor(context.Background(), nil, "shop.orders"))
	})
}

func TestFindings(t *testing.T) {
	each(t, func(t *testing.T, _ *warehouse.DB, s *state.Store) {
		ctx := context.Background()
		bad := state.Finding{RunID: "r1", Check: "unique(id)", Relation: "shop.orders", Severity: "error", Observed: "3 rows",
			Expected: "none", Failed: 3, Samples: []string{`{"id":1}`}, At: at}
		good := state.Finding{RunID: "r2", Check: "rows", Relation: "shop.items", Severity: "warn", OK: true, At: at.Add(time.Hour)}
		ok(t, s.RecordFindings(ctx, []state.Finding{bad, good}))
		ok(t, s.RecordFindings(ctx, nil))
		same(t, []state.Finding{good, bad})(s.Findings(ctx, "", "", 0))
		same(t, []state.Finding{bad})(s.Findings(ctx, "r1", "", 0))
		same(t, []state.Finding{good})(s.Findings(ctx, "", "shop.items", 0))
	})
}

func TestQuarantine(t *testing.T) {
	each(t, func(t *testing.T, db *warehouse.DB, s *state.Store) {
		ctx := context.Background()
		rejects := []scan.Reject{
			{Locator: "a.csv:2", Reason: "no decimal", Payload: `1,"12,50"`},
			{Locator: "a.csv:9", Reason: "no date", Payload: "x"},
		}
		update(t, db, func(ctx context.Context, tx *warehouse.Tx) error {
			return errors.Join(s.SaveRejects(ctx, tx, "shop.orders", "l1", "r1", rejects),
				s.SaveRejects(ctx, tx, "shop.items", "l2", "r1", rejects[:1]), s.SaveRejects(ctx, tx, "none", "l3", "r1", nil))
		})
		list, err := s.Quarantine(ctx, "shop.orders", 0)
		ok(t, err)
		if len(list) != 2 || list[0].Reject != rejects[0] || list[1].Reject != rejects[1] || list[0].LoadID != "l1" || list[0].At.IsZero() {
			t.Errorf("quarantine %+v", list)
		}
		same(t, int64(2))(s.ReleaseQuarantine(ctx, "shop.orders"))
		left := func(stream string) int {
			list, err := s.Quarantine(ctx, stream, 0)
			ok(t, err)
			return len(list)
		}
		if left("shop.orders") != 0 || left("shop.items") != 1 {
			t.Errorf("%d of orders and %d of items are left, want 0 and 1", left("shop.orders"), left("shop.items"))
		}
	})
}

func TestRelations(t *testing.T) {
	each(t, func(t *testing.T, db *warehouse.DB, s *state.Store) {
		ctx := context.Background()
		cols := []warehouse.Column{{Name: "id", Type: "bigint", NotNull: true}, {Name: "a b", Type: "text"}}
		fresh := state.Freshness{Relation: "shop.orders", UpdatedAt: at, HighWater: at, Rows: 7, Status: "ok"}
		build := state.Build{Model: "marts.x", RunID: "r", Fingerprint: "f", At: at, Rows: 3, HighWater: at}
		update(t, db, func(ctx context.Context, tx *warehouse.Tx) error {
			return errors.Join(s.SaveFreshness(ctx, tx, fresh), s.SaveColumns(ctx, tx, "shop.orders", cols),
				s.SaveBuild(ctx, tx, build),
				s.SaveVolume(ctx, tx, "shop.orders", state.Volume{Slot: at, Rows: 1}),
				s.SaveVolume(ctx, tx, "shop.orders", state.Volume{Slot: at.Add(time.Hour), Rows: 2}),
				s.SaveVolume(ctx, tx, "shop.orders", state.Volume{Slot: at, Rows: 3}))
		})
		same(t, cols)(s.Columns(ctx, "shop.orders"))
		same[[]warehouse.Column](t, nil)(s.Columns(ctx, "shop.none"))
		same(t, []state.Build{build})(s.Builds(ctx, "", 0))
		same(t, []state.Volume{{Slot: at.Add(time.Hour), Rows: 2}, {Slot: at, Rows: 3}})(s.VolumeHistory(ctx, "shop.orders", 9))
		stale := fresh
		stale.Status, stale.UpdatedAt = "stale", time.Time{}
		update(t, db, func(ctx context.Context, tx *warehouse.Tx) error { return s.SaveFreshness(ctx, tx, stale) })
		fresh.Status = "stale"
		same(t, []state.Freshness{fresh})(s.Freshness(ctx))
		seen := 0
		ok(t, warehouse.Each(ctx, db, `SELECT "table", last_updated_at, status FROM elt.freshness`, func(r rows.Row) error {
			seen++
			if r.String(0) != "shop.orders" || !r.Time(1).Equal(at) || r.String(2) != "stale" {
				t.Errorf("elt.freshness: %s %s %s", r.String(0), r.Time(1), r.String(2))
			}
			return nil
		}))
		if seen != 1 {
			t.Errorf("elt.freshness has %d rows", seen)
		}
	})
}

func TestWindowsSlotsAlerts(t *testing.T) {
	each(t, func(t *testing.T, _ *warehouse.DB, s *state.Store) {
		ctx := context.Background()
		w := state.WindowRecord{Backfill: "30d", Step: "shop.orders", Window: window.Window{Start: at, End: at.Add(time.Hour)}, Status: "failed", RunID: "r", Fingerprint: "f", Rows: 3}
		ok(t, s.RecordWindow(ctx, w))
		w.Status, w.EndedAt = "ok", at
		ok(t, s.RecordWindow(ctx, w))
		same(t, []state.WindowRecord{w})(s.Windows(ctx, "30d"))
		slot := state.Slot{Job: "nightly", At: at, Status: "ran", RunID: "r"}
		same(t, true)(s.ClaimSlot(ctx, slot, at))
		same(t, false)(s.ClaimSlot(ctx, state.Slot{Job: "nightly", At: at, Status: "missed"}, at))
		same(t, []state.Slot{slot})(s.Slots(ctx, "nightly", 9))
		alert := state.Alert{Subject: "chat/shop.orders", State: "failed", Since: at}
		ok(t, s.SaveAlerts(ctx, []state.Alert{alert}))
		alert.ToldAt, alert.Detail = at, "d"
		ok(t, s.SaveAlerts(ctx, []state.Alert{alert}))
		same(t, []state.Alert{alert})(s.Alerts(ctx))
		_, release, err := s.AlertsAlone(ctx)
		ok(t, err)
		busy, stop := context.WithCancel(ctx)
		waited := make(chan error)
		go func() {
			_, _, err := s.AlertsAlone(busy)
			waited <- err
		}()
		stop()
		if err := <-waited; err == nil {
			t.Error("two runs tell at once")
		}
		release()
		ok(t, s.SaveStep(ctx, state.StepRecord{RunID: "one", Name: "shop.orders", Status: "failed", EndedAt: at}))
		ok(t, s.SaveStep(ctx, state.StepRecord{RunID: "two", Name: "shop.orders", Status: "ok", EndedAt: at.Add(time.Hour)}))
		ok(t, s.SaveStep(ctx, state.StepRecord{RunID: "two", Name: "marts.m", Status: "blocked", EndedAt: at.Add(time.Hour)}))
		same(t, map[string]time.Time{"shop.orders": at.Add(time.Hour)})(s.EndedSince(ctx, "one", at.Add(-time.Hour)))
		same(t, map[string]time.Time{})(s.EndedSince(ctx, "two", at))
	})
}
