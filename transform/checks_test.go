package transform_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"elt/internal/sqlparse"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
	"elt/internal/yamlx"
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

// Checks alone make no circle: one of them, always the same, reads what is there
// before. A circle of queries stays one.
func TestACircleIsBrokenAtACheck(t *testing.T) {
	t.Parallel()
	to := func(table string) []yamlx.Check {
		return []yamlx.Check{{Kind: "relationships", Columns: []string{"id"}, To: table + ".id"}}
	}
	opts := transform.Options{
		Tables: []string{"s.orgs", "s.users", "s.t"}, Zone: berlin(t),
		Checks: map[string][]yamlx.Check{"s.orgs": to("s.users"), "s.users": to("s.orgs"), "s.t": to("m.v")},
		Place:  func(schema, name string) warehouse.Table { return warehouse.Table{Schema: schema, Name: name} },
	}
	models := map[string]string{
		"m/v.sql": "select id from m.u",
		"m/u.sql": "-- elt:\n--   checks: [{relationships: {column: id, to: m.v.id}}]\nselect id from s.t",
	}
	for range 20 {
		g, err := transform.Parse(files(models), sqlparse.Postgres(), opts)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range g.Loosened() {
			got = append(got, c.Table()+" "+strings.Join(c.Before, " "))
		}
		if want := "m.u m.v, s.orgs s.users, s.t m.v"; strings.Join(got, ", ") != want {
			t.Fatalf("loosened %q, want %s", got, want)
		}
		if needs := g.Needs("s.users"); len(g.Needs("s.orgs")) != 0 || len(needs) != 1 || needs[0] != "s.orgs" || g.Models[0].Name != "u" {
			t.Fatalf("needs of s.users %q, of s.orgs %q, first model %s", needs, g.Needs("s.orgs"), g.Models[0].Name)
		}
	}
	models["m/u.sql"] = "select id from m.v"
	if _, err := transform.Parse(files(models), sqlparse.Postgres(), opts); err == nil || !strings.Contains(err.Error(), "models read each other in a circle: m.u → m.v → m.u") {
		t.Errorf("a circle of queries gives %v", err)
	}
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
