package activate_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/internal/retry"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

// later makes every call be refused until d has passed.
func (w *world) later(d time.Duration) {
	w.dest.After = d
	w.dest.Fault = func(int, activate.Batch) activatetest.Fault { return activatetest.Later }
}

// What a destination asks to wait is obeyed by the whole account, whatever its
// length: by other syncs, and by the next run.
func TestRetryAfterIsObeyedByTheAccount(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 1)
		w.sync.Account = "account 1"
		w.fillModel(5)
		w.later(2 * time.Hour)
		r := w.mustRun()
		if in := time.Until(r.Resume); r.Deferred != 5 || w.dest.Calls() != 1 || in < 119*time.Minute || in > 2*time.Hour {
			t.Errorf("%+v after %d calls, want all deferred for two hours", r, w.dest.Calls())
		}
		if !strings.Contains(r.Problem, "asks to be left alone until "+r.Resume.UTC().Format("2006-01-02 15:04")) {
			t.Errorf("problem %q does not tell until when", r.Problem)
		}
		w.dest.Fault = nil
		for _, name := range []string{"crm", "another"} {
			w.sync.Name, w.sync.TargetFP = name, activate.Fingerprint("memory", "1", name)
			if r := w.mustRun(); r.Deferred != 5 || w.dest.Calls() != 1 || r.Resume.IsZero() || r.Problem == "" {
				t.Errorf("sync %s: %+v after %d calls, want none before the time", name, r, w.dest.Calls())
			}
		}
		w.exec(`UPDATE _elt.quota SET not_before = not_before - INTERVAL '2 hours'`)
		if r := w.mustRun(); r.Acked != 5 {
			t.Errorf("%+v, want all sent afterwards", r)
		}
	})
}

// What a destination asks to wait is obeyed whatever it says besides: also where the
// outcome is unknown, where it takes nothing of this sync, and where it was looked at.
func TestRetryAfterIsObeyedBesideAnyAnswer(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		for name, fault := range map[string]activatetest.Fault{"unknown": activatetest.LoseCall, "barred": activatetest.Bar, "a look": activatetest.None} {
			for _, replay := range []activate.ReplayClass{activate.Idempotent, activate.IdempotencyKey, activate.Reconcile} {
				w := newWorld(t, db, activate.ModeUpsert, 1)
				w.dest.Max.Replay, w.dest.After = replay, 2*time.Hour
				w.sync.Account = name + string(replay)
				w.fillModel(5)
				calls := 1
				if name == "a look" {
					w = unsure(t, db, activate.ModeUpsert, false)
					w.sync.Account = name + string(replay)
					w.dest.Blind = func([]activate.Change) error { return retry.Asked(errors.New("internal error"), 2*time.Hour) }
					calls = w.dest.Calls()
				}
				w.dest.Fault = func(int, activate.Batch) activatetest.Fault { return fault }
				r, _, err := w.runWith(t.Context(), noWait)
				if unknown := fault == activatetest.LoseCall; err != nil || w.dest.Calls() != calls || (r.Barred != nil) != (fault == activatetest.Bar) || unknown && r.Unknown != 1 {
					t.Errorf("%s, %s: %+v, %v after %d calls, want %d", name, replay, r, err, w.dest.Calls(), calls)
				}
				w.dest.Fault, w.dest.Blind = nil, nil
				w.sync.Name, w.sync.TargetFP = "another", activate.Fingerprint("memory", "1", "another")
				r = w.mustRun()
				if in := time.Until(r.Resume); w.dest.Calls() != calls || in < 119*time.Minute || in > 2*time.Hour {
					t.Errorf("%s, %s: %+v after %d calls, want none for two hours", name, replay, r, w.dest.Calls())
				}
				w.exec(`DELETE FROM _elt.ledger`, `DELETE FROM _elt.intent`)
			}
		}
	})
}

// A run after the clock was set back waits for no slot of the time before.
func TestNoSlotIsFarAwayAfterTheClockWasSetBack(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 1)
		w.dest.Max.Rates = []activate.Rate{{Calls: 5, Per: time.Second}}
		w.fillModel(3)
		w.mustRun()
		w.exec(`UPDATE _elt.quota SET next_at = next_at + INTERVAL '1 hour', booked_at = booked_at + INTERVAL '1 hour'`, `UPDATE marts.customers SET name = 'new'`)
		longest := time.Duration(0)
		r := w.mustRunWith(activate.Options{Sleep: func(_ context.Context, d time.Duration) error {
			longest = max(longest, d)
			return nil
		}})
		if r.Acked != 3 || longest > time.Minute {
			t.Errorf("%+v, and the longest wait is %s", r, longest)
		}
	})
}

// A short wait is waited for within the run, and comes before any other call.
func TestShortRetryAfterIsWaitedFor(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 1)
		w.fillModel(3)
		w.dest.After = 20 * time.Second
		w.dest.Fault = func(call int, _ activate.Batch) activatetest.Fault {
			if call == 2 {
				return activatetest.Later
			}
			return activatetest.None
		}
		longest := time.Duration(0)
		opts := activate.Options{Sleep: func(_ context.Context, d time.Duration) error {
			longest = max(longest, d)
			return nil
		}}
		if r := w.mustRunWith(opts); r.Acked != 3 || longest < 19*time.Second || longest > 20*time.Second {
			t.Errorf("%+v, longest wait %s, want all acked after 20 s", r, longest)
		}
	})
}

// When a budget is spent the rest waits for the time at which it opens again, also
// in the next run.
func TestSpentBudgetDefersTheRest(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 2)
		w.dest.Max.Rates = []activate.Rate{{Calls: 3, Per: 24 * time.Hour}, {Calls: 50, Per: 24 * time.Hour}, {Calls: 100_000, Per: time.Second}}
		w.fillModel(9)
		r := w.mustRun()
		if r.Acked != 6 || r.Deferred != 3 || w.dest.Calls() != 3 || r.Resume.Before(time.Now().Add(23*time.Hour)) {
			t.Errorf("%+v after %d calls, want 6 acked by 3", r, w.dest.Calls())
		}
		if !strings.Contains(r.Problem, "the budget of 3 calls in 24h is spent until ") {
			t.Errorf("problem %q", r.Problem)
		}
		if r := w.mustRun(); r.Deferred != 3 || w.dest.Calls() != 3 {
			t.Errorf("%+v after %d calls, want none", r, w.dest.Calls())
		}
		w.exec(`UPDATE _elt.quota_slice SET slice_start = slice_start - INTERVAL '2 days'`)
		if r := w.mustRun(); r.Acked != 3 || r.Problem != "" {
			t.Errorf("%+v, want the rest sent in the next window", r)
		}
	})
}

// Pushes of one process that lead to one account share what it takes.
func TestSyncsOfAProcessShareAnAccount(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 1)
		w.sync.Account = "account 1"
		w.dest.Max.Rates = []activate.Rate{{Calls: 8, Per: time.Hour}, {Calls: 2000, Per: time.Second}}
		w.dest.Max.Concurrency = 2
		w.fillModel(6)
		var plans []*activate.Plan
		for _, name := range []string{"one", "two"} {
			sync := w.sync
			sync.Name, sync.RunID, sync.TargetFP = name, "run1", activate.Fingerprint("memory", "1", name)
			plan, err := activate.NewPlan(t.Context(), db, w.st, sync)
			if err != nil {
				t.Fatal(err)
			}
			plans = append(plans, plan)
		}
		results := make(chan activate.Result)
		opts := noWait
		opts.Accounts = &activate.Accounts{}
		for _, plan := range plans {
			go func() {
				r, err := plan.Push(t.Context(), activate.Connector{Destination: w.dest}, opts)
				if err != nil {
					t.Error(err)
				}
				results <- r
			}()
		}
		one, two := <-results, <-results
		if one.Acked+two.Acked != 8 || one.Deferred+two.Deferred != 4 || w.dest.Calls() != 8 {
			t.Errorf("%+v and %+v after %d calls, want 8 in all", one, two, w.dest.Calls())
		}
		for _, plan := range plans {
			if err := plan.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

// A signal ends a push before its next call; what was answered is settled.
func TestDrainEndsBeforeTheNextCall(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 1)
		w.fillModel(5)
		drain := make(chan struct{})
		w.dest.Fault = func(call int, _ activate.Batch) activatetest.Fault {
			if call == 2 {
				close(drain)
			}
			return activatetest.None
		}
		if r := w.mustRunWith(activate.Options{Drain: drain}); r.Acked != 2 || r.Deferred != 3 || !strings.HasPrefix(r.Problem, "interrupted") {
			t.Errorf("%+v, want two acked and the rest deferred", r)
		}
	})
}
