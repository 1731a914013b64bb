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

// A column may name its table in full, also where the target has it elsewhere.
func TestPlaceOfColumnsInFull(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		f := newFixture(t, db)
		f.place = func(schema, name string) warehouse.Table {
			if schema == "shop" {
				return warehouse.Table{Schema: schema, Name: name}
			}
			return warehouse.Table{Schema: "dev_" + schema, Name: name}
		}
		g := f.graph("staging/o", "select shop.orders.id, shop.orders.amount from shop.orders",
			"marts/m", "select staging.o.id, sum(staging.o.amount) as s from staging.o where staging.o.id > 2 group by staging.o.id")
		if _, err := transform.Plan(t.Context(), db, g.Models, transform.PlanOptions{Now: f.now}); err != nil {
			t.Errorf("plan: %v", err)
		}
		f.build(g, "staging.o", "marts.m")
		f.want(`SELECT id, cast(s as double precision) FROM dev_marts.m ORDER BY id`, "3 3.5", "4 4.5")
	})
}

// A row without a time lies in no window: it is neither lost in silence nor kept
// for ever, and the old rows stand.
func TestRowsWithoutATimeAreTold(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		f := newFixture(t, db)
		plain := f.graph("m/d", byDay+"select day, id from shop.orders")
		grouped := f.graph("m/d", byDay+"select day, max(id) as id from shop.orders group by day")
		f.build(plain, "m.d")
		f.exec(`INSERT INTO shop.orders VALUES (8, NULL, NULL, 1), (9, NULL, NULL, 1), (10, date '2026-03-30', NULL, 1)`)
		for what, try := range map[string]func() error{
			"the window that is due": func() error {
				_, err := f.try(plain, "m.d", window.Window{}, transform.BuildOptions{})
				return err
			},
			"a given window": func() error {
				w := window.Days(time.Date(2026, 3, 26, 9, 0, 0, 0, f.zone), time.Date(2026, 3, 28, 9, 0, 0, 0, f.zone), f.zone)
				_, err := f.try(plain, "m.d", w, transform.BuildOptions{})
				return err
			},
			"all days": func() error {
				_, err := f.try(plain, "m.d", window.Window{}, transform.BuildOptions{FullRefresh: true})
				return err
			},
			"a group": func() error {
				_, err := f.try(grouped, "m.d", window.Window{}, transform.BuildOptions{})
				return err
			},
		} {
			if err := try(); err == nil || !strings.Contains(err.Error(), "rows have NULL in the time column day") || !strings.Contains(err.Error(), "where day is not null") {
				t.Errorf("%s: error %v, want the rows without a time and what to do", what, err)
			}
		}
		f.want(`SELECT count(*) FROM m.d`, "4")
		f.build(f.graph("m/d", byDay+"select day, id from shop.orders where day is not null"), "m.d")
		f.want(`SELECT count(*) FROM m.d`, "5")
		f.leftovers()
	})
}

// A plan tells which models compute everything for each window.
func TestPlanWarnsOfLateFilters(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		f := newFixture(t, db)
		at := strings.Replace(byDay, "day", "at", 1)
		for query, late := range map[string]bool{
			byDay + "select day, id from shop.orders":                                                                            false,
			byDay + "select o.day, o.id from shop.orders o join shop.orders p on p.id = o.id":                                    false,
			byDay + "select day, count(*) as n from shop.orders group by day":                                                    false,
			byDay + "select day, row_number() over (partition by day order by id) as n from shop.orders":                         false,
			byDay + "select day, n from m.distinct_days":                                                                         false, // a table
			at + "select happened as at, id from shop.orders":                                                                    false,
			byDay + "select id, max(day) as day from shop.orders group by id":                                                    true,
			byDay + "select day, row_number() over (order by id) as n from shop.orders":                                          true,
			byDay + "select day, n from m.numbered":                                                                              true, // a view
			byDay + "select * from (select day, id from shop.orders order by id limit 3) x":                                      true,
			at + "select id, max(happened) as at from shop.orders group by id":                                                   true,
			byDay + "select max(day) as day, id from shop.orders where day >= /* @window_start */ date '2026-03-01' group by id": false,
		} {
			g := f.graph("m/w", query, "m/distinct_days", "select distinct day, id as n from shop.orders",
				"m/numbered", view+"select day, row_number() over (order by id) as n from shop.orders")
			planned, err := transform.Plan(t.Context(), db, g.Models, transform.PlanOptions{Now: f.now})
			if err != nil {
				t.Fatalf("%s: %v", query, err)
			}
			for _, p := range planned {
				want := late && p.Model.Name == "w"
				if got := len(p.Warnings) == 1 && strings.Contains(p.Warnings[0], "@window_start"); got != want {
					t.Errorf("%s\n%s: warnings %q, want one: %t", query, p.Model.FullName(), p.Warnings, want)
				}
			}
		}
		f.leftovers()
	})
}
