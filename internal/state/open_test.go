package state_test

import (
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

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
	for try := range 6 {
		addr := testdb.URL(t)
		if try%2 == 1 { // as whoever grants rights by schema does
			makeSchemas(t, addr)
		}
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

func makeSchemas(t *testing.T, addr string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), `CREATE SCHEMA _elt; CREATE SCHEMA elt`); err != nil {
		t.Fatal(err)
	}
}
