package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"elt/internal/fault"
	"elt/internal/rows"
	"elt/internal/state"
	"elt/internal/warehouse"
)

// histories is how many random histories the test of invariant 2 goes through on
// each engine.
var histories = flag.Int("histories", 2, "random histories of TestInvariant2")

// pastProject has a merged stream, an appended one without a key, one that is
// read in full, and models above them; its clock is 2026-03-10 in Berlin.
const pastProject = `version: 1
name: past
timezone: Europe/Berlin
as_of: 2026-03-10T02:00:00+01:00
connections:
  db: {type: postgres, url: "${env:SOURCE_URL}"}
targets:
  dev: {warehouse: "${env:WAREHOUSE}", push: off}
sources:
  shop:
    connection: db
    streams:
      orders: {key: id, cursor: ver, time: at, decision_window: 4000d, volume: off, checks: [{unique: id}]}
      log: {load: append, cursor: ver, time: at, volume: off}
      rates: {volume: off, on_empty: replace}
`

// past is a project with a past, and its source.
type past struct {
	*sourced
	r   *rand.Rand
	ver int
}

func newPast(t *testing.T, engine string, seed uint64) *past {
	t.Helper()
	p := &past{sourced: newSourced(t, engine, pastProject), r: rand.New(rand.NewPCG(seed, 0))}
	p.write("models/marts/by_day.sql", `-- elt:
--   materialized: incremental
--   time: day
--   lookback: 20d
select cast("at" as date) as day, count(*) as orders, sum(v) as total from shop.orders group by 1
`)
	p.exec(`CREATE TABLE orders (id bigint PRIMARY KEY, v bigint, at timestamptz NOT NULL, ver bigint NOT NULL)`)
	p.exec(`CREATE TABLE log (v bigint, at timestamptz NOT NULL, ver bigint NOT NULL)`)
	p.exec(`CREATE TABLE rates (v bigint)`)
	return p
}

// change does something to the source: rows that come, change, move to another
// day, or come at the very value of the cursor.
func (p *past) change() {
	p.ver++
	at := func() string {
		return fmt.Sprintf("'2026-03-%02d %02d:30:00+01'", 1+p.r.IntN(9), p.r.IntN(24))
	}
	for range 1 + p.r.IntN(4) {
		p.exec(fmt.Sprintf(`INSERT INTO orders VALUES (%d, %d, %s, %d) ON CONFLICT (id) DO UPDATE SET v = excluded.v, at = excluded.at, ver = excluded.ver`,
			p.r.IntN(12), p.r.IntN(100), at(), p.ver))
		p.exec(fmt.Sprintf(`INSERT INTO log VALUES (%d, %s, %d)`, p.r.IntN(3), at(), p.ver))
		p.exec(fmt.Sprintf(`INSERT INTO rates VALUES (%d)`, p.r.IntN(100)))
	}
	if p.r.IntN(2) == 0 {
		p.ver-- // the next rows tie with these
	}
}

// elt runs a command line in which calls to the warehouse fail from one on, as
// those of a process that dies; 0: none.
func (p *past) elt(dies int, args ...string) (int, string) {
	p.t.Helper()
	var wrap func(warehouse.Driver) warehouse.Driver
	if dies > 0 {
		wrap = func(d warehouse.Driver) warehouse.Driver {
			return fault.Driver(d, func(call int, _ string, before bool) error {
				if call >= dies && before {
					return errors.New("injected death")
				}
				return nil
			})
		}
	}
	var stderr bytes.Buffer
	code, out := elt(p.t, p.dir, p.addr, &stderr, wrap, args...)
	return code, out + stderr.String()
}

func (p *past) must(args ...string) string {
	p.t.Helper()
	code, out := p.elt(0, args...)
	if code != 0 {
		p.t.Fatalf("elt %s: exit %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// equal wants the tables to be what the source is, and the model what they are.
func (p *past) equal(when string) {
	p.t.Helper()
	for table, query := range map[string]string{
		"shop.orders":  `SELECT id || '|' || v || '|' || to_char(at AT TIME ZONE 'UTC', 'DD HH24') || '|' || ver FROM orders`,
		"shop.log":     `SELECT v || '|' || to_char(at AT TIME ZONE 'UTC', 'DD HH24') || '|' || ver FROM log`,
		"shop.rates":   `SELECT v::text FROM rates`,
		"marts.by_day": `SELECT to_char(at AT TIME ZONE 'Europe/Berlin', 'DD') || '|' || count(*) || '|' || sum(v) FROM orders GROUP BY to_char(at AT TIME ZONE 'Europe/Berlin', 'DD')`,
	} {
		var want []string
		list, err := p.conn.Query(p.t.Context(), query)
		if err != nil {
			p.t.Fatal(err)
		}
		for list.Next() {
			var line string
			if err := list.Scan(&line); err != nil {
				p.t.Fatal(err)
			}
			want = append(want, line)
		}
		if err := list.Err(); err != nil {
			p.t.Fatal(err)
		}
		slices.Sort(want)
		if got := p.lines(table); !slices.Equal(got, want) {
			p.t.Fatalf("%s: %s is\n%s\nwant\n%s", when, table, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// lines reads a table as equal's queries print the source.
func (p *past) lines(table string) (got []string) {
	p.t.Helper()
	columns := map[string]string{"shop.orders": `id, v, "at", ver`, "shop.log": `v, "at", ver`, "shop.rates": "v", "marts.by_day": "day, orders, total",
		"marts.moments": `"at", v`, "marts.marked": `"at", v`}[table]
	db := openAt(p.t, p.dir, p.addr)
	err := warehouse.Each(p.t.Context(), db, "SELECT "+columns+" FROM "+table, func(r rows.Row) error {
		var cells []string
		for i, name := range strings.Split(columns, ", ") {
			switch name {
			case `"at"`:
				cells = append(cells, r.Time(i).UTC().Format("02 15"))
			case "day":
				cells = append(cells, r.Time(i).Format("02"))
			default:
				cells = append(cells, r.String(i))
			}
		}
		got = append(got, strings.Join(cells, "|"))
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		p.t.Fatal(err)
	}
	slices.Sort(got)
	return got
}

// cursorsAndFreshness is what a backfill must not change.
func (p *past) cursorsAndFreshness() string {
	p.t.Helper()
	db := openAt(p.t, p.dir, p.addr)
	store := state.View(db, "past", "dev")
	list, err := store.Cursors(p.t.Context())
	var out []string
	for _, stream := range slices.Sorted(maps.Keys(list)) {
		out = append(out, stream+" "+string(list[stream]))
	}
	fresh, ferr := store.Freshness(p.t.Context())
	for _, f := range fresh {
		if f.Relation != "shop.rates" { // is read in full, and so really is fresh
			out = append(out, fmt.Sprint(f.Relation, f.UpdatedAt, f.HighWater, f.Status))
		}
	}
	if err := errors.Join(err, ferr, db.Close()); err != nil {
		p.t.Fatal(err)
	}
	return strings.Join(out, "\n")
}

// Invariant 2: a backfill moves no cursor, and the hand-over to the incremental
// loses and doubles nothing: whatever happens at the source, in whatever order
// loads and backfills come, and wherever one of them dies, after the next load
// the tables are what the source is.
func TestInvariant2BackfillsLoseAndDoubleNothing(t *testing.T) {
	for _, engine := range []string{"duckdb", "postgres"} {
		for n := range *histories {
			seed := rand.Uint64N(1 << 40)
			if n == 0 {
				seed = 2
			}
			t.Run(fmt.Sprintf("%s/seed %d", engine, seed), func(t *testing.T) {
				t.Parallel()
				p := newPast(t, engine, seed)
				p.change()
				p.must("run")
				for range 6 {
					p.change()
					p.happens()
				}
				p.must("run")
				p.equal("after the last load")
				p.exec(`DELETE FROM orders WHERE id < 6`)
				p.must("run", "--backfill", "2026-03-01..2026-03-10", "--redo")
				p.equal("after rows were deleted and the past was read again")
			})
		}
	}
}

// happens is a load or a backfill, which may die.
func (p *past) happens() {
	dies := 0
	if p.r.IntN(3) == 0 {
		dies = 20 + p.r.IntN(150)
	}
	if p.r.IntN(3) == 0 {
		p.elt(dies, "run")
		return
	}
	from := 1 + p.r.IntN(8)
	args := []string{"run", "--backfill", fmt.Sprintf("2026-03-%02d..2026-03-%02d", from, from+1+p.r.IntN(10-from))}
	if p.r.IntN(3) == 0 {
		args = append(args, "--redo")
	}
	if p.r.IntN(3) == 0 {
		args = append(args, "--chunk", []string{"12h", "2d", "1w"}[p.r.IntN(3)])
	}
	before := p.cursorsAndFreshness()
	code, out := p.elt(dies, args...)
	if code != 0 && dies == 0 {
		p.t.Fatalf("%v: exit %d\n%s", args, code, out)
	}
	if after := p.cursorsAndFreshness(); after != before {
		p.t.Errorf("%v moved\n%s\nto\n%s", args, before, after)
	}
}

// One window that fails does not keep the others from being done; the same
// command does it again, and it alone, until the model's text or what it reads is
// another.
func TestABackfillGoesOnWhereItEnded(t *testing.T) {
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			p := newPast(t, engine, 1)
			p.exec(`INSERT INTO orders VALUES (1, 10, '2026-03-01 12:00+01', 1), (2, 0, '2026-03-02 12:00+01', 2), (3, 30, '2026-03-03 12:00+01', 3)`)
			p.write("models/marts/by_day.sql", `-- elt:
--   materialized: incremental
--   time: day
select cast("at" as date) as day, cast(case when v = 0 then 'none' else '1' end as bigint) as total from shop.orders
`)
			past := []string{"run", "--backfill", "2026-03-01..2026-03-04", "shop.orders+"}
			wants := func(code int, texts ...string) {
				t.Helper()
				got, out := p.elt(0, past...)
				if got != code {
					t.Fatalf("exit %d, want %d\n%s", got, code, out)
				}
				for _, text := range texts {
					if !strings.Contains(out, text) {
						t.Errorf("%q is not told:\n%s", text, out)
					}
				}
			}
			wants(exitFailed, "3 windows", "1 of 3 windows failed", "window 2026-03-02..2026-03-03")
			wants(exitFailed, "3 windows done before", "1 of 1 windows failed")
			p.exec(`UPDATE orders SET v = 1, ver = 4 WHERE id = 2`)
			wants(exitFailed, "3 windows done before")
			past = append(past, "--redo")
			wants(exitOK, "3 windows", "3 rows")
			past = past[:len(past)-1]
			wants(exitOK, "3 windows done before", "0 rows")
			p.write("models/marts/by_day.sql", `-- elt:
--   materialized: incremental
--   time: day
select cast("at" as date) as day, cast(v as bigint) as total from shop.orders
`)
			wants(exitOK, "3 windows done before", "3 rows")
			if got := fmt.Sprint(p.lines("shop.orders")); got != "[1|10|01 11|1 2|1|02 11|4 3|30|03 11|3]" {
				t.Errorf("the orders are %s", got)
			}
		})
	}
}
