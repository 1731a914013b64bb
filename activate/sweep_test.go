package activate_test

import (
	"testing"

	"elt/activate"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

// A run that dies between its plan and its end leaves its tables; they go with
// the sweep, unless somebody works with them, also when the sync is gone.
func TestSweepDropsThePlansOfTheDead(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeUpsert, 3)
		w.model(map[int]string{1: "a"})
		const plans = `SELECT count(*) FROM information_schema.tables WHERE table_schema = '_elt' AND (table_name LIKE '%elt_plan_%' OR table_name LIKE '%elt_out_%')`
		dead, err := activate.NewPlan(t.Context(), db, w.st, w.sync)
		if err != nil {
			t.Fatal(err)
		}
		dead.Abandon()
		other := w.sync
		other.Name = "alive"
		alive, err := activate.NewPlan(t.Context(), db, w.st, other)
		if err != nil {
			t.Fatal(err)
		}
		before, after := int64(4), int64(2)
		if db.Dialect().Scratch != "" { // they die with their process; a version that had them in the state may have left some
			w.exec(`CREATE TABLE _elt._elt_plan_dead (seq bigint)`)
			w.exec(`CREATE TABLE _elt._elt_out_dead (seq bigint)`)
			before, after = 2, 0
		}
		if n := w.one(plans); n != before {
			t.Fatalf("%d tables of plans, want %d", n, before)
		}
		if err := activate.Sweep(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		if n := w.one(plans); n != after {
			t.Errorf("%d tables are left, want %d: those of the plan in use", n, after)
		}
		if r, err := alive.Push(t.Context(), activate.Connector{Destination: w.dest}, noWait); err != nil || r.Acked != 1 {
			t.Errorf("the plan in use: %+v, %v", r, err)
		}
		if err := alive.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
