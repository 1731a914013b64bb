package activate_test

import (
	"testing"

	"elt/activate"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

// The columns of a key are the same key in whatever order a project writes them:
// otherwise a mirror would delete each row that it has just written.
func TestTheOrderOfTheKeyIsNoChange(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeMirror, 10)
		w.sync.Key = []string{"name", "id"}
		w.model(map[int]string{1: "a", 2: "b"})
		w.mustRun()
		w.sync.Key = []string{"id", "name"}
		if r := w.mustRun(); r.Unchanged != 2 || r.Gone.Planned != 0 || len(w.dest.Rows()) != 2 {
			t.Errorf("%+v with %d rows there, want nothing to do", r, len(w.dest.Rows()))
		}
		for _, key := range [][]string{{"id", "name"}, {"name", "id"}} {
			sync, values := w.sync, map[string]string{"id": "1", "name": "a"}
			sync.Key = key
			x, err := activate.Explain(t.Context(), w.db, w.st, sync, []string{values[key[0]], values[key[1]]}, 1)
			if err != nil || x.Acked == nil {
				t.Errorf("key %v: %+v, %v; want what is acknowledged", key, x, err)
			}
		}
	})
}
