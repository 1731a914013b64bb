package testdb_test

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"elt/internal/testdb"
)

func TestMain(m *testing.M) { os.Exit(testdb.Run(m)) }

func TestURLGivesAnEmptyDatabaseOfItsOwn(t *testing.T) {
	ctx := context.Background()
	first, second := testdb.URL(t), testdb.URL(t)
	for _, url := range []string{first, second} {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(ctx) }()
		if _, err := conn.Exec(ctx, `CREATE TABLE t (id int)`); err != nil {
			t.Errorf("the database is not empty, or not writable: %v", err)
		}
	}
}

func TestURLDropsTheDatabaseWithItsConnections(t *testing.T) {
	ctx := context.Background()
	var url string
	var conn *pgx.Conn
	t.Run("inner", func(t *testing.T) {
		url = testdb.URL(t)
		var err error
		if conn, err = pgx.Connect(ctx, url); err != nil {
			t.Fatal(err)
		}
	})
	if err := conn.Ping(ctx); err == nil {
		t.Error("the connection outlived the database")
	}
	_ = conn.Close(ctx)
	if late, err := pgx.Connect(ctx, url); err == nil {
		_ = late.Close(ctx)
		t.Error("the database is still there")
	}
}
