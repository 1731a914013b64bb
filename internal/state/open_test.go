package state_test

import (
	"sync"
	"testing"

	"elt/internal/secret"
	"elt/internal/state"
	"elt/internal/testdb"
	"elt/internal/warehouse"
	"elt/internal/warehouse/postgres"
)

// The first commands on a new PostgreSQL database may start at the same time:
// all of them make the schemas and tables, and none may fail for it.
func TestFirstOpeningsSideBySide(t *testing.T) {
	t.Parallel()
	for range 3 {
		addr := testdb.URL(t)
		var openings sync.WaitGroup
		for range 6 {
			openings.Go(func() {
				d, err := postgres.Open(t.Context(), secret.New(addr), postgres.Options{})
				if err != nil {
					t.Error(err)
					return
				}
				db, err := warehouse.Open(t.Context(), d)
				if err != nil {
					t.Errorf("warehouse: %v", err)
					return
				}
				defer func() { _ = db.Close() }()
				if _, err := state.Open(t.Context(), db, "shop", "dev"); err != nil {
					t.Errorf("state: %v", err)
				}
			})
		}
		openings.Wait()
	}
}
