package postgres_test

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"elt/internal/secret"
	"elt/internal/testdb"
	"elt/internal/warehouse"
	"elt/internal/warehouse/postgres"
)

// TestInvariant14_NothingRunsAfterClose leaves a query, a lock and a cancelled
// statement behind and closes the driver.
func TestInvariant14_NothingRunsAfterClose(t *testing.T) {
	url := testdb.URL(t)
	before := goleak.IgnoreCurrent()
	d, err := postgres.Open(t.Context(), secret.New(url), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	db, err := warehouse.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := db.Lock(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	r, err := db.Query(t.Context(), `SELECT generate_series(1, 20000)`)
	if err != nil {
		t.Fatal(err)
	}
	r.Next()
	r.Release()

	ctx, cancel := context.WithCancel(t.Context())
	err = db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		r, err := tx.Query(ctx, `SELECT repeat('x', 1000) FROM generate_series(1, 1000000)`)
		if err != nil {
			return err
		}
		defer r.Release()
		r.Next()
		cancel()
		for r.Next() {
		}
		return r.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, before)
}
