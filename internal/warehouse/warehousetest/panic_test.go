package warehousetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"elt/internal/fault"
	"elt/internal/warehouse"
)

// A panic in a transaction ends it: who recovers from it, as a run does of a step,
// still has all connections.
func TestAPanicGivesTheConnectionBack(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			armed := false
			db, err := warehouse.Open(t.Context(), fault.Driver(Open(t, engine), func(_ int, op string, before bool) error {
				if armed && before && op == fault.Query {
					panic("ouch")
				}
				return nil
			}))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("no connection is left"))
			defer cancel()
			armed = true
			for range 100 { // more than there are connections
				recovered(func() { _, _ = db.Query(ctx, `SELECT 1`) })
				recovered(func() {
					_ = db.View(ctx, func(context.Context, *warehouse.Tx) error { panic("ouch") })
				})
				recovered(func() {
					_ = db.Update(ctx, func(context.Context, *warehouse.Tx) error { panic("ouch") })
				})
			}
			armed = false
			if err := db.View(ctx, func(context.Context, *warehouse.Tx) error { return nil }); err != nil {
				t.Error(err)
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func recovered(fn func()) {
	defer func() { _ = recover() }()
	fn()
}
