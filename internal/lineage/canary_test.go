package lineage_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"elt/internal/lineage"
	"elt/internal/rows"
	"elt/internal/sqlparse"
	"elt/internal/testdb"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

func TestMain(m *testing.M) { os.Exit(testdb.Run(m)) }

// Whatever an engine makes of a query: a column in which a marked value turns up
// is one that lineage calls personal, under the name that the engine gives it.
func TestNoMarkedValueTurnsUpElsewhere(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		engine := db.Dialect().Name
		parser := parsers(t)[engine]
		fill(t, db)
		for _, q := range queries {
			if q.duckOnly && engine != "duckdb" || q.pgOnly && engine != "postgres" {
				continue
			}
			canary(t, db, parser, q.sql)
		}
		for _, h := range hostile {
			for _, sql := range append(h.both, map[string][]string{"duckdb": h.duckdb, "postgres": h.postgres}[engine]...) {
				if !canary(t, db, parser, sql) {
					t.Errorf("no marked value turns up\n%s", sql)
				}
			}
		}
	})
}

// Postgres takes functions of a whole row as if they were columns of it.
func TestFunctionsOfARowArePersonal(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		if db.Dialect().Name != "postgres" {
			return
		}
		fill(t, db)
		r, err := db.Query(t.Context(), `SELECT DISTINCT proname::text FROM pg_proc WHERE prokind = 'f' AND
			(pronargs - pronargdefaults <= 1 AND proargtypes[0] IN ('record'::regtype, 'anyelement'::regtype, 'anycompatible'::regtype, 'anynonarray'::regtype) OR provariadic <> 0) ORDER BY 1`)
		if err != nil {
			t.Fatal(err)
		}
		var functions []string
		if err := rows.Each(r, func(row rows.Row) error { functions = append(functions, row.String(0)); return nil }); err != nil {
			t.Fatal(err)
		}
		parser, found := sqlparse.Postgres(), 0
		for _, name := range functions {
			for _, sql := range []string{
				"select (c." + name + ")::text as x from shop.customers c",
				"select (c." + name + ")::text as x from (select email as e from shop.customers) c",
			} {
				r, err := db.Query(t.Context(), sql)
				if err != nil || rows.Each(r, func(rows.Row) error { return nil }) != nil { // no function of one row
					continue
				}
				if canary(t, db, parser, sql) {
					found++
				}
			}
		}
		if found < 8 {
			t.Errorf("%d of %d functions return a marked value", found, len(functions))
		}
	})
}

// canary runs a query as people do who ask, and as a model, whose columns may get
// other names, and reports whether a marked value turns up.
func canary(t *testing.T, db *warehouse.DB, parser sqlparse.Parser, sql string) bool {
	t.Helper()
	tables := marked()
	tables.Trace(lineage.Model{Name: "marts.x", Flow: flow(t, parser, sql)})
	columns := tables.Of("marts.x")
	seen := turnsUp(t, db, columns, sql, sql)
	err := db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
		if _, err := tx.Exec(ctx, "DROP TABLE IF EXISTS shop.built"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "CREATE TABLE shop.built AS "+sql)
		return err
	})
	if err != nil { // two columns of a name, or a type that no column has: no model can be this query
		return seen
	}
	return turnsUp(t, db, columns, "SELECT * FROM shop.built", sql) || seen
}

func turnsUp(t *testing.T, db *warehouse.DB, columns lineage.Columns, read, sql string) (seen bool) {
	t.Helper()
	r, err := db.Query(t.Context(), read)
	if err != nil {
		t.Errorf("%v\n%s", err, sql)
		return false
	}
	fields := r.Schema().Fields()
	err = rows.Each(r, func(row rows.Row) error {
		for i, f := range fields {
			if !strings.Contains(strings.ToLower(row.String(i)), "canary") {
				continue
			}
			seen = true
			if columns.Origin(f.Name) == "" {
				t.Errorf("column %q holds %q and counts as free\n%s", f.Name, row.String(i), sql)
			}
		}
		return nil
	})
	if err != nil {
		t.Errorf("%v\n%s", err, sql)
	}
	return seen
}

// fill makes the tables that the queries read.
func fill(t *testing.T, db *warehouse.DB) {
	t.Helper()
	err := db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
		for _, q := range []string{
			"CREATE SCHEMA shop", "CREATE SCHEMA crm",
			"CREATE TABLE shop.customers (id bigint, email text, name text)",
			"CREATE TABLE shop.orders (id bigint, sku text, name text, customer_id bigint)",
			"CREATE TABLE crm.people (id bigint, p text)",
			"INSERT INTO shop.customers VALUES (1, 'canary@a', 'canary b')",
			"INSERT INTO shop.orders VALUES (1, 'sku', 'order', 1)",
			"INSERT INTO crm.people VALUES (1, 'canary c')",
		} {
			if _, err := tx.Exec(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// FuzzTrace: no query that parses stops lineage.
func FuzzTrace(f *testing.F) {
	for _, q := range queries {
		f.Add(q.sql)
	}
	for _, h := range hostile {
		for _, sql := range slices.Concat(h.both, h.duckdb, h.postgres) {
			f.Add(sql)
		}
	}
	duck, err := sqlparse.DuckDB()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = duck.Close() })
	f.Fuzz(func(t *testing.T, sql string) {
		for _, p := range []sqlparse.Parser{duck, sqlparse.Postgres()} {
			if q, err := p.Parse(sql); err == nil {
				tables := marked()
				tables.Trace(lineage.Model{Name: "marts.x", Flow: q.Flow})
				tables.Of("marts.x").Origin("id")
			}
		}
	})
}
