package activate_test

import (
	"fmt"
	"slices"
	"testing"

	"elt/activate"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

// Two keys of the model that are one row there are both acknowledged: that one of
// them overwrote the other is told, also when they come in two runs.
func TestTwoKeysOfOneRowAreTold(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		for _, mode := range []string{activate.ModeUpsert, activate.ModeMirror} {
			w := newWorld(t, db, mode, 10)
			w.sync.Key = []string{"name"}
			run := func(want ...string) {
				t.Helper()
				w.runs++
				w.sync.RunID = fmt.Sprintf("twins%d", w.runs)
				r := w.through(folding{w.dest})
				if r.Twins.Keys != int64(len(want)) || !slices.Equal(r.Twins.Samples, want) {
					t.Errorf("%s: told %+v, want %v", mode, r.Twins, want)
				}
			}
			ada, lower := `{"name":"Ada"}`, `{"name":"ada"}`
			if db.Dialect().Name == "postgres" && w.one(`SELECT CASE WHEN 'A' < 'a' THEN 1 ELSE 0 END`) == 0 {
				ada, lower = lower, ada // as its collation orders them
			}
			w.model(map[int]string{1: "Ada", 2: "ada", 3: "Bob"})
			run(ada, lower)
			w.model(map[int]string{1: "Ada"})
			run() // the other has gone, or moved
			w.model(map[int]string{4: "Eve"})
			run()
			w.model(map[int]string{2: "ada", 4: "Eve"})
			run() // one spelling at a time
			w.model(map[int]string{1: "Ada", 2: "ada", 4: "Eve"})
			if mode == activate.ModeMirror { // which has forgotten the spelling that was gone
				run(ada, lower)
			} else { // both are as they were sent once: this run has sent neither
				run()
			}
			w.exec(`DELETE FROM _elt.ledger`)
		}
	})
}
