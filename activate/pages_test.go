package activate_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"elt/activate"
	"elt/internal/fault"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

// While the call of one page is on, the next page is prepared: the first call ends
// only after that has been committed.
func TestAPageIsPreparedWhileAnotherIsSent(t *testing.T) {
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			var (
				commits  atomic.Int64
				armed    atomic.Bool
				once     sync.Once
				prepared = make(chan struct{})
			)
			db, err := warehouse.Open(t.Context(), fault.Driver(warehousetest.Open(t, engine), func(_ int, op string, before bool) error {
				if op == fault.Commit && !before && armed.Load() && commits.Add(1) == 1 {
					close(prepared)
				}
				return nil
			}))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			w := newWorld(t, db, activate.ModeUpsert, 1)
			w.few = 1
			w.fillModel(3)
			w.dest.Before = func(ctx context.Context, _ activate.Batch) {
				once.Do(func() {
					armed.Store(true)
					select {
					case <-prepared:
					case <-ctx.Done():
					}
				})
			}
			if r := w.mustRun(); r.Acked != 3 {
				t.Errorf("%+v", r)
			}
			w.want("1:x", "2:x", "3:x")
		})
	}
}
