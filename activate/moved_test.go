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

// folding is a destination whose keys have no case, as addresses of mail.
type folding struct{ *activatetest.Memory }

func (f folding) Push(ctx context.Context, b activate.Batch) ([]activate.Outcome, error) {
	for i := range b.Changes {
		b.Changes[i].Key = bytes.ToLower(b.Changes[i].Key)
	}
	return f.Memory.Push(ctx, b)
}

// through runs once over a destination in front of that of the world.
func (w *world) through(dest activate.Destination) activate.Result {
	w.t.Helper()
	plan, err := activate.NewPlan(w.t.Context(), w.db, w.st, w.sync)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := plan.Push(w.t.Context(), activate.Connector{Destination: dest}, noWait)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := plan.Close(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	balanced(w.t, r)
	return r
}

// A key that is written in another way is a new one here and the same one there:
// its row is changed, and not deleted afterwards by its old key. One that is gone in
// both ways is deleted.
func TestAKeyThatMovedIsNotDeleted(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeMirror, 10)
		w.sync.Key = []string{"name"}
		run := func(want activate.Gone, left int) {
			t.Helper()
			r := w.through(folding{w.dest})
			if r.Gone != want || len(w.dest.Rows()) != left {
				t.Errorf("%+v with %v there, want %+v and %d rows", r.Gone, w.dest.Rows(), want, left)
			}
		}
		w.model(map[int]string{1: "Ada", 2: "Bob"})
		run(activate.Gone{}, 2)
		w.model(map[int]string{1: "ada"})
		run(activate.Gone{Planned: 2, Deleted: 2}, 1)
		if n := w.one(`SELECT count(*) FROM _elt.ledger`); n != 1 {
			t.Errorf("the ledger has %d rows, want that of ada", n)
		}
		w.model(map[int]string{1: "Ada", 2: "ada", 3: "Eve"})
		run(activate.Gone{}, 2)
		w.model(map[int]string{3: "Eve"})
		run(activate.Gone{Planned: 2, Deleted: 2}, 1)
	})
}
