package state_test

import (
	"context"
	"testing"
	"time"

	"elt/internal/rows"
	"elt/internal/state"
	"elt/internal/warehouse"
)

// A lease outlives the cancelling of its run and the loss of its connection, and
// ends when it is given back.
func TestLeaseOfARunThatLives(t *testing.T) {
	each(t, func(t *testing.T, db *warehouse.DB, s *state.Store) {
		if db.Dialect().Name == "duckdb" {
			return // one process owns the file: there is no lease
		}
		before := open(t, db, "shop", "dev")
		ok(t, before.StartRun(t.Context(), state.Run{ID: "r", StartedAt: at, Host: "other", PID: 1}))
		ctx, cancel := context.WithCancel(t.Context())
		release, err := before.Hold(ctx, "r")
		ok(t, err)
		cancel()
		same[[]string](t, nil)(s.CloseOrphans(t.Context(), at))

		leased := func(q string) (n int64) {
			t.Helper()
			ok(t, warehouse.Each(t.Context(), db, q+` FROM pg_locks WHERE locktype = 'advisory' AND granted
				AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`, func(r rows.Row) error {
				n = r.Int(0)
				return nil
			}))
			return n
		}
		waiting, stop := context.WithTimeout(t.Context(), 30*time.Second)
		defer stop()
		was := leased(`SELECT max(pid)::bigint`)
		leased(`SELECT count(pg_terminate_backend(pid))`)
		for now := was; now == was || now == 0; now = leased(`SELECT coalesce(max(pid), 0)::bigint`) {
			ok(t, waiting.Err())
		}
		same[[]string](t, nil)(s.CloseOrphans(t.Context(), at))
		release()
		release()
		same(t, []string{"r"})(s.CloseOrphans(t.Context(), at))
	})
}
