package transform_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"elt/internal/sqlparse"
	"elt/internal/warehouse"
	"elt/internal/yamlx"
	"elt/transform"
	"elt/window"
)

func files(texts map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range texts {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

func duckParser(t testing.TB) sqlparse.Parser {
	t.Helper()
	p, err := sqlparse.DuckDB()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func berlin(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

const revenue = `-- models/marts/daily_revenue.sql
-- elt:
--   description: Paid revenue per day and country, in EUR.
--   materialized: incremental
--   time: order_date              # a run replaces whole days
--   lookback: 3d
--   key: [order_date, country]
--   tags: daily
--   checks: [{expression: revenue_eur >= 0}]
select o.order_date, c.country, count(*) as orders, sum(o.amount_eur) as revenue_eur
from staging.orders o join shop.customers c on c.id = o.customer_id
where o.status = 'paid' -- /* @window_start */ is no marker here
  and o.order_date >= /* @window_start */ date '2026-03-01'
  and o.order_date <  /* @window_end */   date '2026-04-01'
group by o.order_date, c.country;
`

func TestParse(t *testing.T) {
	zone := berlin(t)
	for dialect, p := range map[string]sqlparse.Parser{"duckdb": duckParser(t), "postgres": sqlparse.Postgres()} {
		t.Run(dialect, func(t *testing.T) {
			g, err := transform.Parse(files(map[string]string{
				"staging/orders.sql":      "select * from shop.orders",
				"staging/orders.yaml":     "materialized: view\ntags: [a, b]\n",
				"marts/daily_revenue.sql": revenue,
				"README.md":               "text",
			}), p, transform.Options{Dir: "models", Tables: []string{"shop.orders", "shop.customers"}, Zone: zone, Owner: "team",
				Place: func(schema, name string) warehouse.Table { return warehouse.Table{Schema: "dev_" + schema, Name: name} }})
			if err != nil {
				t.Fatal(err)
			}
			m := g.Model("marts.daily_revenue")
			if g.Models[1] != m || g.Models[0].Materialized != transform.View {
				t.Fatalf("order: %v", g.Models)
			}
			if diff := cmp.Diff([]string{"shop.customers", "staging.orders"}, m.Needs); diff != "" {
				t.Error(diff)
			}
			want := transform.Settings{Description: "Paid revenue per day and country, in EUR.", Materialized: "incremental", Time: "order_date",
				Lookback: 72 * time.Hour, Key: []string{"order_date", "country"}, Tags: []string{"daily"}, Owner: "team", OnEmpty: "fail",
				Checks: yamlx.Checks{{Kind: "expression", SQL: "revenue_eur >= 0", Severity: "error", Pos: yamlx.Pos{File: "models/marts/daily_revenue.sql", Line: 9, Col: 15}}}}
			if diff := cmp.Diff(want, m.Settings); diff != "" {
				t.Error(diff)
			}
			w := window.Days(time.Date(2026, 3, 28, 12, 0, 0, 0, zone), time.Date(2026, 3, 30, 12, 0, 0, 0, zone), zone)
			sql := m.SQL(w, time.Date(2026, 5, 1, 0, 0, 0, 0, zone))
			for _, part := range []string{
				`from "dev_staging"."orders" o join "dev_shop"."customers" c`, "status = 'paid' -- /* @window_start */ is no marker here",
				`>= /* @window_start */ date '2026-03-28'`, `/* @window_end */   date '2026-03-30'`,
			} {
				if !strings.Contains(sql, part) {
					t.Errorf("no %s in\n%s", part, sql)
				}
			}
			if strings.Contains(sql, ";") {
				t.Error("the semicolon is still there")
			}
		})
	}
}

func TestSelect(t *testing.T) {
	g, err := transform.Parse(files(map[string]string{
		"staging/orders.sql": "select * from shop.orders", "staging/other.sql": "select 1 as a",
		"marts/customers.sql": "-- elt: {tags: [x]}\nselect * from staging.orders",
	}), sqlparse.Postgres(), transform.Options{Dir: "models", Tables: []string{"shop.orders"}})
	if err != nil {
		t.Fatal(err)
	}
	for sel, want := range map[string]string{
		"": "staging.orders staging.other marts.customers", "tag:x": "marts.customers", "source:shop.orders+": "staging.orders marts.customers",
		"path:models/staging": "staging.orders staging.other", "+marts.customers": "staging.orders marts.customers",
	} {
		models, err := g.Select(strings.Fields(sel)...)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, m := range models {
			names = append(names, m.FullName())
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%q: got %s, want %s", sel, got, want)
		}
	}
}

func TestMistakes(t *testing.T) {
	fsys := files(map[string]string{
		"top.sql":         "select 1 as a",
		"lonely/a.yaml":   "owner: x",
		"m/syntax.sql":    "select 1\nfro shop.orders x y",
		"m/unknown.sql":   "select * from shop.ordres",
		"m/noschema.sql":  "select * from orders",
		"m/key.sql":       "-- elt:\n--   materialised: view\nselect 1 as a",
		"m/enum.sql":      "-- elt:\n--   materialized: vew\nselect 1 as a",
		"m/indent.sql":    "-- elt:\n-- materialized: view\nselect 1 as a",
		"m/late.sql":      "select 1 as a\n-- elt:\n--   owner: x\n",
		"m/both.sql":      "-- elt:\n--   owner: x\nselect 1 as a",
		"m/both.yaml":     "owner: y",
		"m/nokey.sql":     "-- elt:\n--   materialized: incremental\nselect 1 as a",
		"m/marker.sql":    "select /* @window_strt */ date '2026-01-01' as a, /* @window_end */ now() as b, /* @run_date */ date 'soon' as c",
		"m/view.sql":      "-- elt:\n--   materialized: view\nselect /* @run_date */ date '2026-01-01' as a",
		"m/self.sql":      "select * from m.self",
		"m/file.sql":      "select * from read_csv('x.csv')",
		"c/a.sql":         "select * from c.b",
		"c/b.sql":         "select 1 as x from c.c",
		"c/c.sql":         "select\n * from c.a",
		"c/after.sql":     "select * from c.a",
		"shop/orders.sql": "select 1 as a",
		"_elt/x.sql":      "select 1 as a",
		"m/tab.sql":       "-- elt:\n--   checks: [{unqiue: id}]\nselect 1 as a",
	})
	_, err := transform.Parse(fsys, duckParser(t), transform.Options{Dir: "models", Tables: []string{"shop.orders"}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`models/top.sql:1:1: this model has no schema`,
		`models/lonely/a.yaml:1:1: no model beside these settings`,
		`models/m/syntax.sql:2:5: syntax error at or near "shop"`,
		`models/m/unknown.sql:1:15: unknown table shop.ordres`, `did you mean "shop.orders"?`,
		`models/m/noschema.sql:1:15: table orders without its schema`, `write shop.orders`,
		`models/m/key.sql:2:6: unknown key "materialised"`, `did you mean "materialized"?`,
		`models/m/enum.sql:2:20: materialized is "vew"`,
		`models/m/indent.sql:2:4: this setting is not indented under elt:`,
		`models/m/late.sql:2:1: -- elt: must stand once, before the query`,
		`models/m/both.sql:1:1: settings stand both here and in models/m/both.yaml`,
		`models/m/nokey.sql:1:4: an incremental model needs time or key`,
		`models/m/marker.sql:1:8: unknown marker @window_strt`, `did you mean "window_start"?`,
		`models/m/marker.sql:1:51: no date or timestamp follows @window_end`,
		`models/m/marker.sql:1:81: no date or timestamp follows @run_date`,
		`models/m/view.sql:3:29: a view has no window and no run date`,
		`models/m/self.sql:1:15: this model reads itself`,
		`models/m/file.sql:1:15: table function read_csv is not allowed`,
		`models/c/a.sql:1:15: models read each other in a circle: c.a → c.c → c.b → c.a`,
		`models/shop/orders.sql:1:1: a second table shop.orders`,
		`models/_elt/x.sql:1:1: "_elt" is no name for a schema or a table`,
		`models/m/tab.sql:2:16: unknown check "unqiue"`, `did you mean "unique"?`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing: %s", want)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}

func TestNoModels(t *testing.T) {
	g, err := transform.Parse(fstest.MapFS{}, sqlparse.Postgres(), transform.Options{})
	if err != nil || len(g.Models) != 0 {
		t.Fatalf("%v %v", g, err)
	}
}

func TestLiterals(t *testing.T) {
	zone := berlin(t)
	// The night of 29 March 2026 has 23 hours there.
	w := window.Window{Start: time.Date(2026, 3, 28, 23, 0, 0, 0, time.UTC), End: time.Date(2026, 3, 29, 22, 0, 0, 0, time.UTC)}
	now := time.Date(2026, 3, 29, 22, 30, 0, 0, time.UTC)
	for _, c := range []struct{ sample, want string }{
		{`/* @window_start */ date '2026-01-01'`, `date '2026-03-29'`},
		{`/* @window_end */ date '2026-01-01'`, `date '2026-03-30'`},
		{`/* @window_start */ '2026-01-01'`, `'2026-03-29'`},
		{`/* @window_end */ timestamp '2026-01-01 00:00:00'`, `timestamp '2026-03-30 00:00:00'`},
		{`/* @window_start */ timestamptz '2026-01-01'`, `timestamptz '2026-03-28 23:00:00+00'`},
		{`/*@window_end*/ TIMESTAMP WITH TIME ZONE '2026-01-01 00:00:00+01'`, `TIMESTAMP WITH TIME ZONE '2026-03-29 22:00:00+00'`},
		{`/* @run_date */ date '2026-01-01'`, `date '2026-03-30'`},
	} {
		g, err := transform.Parse(files(map[string]string{"s/m.sql": "select " + c.sample + " as a"}), duckParser(t), transform.Options{Zone: zone})
		if err != nil {
			t.Fatal(err)
		}
		sql := g.Models[0].SQL(w, now)
		if !strings.Contains(sql, " "+c.want+" as a") {
			t.Errorf("%s: got %s, want %s", c.sample, sql, c.want)
		}
		if got := g.Models[0].SQL(window.Window{}, now); !strings.Contains(c.sample, "run_date") && !strings.Contains(got, "'0001-") && !strings.Contains(got, "'9999-") {
			t.Errorf("unbounded: %s", got)
		}
	}
}

func FuzzHeader(f *testing.F) {
	for _, s := range []string{revenue, "-- elt:\n--   key: [a", "--elt: {time: x}\nselect 1", "-- elt:\n--\n-- owner: x\nselect 1", "/* @window_start */", "select /* @run_date */ date '2026-01-01' as a"} {
		f.Add(s)
	}
	p := sqlparse.Postgres()
	f.Fuzz(func(t *testing.T, text string) {
		g, err := transform.Parse(files(map[string]string{"s/m.sql": text}), p, transform.Options{Dir: "models"})
		if err != nil {
			var mistakes yamlx.Errors
			if !errors.As(err, &mistakes) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		// What was accepted stays one SELECT, whatever the window.
		sql := g.Models[0].SQL(window.Window{}, time.Unix(0, 0))
		if _, err := p.Parse(sql); err != nil {
			t.Fatalf("%q became %q: %v", text, sql, err)
		}
	})
}
