package pipeline_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"elt/internal/state"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

// A run that lives keeps what it has staged, however many began and ended after it.
func TestALongRunKeepsItsStage(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		for _, younger := range []int{5, 101} {
			w := newWorld(t, db, "sources: {in: {type: memory, streams: {things: {load: replace}}}}\n", nil)
			w.streams["things"].ids = []int64{1}
			w.mustRun()
			long := state.Run{ID: fmt.Sprint("long", younger), StartedAt: time.Now()}
			if err := w.store.StartRun(t.Context(), long); err != nil { // of this session: it lives
				t.Fatal(err)
			}
			for i := range younger {
				r := state.Run{ID: fmt.Sprintf("short%d_%d", younger, i), StartedAt: time.Now()}
				if err := w.store.StartRun(t.Context(), r); err != nil {
					t.Fatal(err)
				}
				r.Status, r.EndedAt = "ok", time.Now()
				if err := w.store.EndRun(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			err := db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
				_, err := tx.Exec(ctx, `CREATE TABLE "in"._elt_stage_long (id bigint)`)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			w.runs = 1000 * younger
			w.mustRun()
			if got := w.texts(`SELECT CAST(count(*) AS text) FROM information_schema.tables WHERE table_name = '_elt_stage_long'`); got != "1" {
				t.Errorf("%d younger runs: the stage of a run that lives was dropped", younger)
			}
			_ = db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
				_, err := tx.Exec(ctx, `DROP TABLE IF EXISTS "in"._elt_stage_long`)
				if err == nil {
					_, err = tx.Exec(ctx, `DELETE FROM _elt.run`)
				}
				return err
			})
		}
	})
}
