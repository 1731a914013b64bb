package transform_test

import (
	"strings"
	"testing"

	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
	"elt/transform"
	"elt/window"
)

// Views that elt owns answer also when the table below them has lost a column
// that they named, before anybody has built them: their models say how.
func TestViewsOverAColumnThatIsGone(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		f := newFixture(t, db)
		models := func(table, v string) *transform.Graph {
			return f.graph("m/t", table, "m/v", view+v, "m/w", view+"select * from m.v", "m/x", view+"select id from m.t")
		}
		f.build(models("select id, amount, day from shop.orders", "select id, amount from m.t"), "m.t", "m.v", "m.w", "m.x")
		f.build(models("select id, cast(day as text) as day from shop.orders", "select id, day from m.t"), "m.t")
		f.want(`SELECT id, day FROM m.v ORDER BY id LIMIT 1`, "1 2026-03-26")
		f.want(`SELECT id, day FROM m.w ORDER BY id LIMIT 1`, "1 2026-03-26")
		f.want(`SELECT count(*) FROM m.x`, "4")
		f.want(`SELECT column_name FROM information_schema.columns WHERE table_schema = 'm' AND table_name = 'w' ORDER BY ordinal_position`, "id", "day")
		f.leftovers()
	})
}

// A view whose model reads what is not built yet is made from what it stands with.
func TestViewsWhoseModelCannotBeMadeYet(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		f := newFixture(t, db)
		f.build(f.graph("m/t", "select id, amount, day from shop.orders", "m/v", view+"select id from m.t"), "m.t", "m.v")
		now := f.graph("m/t", "select id, amount from shop.orders", "m/u", "select 1 as id, 2 as n", "m/v", view+"select t.id, u.n from m.t join m.u on u.id = t.id")
		f.build(now, "m.t")
		f.want(`SELECT count(*) FROM m.v`, "4")
		f.build(now, "m.u", "m.v")
		f.want(`SELECT id, n FROM m.v`, "1 2")
		// The other table is there, but not yet as the model wants it.
		now = f.graph("m/t", "select id from shop.orders", "m/u", "select 1 as id, 2 as n, 3 as o", "m/v", view+"select t.id, u.o from m.t join m.u on u.id = t.id")
		f.build(now, "m.t")
		f.want(`SELECT id, n FROM m.v`, "1 2")
		f.build(now, "m.u", "m.v")
		f.want(`SELECT id, o FROM m.v`, "1 3")
		f.leftovers()
	})
}

// A view that can be made in no way keeps the old table: readers of both go on.
func TestViewsThatDoNotFitKeepTheOldTable(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		f := newFixture(t, db)
		f.build(f.graph("m/t", "select id, amount from shop.orders", "m/v", view+"select id, amount from m.t"), "m.t", "m.v")
		_, err := f.try(f.graph("m/t", "select id from shop.orders", "m/v", view+"select id, amount from m.t"), "m.t", window.Window{}, transform.BuildOptions{})
		if err == nil || !strings.Contains(err.Error(), "m.v") {
			t.Errorf("error %v, want one that names the view", err)
		}
		f.want(`SELECT cast(amount as double precision) FROM m.v WHERE id = 1`, "1.5")
		f.leftovers()
	})
}
