package warehousetest_test

import (
	"context"
	"fmt"
	"testing"

	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

// Schema tells what the transaction sees, also of what is not there or no longer
// holds, and the transaction goes on.
func TestSchemaOfWhatIsNotThereHarmsNothing(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		err := db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
			columns := func(schema, name string) string {
				cols, err := tx.Schema(ctx, warehouse.Table{Schema: schema, Name: name})
				if err != nil {
					t.Errorf("%s.%s: %v", schema, name, err)
				}
				return fmt.Sprint(cols)
			}
			expect := func(what, got, want string) {
				if got != want {
					t.Errorf("%s: %s, want %s", what, got, want)
				}
			}
			exec := func(q string) {
				if _, err := tx.Exec(ctx, q); err != nil {
					t.Errorf("%s: %v", q, err)
				}
			}
			expect("no schema", columns("none", "t"), "[]")
			exec(`CREATE SCHEMA shop`)
			expect("no table", columns("shop", "t"), "[]")
			exec(`CREATE TABLE shop.t (id int PRIMARY KEY, "odd ""name""" int NOT NULL, c int)`)
			exec(`CREATE VIEW shop.v AS SELECT id, c FROM shop.t`)
			exec(`CREATE VIEW shop.w AS SELECT c FROM shop.t`)
			typ := map[string]string{"duckdb": "INTEGER", "postgres": "integer"}[tx.Dialect().Name]
			whole := fmt.Sprintf(`[{id %s true} {odd "name" %s true} {c %s false}]`, typ, typ, typ)
			expect("new table", columns("shop", "t"), whole)
			expect("view", columns("shop", "w"), fmt.Sprintf(`[{c %s false}]`, typ))
			if tx.Dialect().Name == "duckdb" { // Postgres keeps a column that a view reads
				exec(`CREATE OR REPLACE TABLE shop.t (id int)`)
				expect("view that does not fit", columns("shop", "v"), fmt.Sprintf(`[{id %s false} {c %s false}]`, typ, typ))
				exec(`DROP TABLE shop.t`)
				expect("view of nothing", columns("shop", "v"), fmt.Sprintf(`[{id %s false} {c %s false}]`, typ, typ))
			}
			exec(`CREATE TABLE shop.last (id int)`)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}
