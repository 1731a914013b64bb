package main

import (
	"strings"
	"testing"
)

// newEdges is a project whose rows lie at the edges of the second of March, with
// models by instant and by day above them.
func newEdges(t *testing.T, engine string) *past {
	t.Helper()
	p := newPast(t, engine, 1)
	p.write("models/marts/by_day.sql", `-- elt:
--   materialized: incremental
--   time: day
select cast("at" as date) as day, count(*) as orders, sum(v) as total from shop.orders group by 1
`)
	p.write("models/marts/moments.sql", `-- elt:
--   materialized: incremental
--   time: at
select "at", v from shop.log
`)
	p.write("models/marts/marked.sql", `-- elt:
--   materialized: incremental
--   time: at
select "at", v from shop.log
where "at" >= /* @window_start */ timestamptz '2026-03-01 00:00:00+01'
  and "at" < /* @window_end */ timestamptz '2026-03-02 00:00:00+01'
`)
	for _, values := range []string{
		`1, 1, '2026-03-01 23:59:59.999999+01', 1`,
		`2, 1, '2026-03-02 00:00:00+01', 2`,
		`3, 1, '2026-03-02 23:59:59.999999+01', 3`,
		`4, 1, '2026-03-03 00:00:00+01', 4`,
	} {
		p.exec(`INSERT INTO orders VALUES (` + values + `)`)
		p.exec(`INSERT INTO log VALUES (` + values[3:] + `)`)
	}
	// One that came later, so that no other may come again with the next load.
	p.exec(`INSERT INTO orders VALUES (5, 9, '2026-03-08 12:00+01', 5)`)
	p.exec(`INSERT INTO log VALUES (9, '2026-03-08 12:00+01', 5)`)
	p.must("run")
	return p
}

// backfill reads windows again and wants the tables to be as given, beside the
// row that came later.
func (p *past) backfill(of string, want map[string]string) {
	p.t.Helper()
	later := map[string]string{"shop.orders": "5|9|08 11|5", "shop.log": "9|08 11|5", "marts.by_day": "08|1|9", "marts.moments": "08 11|9", "marts.marked": "08 11|9"}
	p.must("run", "--backfill", of, "--redo")
	for table, want := range want {
		want = strings.TrimPrefix(want+", "+later[table], ", ")
		if got := strings.Join(p.lines(table), ", "); got != want {
			p.t.Errorf("after the backfill of %s %s is\n%s\nwant\n%s", of, table, got, want)
		}
	}
}

// Invariant 2: windows are half-open, from the source to the last model. What lies
// at the very end of a window is left to the next one: it is neither deleted, nor
// replaced, nor there twice.
func TestInvariant2WindowsAreHalfOpen(t *testing.T) {
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			p := newEdges(t, engine)
			p.exec(`UPDATE orders SET v = 7`) // behind the cursor's back
			p.exec(`UPDATE log SET v = 7`)
			only := map[string]string{
				"shop.orders":   "1|1|01 22|1, 2|7|01 23|2, 3|7|02 22|3, 4|1|02 23|4",
				"shop.log":      "1|01 22|1, 1|02 23|4, 7|01 23|2, 7|02 22|3",
				"marts.by_day":  "01|1|1, 02|2|14, 03|1|1",
				"marts.moments": "01 22|1, 01 23|7, 02 22|7, 02 23|1",
				"marts.marked":  "01 22|1, 01 23|7, 02 22|7, 02 23|1",
			}
			p.backfill("2026-03-02..2026-03-03", only)
			next := map[string]string{
				"shop.orders":   "1|1|01 22|1, 2|7|01 23|2, 3|7|02 22|3, 4|7|02 23|4",
				"shop.log":      "1|01 22|1, 7|01 23|2, 7|02 22|3, 7|02 23|4",
				"marts.by_day":  "01|1|1, 02|2|14, 03|1|7",
				"marts.moments": "01 22|1, 01 23|7, 02 22|7, 02 23|7",
				"marts.marked":  "01 22|1, 01 23|7, 02 22|7, 02 23|7",
			}
			p.backfill("2026-03-03..2026-03-04", next)
			p.backfill("2026-03-02..2026-03-03", next) // the one before, after it
			p.backfill("2026-03-01..2026-03-04", map[string]string{
				"shop.orders":   "1|7|01 22|1, 2|7|01 23|2, 3|7|02 22|3, 4|7|02 23|4",
				"shop.log":      "7|01 22|1, 7|01 23|2, 7|02 22|3, 7|02 23|4",
				"marts.by_day":  "01|1|7, 02|2|14, 03|1|7",
				"marts.moments": "01 22|7, 01 23|7, 02 22|7, 02 23|7",
				"marts.marked":  "01 22|7, 01 23|7, 02 22|7, 02 23|7",
			})
		})
	}
}

// Invariant 2: a window of which the source has nothing any more deletes what the
// tables have in it, and nothing beside it, whether it is read alone or with
// windows that have rows.
func TestInvariant2AnEmptyWindowDeletes(t *testing.T) {
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			p := newEdges(t, engine)
			day := `WHERE at >= '2026-03-02 00:00+01' AND at < '2026-03-03 00:00+01'`
			p.exec(`DELETE FROM orders ` + day)
			p.exec(`DELETE FROM log ` + day)
			beside := map[string]string{
				"shop.orders":   "1|1|01 22|1, 4|1|02 23|4",
				"shop.log":      "1|01 22|1, 1|02 23|4",
				"marts.by_day":  "01|1|1, 03|1|1",
				"marts.moments": "01 22|1, 02 23|1",
				"marts.marked":  "01 22|1, 02 23|1",
			}
			p.backfill("2026-03-02..2026-03-03", beside)
			p.backfill("2026-03-02..2026-03-03", beside)
			p.backfill("2026-03-04..2026-03-06", beside)
			p.exec(`DELETE FROM orders WHERE id = 4`)
			p.exec(`DELETE FROM log WHERE ver = 4`)
			left := map[string]string{
				"shop.orders":   "1|1|01 22|1",
				"shop.log":      "1|01 22|1",
				"marts.by_day":  "01|1|1",
				"marts.moments": "01 22|1",
				"marts.marked":  "01 22|1",
			}
			p.backfill("2026-03-01..2026-03-04", left)
			p.exec(`DELETE FROM orders WHERE id = 1`)
			p.exec(`DELETE FROM log WHERE ver = 1`)
			none := map[string]string{}
			for table := range left {
				none[table] = ""
			}
			p.backfill("2026-03-01..2026-03-02", none)
		})
	}
}
