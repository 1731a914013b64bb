package warehousetest

import (
	"context"
	"testing"
	"time"
)

// A transaction that is cancelled while it begins leaves none open, which whoever has
// the connection next would meet.
func TestACancelledBeginLeavesNothingOpen(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			d := Open(t, engine)
			for n := range 1000 {
				ctx, cancel := context.WithCancel(t.Context())
				go func(after time.Duration) {
					for start := time.Now(); time.Since(start) < after; {
					}
					cancel()
				}(time.Duration(n%200) * time.Microsecond)
				if tx, err := d.Begin(ctx, false); err == nil {
					if err := tx.Rollback(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				cancel()
				tx, err := d.Begin(t.Context(), false)
				if err != nil {
					t.Fatalf("after one that was cancelled: %v", err)
				}
				if err := tx.Rollback(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
