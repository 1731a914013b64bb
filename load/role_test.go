package load_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"elt/internal/secret"
	"elt/internal/testdb"
	"elt/internal/warehouse"
	"elt/internal/warehouse/postgres"
	"elt/load"
)

// A role without rights over others sees of their sessions little more than that
// they are there. Their old snapshots count all the same: the table that replaces
// its rows must not look empty to them (invariant 7).
func TestReplaceKeepsRowsForOldSnapshotsOfOtherRoles(t *testing.T) {
	t.Parallel()
	addr := testdb.URL(t)
	admin, err := pgconn.Connect(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	do := func(q string) string {
		t.Helper()
		results, err := admin.Exec(context.Background(), q).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		if last := results[len(results)-1]; len(last.Rows) > 0 {
			return string(last.Rows[0][0])
		}
		return ""
	}
	u, err := url.Parse(addr)
	if err != nil {
		t.Fatal(err)
	}
	database := strings.TrimPrefix(u.Path, "/")
	role := "loader_" + database
	do(`CREATE ROLE ` + role + ` LOGIN PASSWORD 'elt-test'; ALTER DATABASE ` + database + ` OWNER TO ` + role)
	t.Cleanup(func() {
		do(`ROLLBACK`)
		do(`REASSIGN OWNED BY ` + role + ` TO current_user; DROP ROLE ` + role)
	})
	u.User = url.UserPassword(role, "elt-test")
	driver, err := postgres.Open(t.Context(), secret.New(u.String()), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	db, err := warehouse.Open(t.Context(), driver)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })

	to := load.Target{Disposition: load.Replace}
	replaces := func(id string) load.Contract { c := contract(id); c.Replaces = true; return c }
	if _, err := publish(db, stage(t, db, given(standard(), "["+day1+"]"), replaces("l1")), to); err != nil {
		t.Fatal(err)
	}
	do(`BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1`)
	if _, err := publish(db, stage(t, db, given(standard(), "["+day2+"]"), replaces("l2")), to); err != nil {
		t.Fatal(err)
	}
	if n := do(`SELECT count(*) FROM shop.orders`); n != "2" {
		t.Errorf("the older snapshot sees %s rows, want the 2 of before", n)
	}
	do(`COMMIT`)
}
