package lineage_test

import (
	"context"
	"os"
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
		for _, q := range queries {
			if q.duckOnly && engine != "duckdb" || q.pgOnly && engine != "postgres" {
				continue
			}
			tables := marked()
			tables.Trace(lineage.Model{Name: "marts.x", Flow: flow(t, parser, q.sql)})
			r, err := db.Query(t.Context(), q.sql)
			if err != nil {
				t.Errorf("%s: %v", q.name, err)
				continue
			}
			fields := r.Schema().Fields()
			err = rows.Each(r, func(row rows.Row) error {
				for i, f := range fields {
					if strings.Contains(strings.ToLower(row.String(i)), "canary") && tables.Of("marts.x").Origin(f.Name) == "" {
						t.Errorf("%s: column %q holds %q and counts as free\n%s", q.name, f.Name, row.String(i), q.sql)
					}
				}
				return nil
			})
			if err != nil {
				t.Errorf("%s: %v", q.name, err)
			}
		}
	})
}

// FuzzTrace: no query that parses stops lineage.
func FuzzTrace(f *testing.F) {
	for _, q := range queries {
		f.Add(q.sql)
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
