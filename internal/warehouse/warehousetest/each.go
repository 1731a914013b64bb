// Package warehousetest is the conformance suite of warehouse drivers, and runs
// tests of other packages on every engine.
package warehousetest

import (
	"path/filepath"
	"testing"

	"elt/internal/secret"
	"elt/internal/testdb"
	"elt/internal/warehouse"
	"elt/internal/warehouse/duckdb"
	"elt/internal/warehouse/postgres"
)

// TimeZone is the session zone of the warehouses that tests get.
const TimeZone = "Europe/Berlin"

// Open opens a fresh driver of engine, "duckdb" or "postgres"; the test closes it.
func Open(t testing.TB, engine string) warehouse.Driver {
	t.Helper()
	var d warehouse.Driver
	var err error
	if engine == "postgres" {
		d, err = postgres.Open(t.Context(), secret.New(testdb.URL(t)), postgres.Options{TimeZone: TimeZone})
	} else {
		d, err = duckdb.Open(t.Context(), duckdb.Options{Path: filepath.Join(t.TempDir(), "wh.duckdb"), Threads: 2, TimeZone: TimeZone})
	}
	if err != nil {
		t.Fatalf("open %s: %v", engine, err)
	}
	return d
}

// Each runs fn as a subtest on a fresh DuckDB file and on a fresh Postgres
// database. The package's TestMain must call testdb.Run.
func Each(t *testing.T, fn func(t *testing.T, db *warehouse.DB)) {
	t.Helper()
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			db, err := warehouse.Open(t.Context(), Open(t, engine))
			if err != nil {
				t.Fatalf("prepare %s: %v", engine, err)
			}
			t.Cleanup(func() {
				if err := db.Close(); err != nil {
					t.Errorf("close %s: %v", engine, err)
				}
			})
			fn(t, db)
		})
	}
}
