package activate_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

// guarded plans, and pushes unless the plan is held.
func (w *world) guarded(approved string) (held bool, r activate.Result, err error) {
	w.t.Helper()
	ctx := context.Background()
	w.runs++
	sync := w.sync
	sync.RunID = fmt.Sprintf("run%d", w.runs)
	plan, err := activate.NewPlan(ctx, w.db, w.st, sync)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { err = errors.Join(err, plan.Close(ctx)) }()
	if held, r, err = plan.Guard(ctx, approved); held || err != nil {
		return held, r, err
	}
	r, err = plan.Push(ctx, activate.Connector{Destination: w.dest}, noWait)
	return false, r, err
}

// mustBe runs once and checks whether it is held, and that all rows are accounted for.
func (w *world) mustBe(held bool) activate.Result {
	w.t.Helper()
	got, r, err := w.guarded("")
	if err != nil || got != held {
		w.t.Fatalf("held %v, %+v, %v; want held %v", got, r, err, held)
	}
	balanced(w.t, r)
	return r
}

// fill makes the model n rows with a name.
func (w *world) fill(n int, name string) {
	w.t.Helper()
	w.exec(`DELETE FROM marts.customers`, fmt.Sprintf(`INSERT INTO marts.customers SELECT i, '%s' FROM generate_series(1, %d) AS s(i)`, name, n))
}

// A plan over a guard sends nothing; it is held until a plan is within the guards
// or one is approved, and only the plan that was approved gets through.
func TestGuardHoldsThePlan(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeMirror, 100)
		w.sync.Guards = activate.DefaultGuards()
		w.fill(1000, "a")
		w.mustBe(false)
		w.fill(940, "a") // 60 of 1000 would go
		calls := w.dest.Calls()
		r := w.mustBe(true)
		if len(r.Held) != 1 || r.Held[0].String() != "max_delete: it would delete 60 of 1000 rows, the limit is 5%" ||
			r.Gone != (activate.Gone{Planned: 60, Deferred: 60}) || w.dest.Calls() != calls {
			t.Errorf("%+v after %d calls", r, w.dest.Calls()-calls)
		}
		w.mustBe(true)
		holds, err := w.st.Holds(t.Context(), "")
		if err != nil || len(holds) != 2 || holds[0].PlanHash != holds[1].PlanHash || !strings.Contains(holds[0].Detail, `"deletes":60`) {
			t.Fatalf("holds %+v, %v", holds, err)
		}
		history, err := w.st.SyncHistory(t.Context(), "crm", 1)
		if err != nil || history[0].Status != "held" || history[0].Gone != 60 {
			t.Errorf("history %+v, %v", history, err)
		}
		preview, err := activate.NewPreview(t.Context(), db, w.st, w.sync, activate.PreviewOptions{Hash: true})
		if err != nil || preview.Outline.Hash != holds[0].PlanHash || len(preview.Held) != 1 {
			t.Errorf("preview %+v, %v; want the hash of the hold", preview, err)
		}
		w.exec(`UPDATE marts.customers SET name = 'b' WHERE id = 7`)
		if _, _, err := w.guarded(holds[0].PlanHash); !errors.Is(err, activate.ErrPlanChanged) {
			t.Errorf("error %v, want ErrPlanChanged", err)
		}
		w.exec(`UPDATE marts.customers SET name = 'a' WHERE id = 7`)
		held, r, err := w.guarded(holds[0].PlanHash)
		if held || err != nil || r.Gone.Deleted != 60 || len(r.Held) > 0 {
			t.Errorf("held %v, %+v, %v; want the approved plan pushed", held, r, err)
		}
		if holds, err = w.st.Holds(t.Context(), ""); err != nil || len(holds) != 0 {
			t.Errorf("holds %+v, %v; want none after the approval", holds, err)
		}
		w.fill(700, "a")
		w.mustBe(true)
		w.fill(939, "a")
		if r := w.mustBe(false); r.Gone.Deleted != 1 {
			t.Errorf("%+v, want one deleted", r)
		}
		if holds, err = w.st.Holds(t.Context(), ""); err != nil || len(holds) != 0 {
			t.Errorf("holds %+v, %v; want none after a plan within the guards", holds, err)
		}
	})
}

// What each guard judges: a default lets small numbers be, an explicit limit is exact.
func TestGuards(t *testing.T) {
	t.Parallel()
	share := func(percent float64) activate.Guard { return activate.Guard{On: true, Share: true, Percent: percent} }
	rows := func(n int64) activate.Guard { return activate.Guard{On: true, Rows: n} }
	def := activate.DefaultGuards()
	for name, tt := range map[string]struct {
		guards   activate.Guards
		outline  activate.Outline
		sendable int64
		want     string
	}{
		"nothing there":                   {def, activate.Outline{Creates: 1e6}, 1e6, ""},
		"few deletes of few":              {def, activate.Outline{Deletes: 49, There: 100}, 51, ""},
		"many deletes of few":             {def, activate.Outline{Deletes: 50, There: 100}, 50, "max_delete"},
		"few deletes of many":             {def, activate.Outline{Deletes: 50, There: 1000}, 950, ""},
		"many deletes of many":            {def, activate.Outline{Deletes: 51, There: 1000}, 949, "max_delete"},
		"half changed":                    {def, activate.Outline{Changes: 500, There: 1000}, 1000, ""},
		"more than half changed":          {def, activate.Outline{Changes: 501, There: 1000}, 1000, "max_change"},
		"an empty source":                 {def, activate.Outline{Deletes: 1, There: 1}, 0, "source_empty"},
		"a source that is allowed to be":  {activate.Guards{}, activate.Outline{Deletes: 1, There: 1}, 0, ""},
		"an explicit share has no least":  {activate.Guards{MaxDelete: share(5)}, activate.Outline{Deletes: 1, There: 10}, 9, "max_delete"},
		"at the limit":                    {activate.Guards{MaxDelete: share(10)}, activate.Outline{Deletes: 1, There: 10}, 9, ""},
		"no row may go":                   {activate.Guards{MaxDelete: rows(0)}, activate.Outline{Deletes: 1, There: 10}, 9, "max_delete"},
		"a number of rows":                {activate.Guards{MaxCreate: rows(3)}, activate.Outline{Creates: 4}, 4, "max_create"},
		"a share of new rows":             {activate.Guards{MaxCreate: share(20)}, activate.Outline{Creates: 3, There: 10}, 13, "max_create"},
		"a share of new rows, first time": {activate.Guards{MaxCreate: share(20)}, activate.Outline{Creates: 3}, 3, ""},
		"two at once":                     {def, activate.Outline{Changes: 900, Deletes: 90, There: 1000}, 910, "max_delete max_change"},
	} {
		var got []string
		for _, tripped := range tt.guards.Judge(tt.outline, tt.sendable) {
			got = append(got, tripped.Guard)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %v, want %q", name, got, tt.want)
		}
	}
}

// An empty model, or one without a single key, deletes nothing; nor does a model
// that is not there.
func TestAnEmptySourceDeletesNothing(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeMirror, 100)
		w.sync.Guards = activate.DefaultGuards()
		w.model(map[int]string{1: "a", 2: "b"})
		w.mustBe(false)
		w.model(nil)
		if r := w.mustBe(true); r.Held[0].Guard != "source_empty" {
			t.Errorf("%+v", r.Held)
		}
		w.exec(`INSERT INTO marts.customers VALUES (NULL, 'a'), (NULL, 'b')`)
		w.mustBe(true)
		w.exec(`DROP TABLE marts.customers`)
		if _, err := activate.NewPlan(t.Context(), db, w.st, w.sync); err == nil || !strings.Contains(err.Error(), "build it first") {
			t.Errorf("error %v, want the model to be built first", err)
		}
		w.want("1:a", "2:b")
		w.exec(`CREATE TABLE marts.customers (id bigint, name text)`)
		w.sync.Guards.EmptySource = false
		if r := w.mustBe(false); r.Gone.Deleted != 2 {
			t.Errorf("%+v, want both deleted once it is allowed", r)
		}
	})
}

// Where the destination knows operations by their key, what it may have done is sent
// again as it was: that is what a plan shows, and what it is approved by.
func TestAPlanShowsWhatIsSentAgain(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 10)
		w.dest.Max.Replay, w.sync.Replay = activate.IdempotencyKey, activate.IdempotencyKey
		preview := func() activate.Preview {
			t.Helper()
			v, err := activate.NewPreview(t.Context(), db, w.st, w.sync, activate.PreviewOptions{Samples: 5, Hash: true})
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		var hashes []string
		for _, lost := range []string{"BAD", "worse"} {
			w.model(map[int]string{1: "a", 2: "a"})
			w.mustRun()
			w.model(map[int]string{1: lost, 2: lost})
			w.dest.Fault = func(int, activate.Batch) activatetest.Fault { return activatetest.LoseCall }
			w.mustRun()
			w.dest.Fault = nil
			w.model(map[int]string{1: "good", 2: "good"})
			v := preview()
			hashes = append(hashes, v.Outline.Hash)
			var shown []string
			for _, r := range v.Rows {
				shown = append(shown, r.New)
			}
			want := []string{`{"customer_id":1,"name":"` + lost + `"}`, `{"customer_id":2,"name":"` + lost + `"}`}
			if !slices.Equal(shown, want) {
				t.Errorf("shown %v, want %v", shown, want)
			}
			w.mustRun()
			w.want("1:"+lost, "2:"+lost)
			if v = preview(); len(v.Rows) != 2 || v.Rows[0].New != `{"customer_id":1,"name":"good"}` {
				t.Errorf("shown %+v, want what the next run sends", v.Rows)
			}
			w.mustRun()
			w.want("1:good", "2:good")
		}
		if hashes[0] == hashes[1] {
			t.Error("two plans that send something else have one hash")
		}
	})
}
