package pipeline_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

// A run forgets the records of runs that are older than the retention, and goes
// on from the cursor as before.
func TestARunForgetsOldRuns(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, "retention: 30d\n"+oneStream, nil)
		for i := range int64(4) {
			w.streams["things"].ids = append(w.streams["things"].ids, i+1)
			w.mustRun()
			if i == 1 { // the first two runs were long ago
				err := db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
					old := time.Now().AddDate(0, 0, -31).UTC()
					for _, q := range []string{`UPDATE _elt.run SET started_at = $1`, `UPDATE _elt.load SET recorded_at = $1`} {
						if _, err := tx.Exec(ctx, q, old); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, table := range []string{"run", "step", "finding", "load"} {
			column := map[string]string{"run": "id"}[table]
			if column == "" {
				column = "run_id"
			}
			got := w.texts("SELECT DISTINCT " + column + " FROM _elt." + table + " ORDER BY 1")
			if strings.Contains(got, "run1") || !strings.HasSuffix(got, "run3 run4") {
				t.Errorf("%s holds %q, want the last two runs", table, got)
			}
		}
		if got := w.texts(`SELECT CAST(id AS text) FROM "in".things ORDER BY id`); got != "1 2 3 4" {
			t.Errorf("the table has %q", got)
		}
		if got := w.texts(`SELECT CAST(rows_read AS text) FROM _elt.load WHERE run_id = 'run4'`); got != "1" {
			t.Errorf("the last run read %s rows, want the new one alone", got)
		}
	})
}
