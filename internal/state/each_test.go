package state_test

import (
	"context"
	"testing"

	"elt/internal/secret"
	"elt/internal/testdb"
	"elt/internal/warehouse"
	"elt/internal/warehouse/postgres"
)

func eachWarehouse(t *testing.T, fn func(t *testing.T, db *warehouse.DB)) {
	t.Run("postgres", func(t *testing.T) {
		d, err := postgres.Open(context.Background(), secret.New(testdb.URL(t)), postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		db, err := warehouse.Open(context.Background(), d)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		fn(t, db)
	})
}
