package transform_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
	"elt/transform"
	"elt/window"
)

// What an engine says of the SQL of a check has no place in the query of the
// model.
func TestAnErrorOfACheckIsNotPlacedInTheModel(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		f := newFixture(t, db)
		g := f.graph("m/t", "select id,\n  amount,\n  day,\n  happened\nfrom shop.orders -- and enough text for a position in it")
		_, err := f.try(g, "m.t", window.Window{}, transform.BuildOptions{
			Verify: func(ctx context.Context, tx *warehouse.Tx, rel warehouse.Table) error {
				_, err := tx.Exec(ctx, "SELECT count(*) FROM "+rel.String()+" WHERE nope > 0")
				return err
			},
		})
		if placed, ok := errors.AsType[*transform.PlacedError](err); ok || err == nil {
			t.Errorf("placed at %v, error %v", placed, err)
		}
	})
}

// The SQL of a check reads the rows aside by the table's own name, and every
// other table in its place of this target.
func TestChecksReadTheRowsAside(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		f := newFixture(t, db)
		f.place = func(schema, name string) warehouse.Table { return warehouse.Table{Schema: "dev_" + schema, Name: name} }
		g := f.graph("m/t", `-- elt:
--   checks:
--     - {sql: "select t.id, 'm.t' as text from m.t where m.t.id in (select o.id from shop.orders o); -- m.t"}
--     - {sql: "with t as (select * from m.t) select * from t"}
--     - {relationships: {column: id, to: m.t.id}}
--     - {relationships: {column: id, to: shop.orders.id}}
--     - {expression: "id < (select count(*) from shop.orders)", where: "id > 0"}
select id from shop.orders`)
		aside := warehouse.Table{Schema: "dev_m", Name: "_elt_new_t"}
		var got []string
		for _, c := range g.Checks("m.t") {
			bound, to := c.On(aside)
			got = append(got, strings.Join(strings.Fields(bound.SQL+" "+bound.Where+" "+to), " "))
		}
		want := []string{
			`WITH "t" AS (SELECT * FROM "dev_m"."_elt_new_t") SELECT * FROM ( select t.id, 'm.t' as text from "t" where "t".id in (select o.id from "dev_shop"."orders" o) ) AS _elt_offending`,
			`with t as (select * from "dev_m"."_elt_new_t") select * from t`,
			`"dev_m"."_elt_new_t"`,
			`"dev_shop"."orders"`,
			`id < (select count(*) from "dev_shop"."orders") id > 0`,
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("check %d:\n got %s\nwant %s", i, got[i], want[i])
			}
		}
	})
}
