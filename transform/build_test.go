package transform_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elt/internal/rows"
	"elt/internal/sqlparse"
	"elt/internal/testdb"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
	"elt/transform"
	"elt/window"
)

func TestMain(m *testing.M) { os.Exit(testdb.Run(m)) }

// fixture is a warehouse with a source table and a project whose models change.
type fixture struct {
	t     *testing.T
	db    *warehouse.DB
	p     sqlparse.Parser
	now   time.Time
	zone  *time.Location
	place func(schema, name string) warehouse.Table
}

func newFixture(t *testing.T, db *warehouse.DB) *fixture {
	t.Helper()
	f := &fixture{t: t, db: db, zone: berlin(t)}
	f.now = time.Date(2026, 3, 30, 1, 58, 0, 0, f.zone)
	if f.p = sqlparse.Postgres(); db.Dialect().Name == "duckdb" {
		f.p = duckParser(t)
	}
	f.exec(`CREATE SCHEMA shop`, `CREATE TABLE shop.orders (id bigint, day date, happened timestamp with time zone, amount numeric(12,2))`)
	for i, day := range []string{"2026-03-26", "2026-03-27", "2026-03-28", "2026-03-29"} {
		f.exec(fmt.Sprintf(`INSERT INTO shop.orders VALUES (%d, date '%s', timestamptz '%s 23:30:00+00', %d.5)`, i+1, day, day, i+1))
	}
	return f
}

func (f *fixture) exec(sql ...string) {
	f.t.Helper()
	err := f.db.Update(f.t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
		for _, s := range sql {
			if _, err := tx.Exec(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// query returns all rows, columns joined by a blank.
func (f *fixture) query(sql string) (out []string) {
	f.t.Helper()
	err := warehouse.Each(f.t.Context(), f.db, sql, func(r rows.Row) error {
		var cells []string
		for i := range r.Len() {
			cells = append(cells, strings.Clone(r.String(i)))
		}
		out = append(out, strings.Join(cells, " "))
		return nil
	})
	if err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
	return out
}

func (f *fixture) want(sql string, want ...string) {
	f.t.Helper()
	if diff := cmp.Diff(want, f.query(sql)); diff != "" {
		f.t.Errorf("%s (-want +got):\n%s", sql, diff)
	}
}

func (f *fixture) graph(models ...string) *transform.Graph {
	f.t.Helper()
	texts := map[string]string{}
	for i := 0; i < len(models); i += 2 {
		texts[models[i]+".sql"] = models[i+1]
	}
	g, err := transform.Parse(files(texts), f.p, transform.Options{Dir: "models", Tables: []string{"shop.orders"}, Zone: f.zone, Place: f.place})
	if err != nil {
		f.t.Fatal(err)
	}
	return g
}

func (f *fixture) try(g *transform.Graph, name string, w window.Window, opts transform.BuildOptions) (transform.Result, error) {
	f.t.Helper()
	if opts.Now.IsZero() {
		opts.Now = f.now
	}
	return transform.Build(f.t.Context(), f.db, g.Model(name), w, opts)
}

func (f *fixture) build(g *transform.Graph, names ...string) (r transform.Result) {
	f.t.Helper()
	for _, n := range names {
		var err error
		if r, err = f.try(g, n, window.Window{}, transform.BuildOptions{}); err != nil {
			f.t.Fatalf("build %s: %v", n, err)
		}
	}
	return r
}

// leftovers fails when something of elt's own is left in a schema of models.
func (f *fixture) leftovers() {
	f.t.Helper()
	f.want(`SELECT table_name FROM information_schema.tables WHERE table_schema <> 'main' AND substr(table_name, 1, 5) = '_elt_' OR table_schema = '_elt_plan'`)
}

const view = "-- elt:\n--   materialized: view\n"

func TestTableAndView(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		f := newFixture(t, db)
		g := f.graph("staging/orders", view+"select id, amount from shop.orders", "marts/total", "select count(*) as n, sum(amount) as s from staging.orders -- end")
		r := f.build(g, "staging.orders")
		if r.Note != "view" || len(r.Columns) != 2 {
			t.Errorf("%+v", r)
		}
		r = f.build(g, "marts.total")
		if r.Rows != 1 || r.Replaced != 0 {
			t.Errorf("%+v", r)
		}
		f.want(`SELECT n, cast(s as double precision) FROM marts.total`, "4 12")
		f.exec(`DELETE FROM shop.orders WHERE id = 4`)
		if r = f.build(g, "staging.orders", "marts.total"); r.Replaced != 1 {
			t.Errorf("%+v", r)
		}
		f.want(`SELECT n, cast(s as double precision) FROM marts.total`, "3 7.5")
		f.leftovers()
	})
}

// A view that elt owns stays valid when the table below it is built anew, gains,
// loses and changes columns; what it can see follows.
func TestDependentViews(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		f := newFixture(t, db)
		models := func(table string) *transform.Graph {
			return f.graph("m/t", table, "m/v", view+"select * from m.t", "m/w", view+"select id from m.v")
		}
		f.build(models("select id, amount from shop.orders"), "m.t", "m.v", "m.w")
		f.exec(`INSERT INTO shop.orders VALUES (9, NULL, NULL, 9)`)
		f.build(models("select id, amount from shop.orders"), "m.t")
		f.want(`SELECT count(*) FROM m.w`, "5")
		r := f.build(models("select id, amount, day from shop.orders"), "m.t")
		if len(r.Changes) != 1 || !strings.Contains(r.Changes[0], "added column day") {
			t.Errorf("changes: %v", r.Changes)
		}
		f.want(`SELECT count(*) FROM m.v`, "5")
		f.want(`SELECT count(*) FROM m.w`, "5")
		g := models("select id, cast(amount as text) as amount from shop.orders")
		f.build(g, "m.t")
		f.build(g, "m.v", "m.w")
		f.want(`SELECT amount FROM m.v WHERE id = 1`, "1.50")
		f.want(`SELECT count(*) FROM m.w`, "5")
		g = f.graph("m/t", view+"select id from shop.orders", "m/v", "select id, 1 as x from m.t", "m/w", view+"select id from m.v")
		f.build(g, "m.t", "m.v", "m.w")
		f.want(`SELECT count(*) FROM m.w`, "5")
		f.want(`SELECT table_name || ' ' || table_type FROM information_schema.tables WHERE table_schema = 'm' ORDER BY 1`,
			"t VIEW", "v BASE TABLE", "w VIEW")
		f.leftovers()
	})
}

func TestForeignView(t *testing.T) {
	db, err := warehouse.Open(t.Context(), warehousetest.Open(t, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	f := newFixture(t, db)
	g := f.graph("m/t", "select id from shop.orders")
	f.build(g, "m.t")
	f.exec(`CREATE VIEW public.theirs AS SELECT * FROM m.t`, `CREATE INDEX t_id ON m.t (id)`, `COMMENT ON TABLE m.t IS 'ours'`)
	f.exec(`DELETE FROM shop.orders WHERE id > 2`)
	f.build(g, "m.t")
	f.want(`SELECT count(*) FROM public.theirs`, "2")
	_, err = f.try(f.graph("m/t", "select id, day from shop.orders"), "m.t", window.Window{}, transform.BuildOptions{})
	var foreign *transform.ForeignError
	if !errors.As(err, &foreign) || !strings.Contains(err.Error(), "public.theirs") {
		t.Fatalf("got %v", err)
	}
	f.want(`SELECT count(*) FROM public.theirs`, "2")
	f.exec(`DROP VIEW public.theirs`, `CREATE ROLE reader_of_t`, `GRANT SELECT ON m.t TO reader_of_t`)
	f.build(f.graph("m/t", "select id, day from shop.orders"), "m.t")
	f.want(`SELECT indexname::text FROM pg_indexes WHERE schemaname = 'm'`, "t_id")
	f.want(`SELECT obj_description('m.t'::regclass)`, "ours")
	f.want(`SELECT grantee::text FROM information_schema.role_table_grants WHERE table_name = 't' AND grantee = 'reader_of_t'`, "reader_of_t")
	f.exec(`DROP OWNED BY reader_of_t`, `DROP ROLE reader_of_t`)
}

// Verify judges what nobody sees yet; its error keeps the old data.
func TestVerify(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		f := newFixture(t, db)
		bad := errors.New("a check failed")
		g := f.graph("m/t", "select id from shop.orders", "m/v", view+"select id from shop.orders", "m/d", byDay+"select day, id from shop.orders")
		f.build(g, "m.t", "m.v", "m.d")
		f.exec(`INSERT INTO shop.orders VALUES (5, date '2026-03-30', NULL, 1)`)
		for _, name := range []string{"m.t", "m.v", "m.d"} {
			var seen int64
			opts := transform.BuildOptions{
				Verify: func(ctx context.Context, tx *warehouse.Tx, rel warehouse.Table) error {
					return warehouse.Each(ctx, tx, "SELECT count(*) FROM "+rel.String(), func(r rows.Row) error { seen = r.Int(0); return bad })
				},
				Record: func(context.Context, *warehouse.Tx, transform.Result) error { t.Error("recorded"); return nil },
			}
			if _, err := f.try(g, name, window.Window{}, opts); !errors.Is(err, bad) {
				t.Errorf("%s: %v", name, err)
			}
			if seen != 5 {
				t.Errorf("%s: the check saw %d rows", name, seen)
			}
		}
		f.want(`SELECT count(*) FROM m.t`, "4")
		f.want(`SELECT count(*) FROM m.d`, "4")
		var got transform.Result
		_, err := f.try(g, "m.t", window.Window{}, transform.BuildOptions{Record: func(ctx context.Context, tx *warehouse.Tx, r transform.Result) error {
			got = r
			_, err := tx.Exec(ctx, `CREATE TABLE m.record (n bigint)`)
			return err
		}})
		if err != nil || got.Rows != 5 {
			t.Errorf("%+v %v", got, err)
		}
		f.want(`SELECT count(*) FROM m.record`, "0")
		f.leftovers()
	})
}

func TestEmpty(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		f := newFixture(t, db)
		g := f.graph("m/t", "select id from shop.orders", "m/r", "-- elt: {on_empty: replace}\nselect id from shop.orders")
		f.build(g, "m.t", "m.r")
		f.exec(`DELETE FROM shop.orders`)
		var empty *transform.EmptyError
		if _, err := f.try(g, "m.t", window.Window{}, transform.BuildOptions{}); !errors.As(err, &empty) || empty.Had != 4 {
			t.Errorf("got %v", err)
		}
		f.build(g, "m.r")
		f.want(`SELECT (SELECT count(*) FROM m.t), (SELECT count(*) FROM m.r)`, "4 0")
	})
}

func TestPlace(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		f := newFixture(t, db)
		f.place = func(schema, name string) warehouse.Table {
			if schema == "shop" {
				return warehouse.Table{Schema: schema, Name: name}
			}
			return warehouse.Table{Schema: "dev_" + schema, Name: name}
		}
		g := f.graph("staging/o", view+"select * from shop.orders", "marts/Odd \"name", `select "O".id, 'staging.o' as s from staging.o "O"`)
		f.build(g, "staging.o", `marts.Odd "name`)
		f.want(`SELECT id, s FROM dev_marts."Odd ""name" ORDER BY id LIMIT 1`, "1 staging.o")
	})
}

// TestInvariant7 reads all the time while a table, a window and a table below a
// view are rebuilt: each statement sees all old or all new.
func TestInvariant7(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		f := newFixture(t, db)
		model := func(v int) *transform.Graph {
			all := fmt.Sprintf("select day, g.i, %d as v from shop.orders cross join generate_series(1, 500) as g(i)", v)
			return f.graph("m/t", all, "m/u", all, "m/v", view+"select * from m.u", "m/d", byDay+all)
		}
		full := window.Window{Start: time.Date(2026, 3, 1, 0, 0, 0, 0, f.zone), End: f.now}
		build := func(v int) {
			for _, name := range []string{"m.t", "m.u", "m.v", "m.d"} {
				w := window.Window{}
				if name == "m.d" {
					w = full
				}
				if _, err := f.try(model(v), name, w, transform.BuildOptions{}); err != nil {
					t.Fatalf("build %s: %v", name, err)
				}
			}
		}
		build(0)
		var stop atomic.Bool
		var reads atomic.Int64
		var wg sync.WaitGroup
		for _, name := range []string{"m.t", "m.v", "m.d"} {
			wg.Go(func() {
				for !stop.Load() {
					err := warehouse.Each(t.Context(), db, "SELECT count(*), count(DISTINCT v) FROM "+name, func(r rows.Row) error {
						if r.Int(0) != 2000 || r.Int(1) != 1 {
							t.Errorf("%s: %d rows of %d builds", name, r.Int(0), r.Int(1))
						}
						return nil
					})
					if err != nil {
						t.Errorf("read %s: %v", name, err)
						return
					}
					reads.Add(1)
				}
			})
		}
		for v := 1; v <= 8; v++ {
			build(v)
		}
		stop.Store(true)
		wg.Wait()
		if reads.Load() == 0 {
			t.Error("nothing was read meanwhile")
		}
		f.leftovers()
	})
}

// Independent models are built side by side, their schema made by whoever is first.
func TestParallel(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		f := newFixture(t, db)
		var models []string
		for i := range 6 {
			models = append(models, fmt.Sprintf("p/m%d", i), "select * from shop.orders")
		}
		g := f.graph(models...)
		var wg sync.WaitGroup
		for _, m := range g.Models {
			wg.Go(func() {
				if _, err := transform.Build(t.Context(), db, m, window.Window{}, transform.BuildOptions{Now: f.now}); err != nil {
					t.Errorf("%s: %v", m.FullName(), err)
				}
			})
		}
		wg.Wait()
		f.want(`SELECT count(*) FROM p.m5`, "4")
		f.leftovers()
	})
}

func TestPlan(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		f := newFixture(t, db)
		g := f.graph("a/good", "select id, amount from shop.orders", "b/above", view+"select sum(amount) as total from a.good",
			"c/bad", "-- elt:\n--   owner: x\nselect id,\n  amuont from a.good", "d/blocked", "select * from c.bad",
			"e/time", "-- elt:\n--   time: dya\n--   checks:\n--     - not_null: idd\nselect day from shop.orders",
			"f/fn", "select 'ü' as u, nofunction(id) as x from a.good")
		planned, err := transform.Plan(t.Context(), db, g.Models, transform.PlanOptions{Now: f.now})
		if err == nil {
			t.Fatal("no error")
		}
		for _, want := range []string{"models/c/bad.sql:4:3: ", "models/f/fn.sql:1:18: ", "models/e/time.sql:1:4: time names the column dya", `did you mean "day"`, "models/e/time.sql:4:10: check not_null names the column idd"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("no %q in\n%v", want, err)
			}
		}
		if strings.Contains(err.Error(), "d/blocked") || strings.Contains(err.Error(), "at line") {
			t.Errorf("blocked by another: %v", err)
		}
		if len(planned) != 2 || planned[1].Model.FullName() != "b.above" || planned[1].Columns[0].Name != "total" {
			t.Errorf("planned %v", planned)
		}
		f.want(`SELECT count(*) FROM information_schema.tables WHERE table_schema IN ('a', 'b')`, "0")
		f.leftovers()
	})
}

// Before the first load a plan works with the columns that the source tells.
func TestPlanFirst(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		f := newFixture(t, db)
		f.exec(`DROP TABLE shop.orders`)
		g := f.graph("a/o", "select id, amount from shop.orders", "b/p", "select id from a.o")
		planned, err := transform.Plan(t.Context(), db, g.Models, transform.PlanOptions{})
		if err != nil || planned[0].Waiting != "shop.orders" || planned[1].Waiting != "shop.orders" {
			t.Errorf("%v %v", planned, err)
		}
		planned, err = transform.Plan(t.Context(), db, g.Models, transform.PlanOptions{Columns: map[string][]warehouse.Column{
			"shop.orders": {{Name: "id", Type: "bigint"}, {Name: "amount", Type: "numeric(12,2)"}}}})
		if err != nil || planned[0].Waiting != "" || len(planned[1].Columns) != 1 {
			t.Errorf("%v %v", planned, err)
		}
	})
}
