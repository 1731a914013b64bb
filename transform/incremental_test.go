package transform_test

import (
	"strings"
	"testing"
	"time"

	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
	"elt/transform"
	"elt/window"
)

const byDay = "-- elt:\n--   materialized: incremental\n--   time: day\n--   lookback: 1d\n"

func TestIncrementalByTime(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		f := newFixture(t, db)
		sql := byDay + "select day, count(*) as n from shop.orders where day >= /* @window_start */ date '2026-03-01' group by day"
		g := f.graph("m/d", sql)
		if r := f.build(g, "m.d"); r.Rows != 4 || r.Note != "all days" {
			t.Errorf("first: %+v", r)
		}
		// Late rows: one inside the lookback, one before it.
		f.exec(`INSERT INTO shop.orders VALUES (5, date '2026-03-28', NULL, 1), (6, date '2026-03-26', NULL, 1), (7, date '2026-03-30', NULL, 1), (8, date '2026-04-02', NULL, 1)`)
		r := f.build(g, "m.d")
		if r.Rows != 3 || r.Replaced != 2 || r.Note != "3 days" {
			t.Errorf("second: %+v", r)
		}
		days := `SELECT cast(day as text), n FROM m.d ORDER BY day`
		f.want(days, "2026-03-26 1", "2026-03-27 1", "2026-03-28 2", "2026-03-29 1", "2026-03-30 1")
		// A given window: rebuilt, also to nothing.
		f.exec(`DELETE FROM shop.orders WHERE day = date '2026-03-27'`)
		w := window.Days(time.Date(2026, 3, 26, 9, 0, 0, 0, f.zone), time.Date(2026, 3, 28, 9, 0, 0, 0, f.zone), f.zone)
		r, err := f.try(g, "m.d", w, transform.BuildOptions{})
		if err != nil || r.Note != "2 days" || r.Rows != 1 || r.Replaced != 2 {
			t.Errorf("window: %+v %v", r, err)
		}
		f.want(days, "2026-03-26 2", "2026-03-28 2", "2026-03-29 1", "2026-03-30 1")
		// A new column; old rows have NULL. A view above stays valid.
		g = f.graph("m/d", strings.Replace(sql, "count(*) as n", "count(*) as n, min(id) as low", 1), "m/v", view+"select * from m.d")
		f.build(f.graph("m/d", sql, "m/v", view+"select * from m.d"), "m.v")
		if r = f.build(g, "m.d"); len(r.Changes) != 1 {
			t.Errorf("changes: %v", r.Changes)
		}
		f.want(`SELECT cast(day as text), low FROM m.d ORDER BY day`, "2026-03-26 ", "2026-03-28 ", "2026-03-29 4", "2026-03-30 7")
		f.want(`SELECT count(*) FROM m.v`, "4")
		// Everything anew.
		r, err = f.try(g, "m.d", window.Window{}, transform.BuildOptions{FullRefresh: true})
		if err != nil || r.Rows != 5 || r.Note != "all days" {
			t.Errorf("full refresh: %+v %v", r, err)
		}
		f.leftovers()
	})
}

// The filter on the model's output works without a marker, for each type of time
// column, in the project's zone.
func TestIncrementalFilter(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		f := newFixture(t, db)
		g := f.graph("m/i", "-- elt: {materialized: incremental, time: happened}\nselect happened, id from shop.orders",
			"m/n", "-- elt: {materialized: incremental, time: happened}\nselect cast(happened as timestamp) as happened, id from shop.orders")
		w := window.Days(time.Date(2026, 3, 28, 9, 0, 0, 0, f.zone), time.Date(2026, 3, 29, 9, 0, 0, 0, f.zone), f.zone)
		for _, name := range []string{"m.i", "m.n"} {
			r, err := f.try(g, name, w, transform.BuildOptions{})
			if err != nil || r.Rows != 1 || r.Note != "1 day" {
				t.Errorf("%s: %+v %v", name, r, err)
			}
			// 23:30 UTC on the 27th is 00:30 on the 28th in Berlin.
			f.want(`SELECT id FROM `+name, "2")
			if r, err = f.try(g, name, window.Window{}, transform.BuildOptions{}); err != nil || r.Rows != 3 || r.Note != "3 days" {
				t.Errorf("%s: %+v %v", name, r, err)
			}
		}
	})
}

func TestIncrementalByKey(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		f := newFixture(t, db)
		g := f.graph("m/k", "-- elt: {materialized: incremental, key: id}\nselect id, amount from shop.orders")
		f.build(g, "m.k")
		f.exec(`DELETE FROM shop.orders WHERE id < 3`, `UPDATE shop.orders SET amount = 7 WHERE id = 4`, `INSERT INTO shop.orders VALUES (5, NULL, NULL, 5)`)
		if r := f.build(g, "m.k"); r.Rows != 3 || r.Replaced != 2 || r.Note != "by key" {
			t.Errorf("%+v", r)
		}
		f.want(`SELECT id, cast(amount as double precision) FROM m.k ORDER BY id`, "1 1.5", "2 2.5", "3 3.5", "4 7", "5 5")
		f.exec(`INSERT INTO shop.orders VALUES (5, NULL, NULL, 6)`)
		if _, err := f.try(g, "m.k", window.Window{}, transform.BuildOptions{}); err == nil || !strings.Contains(err.Error(), "1 keys (id) have more than one row") {
			t.Errorf("doubles: %v", err)
		}
		f.exec(`UPDATE shop.orders SET id = NULL WHERE id = 5`)
		if _, err := f.try(g, "m.k", window.Window{}, transform.BuildOptions{}); err == nil || !strings.Contains(err.Error(), "2 rows have NULL in the key (id)") {
			t.Errorf("nulls: %v", err)
		}
		f.want(`SELECT count(*) FROM m.k`, "5")
	})
}

func TestTypeChange(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		f := newFixture(t, db)
		model := func(typ string) *transform.Graph {
			return f.graph("m/k", "-- elt: {materialized: incremental, key: id}\nselect id, cast(id as "+typ+") as x from shop.orders", "m/v", view+"select x from m.k")
		}
		f.build(model("integer"), "m.k", "m.v")
		r := f.build(model("bigint"), "m.k")
		if len(r.Changes) != 1 || !strings.Contains(r.Changes[0], "column x is") {
			t.Errorf("%v", r.Changes)
		}
		f.want(`SELECT sum(x) FROM m.v`, "10")
		f.build(model("integer"), "m.k") // narrower values fit
		_, err := f.try(model("date"), "m.k", window.Window{}, transform.BuildOptions{})
		if err == nil {
			t.Error("no error")
		}
		_, err = f.try(f.graph("m/k", "-- elt: {materialized: incremental, key: id}\nselect id, true as x from shop.orders"), "m.k", window.Window{}, transform.BuildOptions{})
		if err == nil || !strings.Contains(err.Error(), "--full-refresh") {
			t.Errorf("got %v", err)
		}
		f.want(`SELECT sum(x) FROM m.v`, "10")
	})
}
