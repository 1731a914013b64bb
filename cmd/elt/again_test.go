package main

import (
	"fmt"
	"strings"
	"testing"
)

// rereading is a project whose one stream is read from a database again and again.
type rereading struct{ *sourced }

// eachRereading runs f with the stream events as given, on both engines.
func eachRereading(t *testing.T, stream string, f func(*testing.T, *rereading)) {
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			project := fmt.Sprintf(`version: 1
name: again
timezone: Europe/Berlin
as_of: 2026-03-10T02:00:00+01:00
connections:
  db: {type: postgres, url: "${env:SOURCE_URL}"}
targets:
  dev: {warehouse: "${env:WAREHOUSE}", push: off}
sources:
  shop: {connection: db, streams: {events: {%s}}}
`, stream)
			f(t, &rereading{newSourced(t, engine, project)})
		})
	}
}

// rows wants as many rows in the warehouse.
func (r *rereading) rows(want int) {
	r.t.Helper()
	if n := strings.Count(dump(r.t, r.dir, r.addr, "shop.events"), "\n") - 1; n != want {
		r.t.Errorf("%d rows in the warehouse, want %d", n, want)
	}
}

func TestAnAppendWithAKeyAddsARowOnce(t *testing.T) {
	t.Run("many rows at the cursor", func(t *testing.T) {
		eachRereading(t, "cursor: at, load: append", func(t *testing.T, r *rereading) {
			r.exec(`CREATE TABLE events (id bigint PRIMARY KEY, at timestamptz NOT NULL)`)
			r.exec(`INSERT INTO events SELECT i, '2026-03-09 10:00:00+01' FROM generate_series(1, 1500) i`)
			r.run(0)
			r.run(0)
			r.exec(`INSERT INTO events VALUES (1501, '2026-03-09 10:00:00+01')`)
			r.run(0)
			r.rows(1501)
		})
	})
	t.Run("columns go and change their type", func(t *testing.T) {
		eachRereading(t, "cursor: at, load: append", func(t *testing.T, r *rereading) {
			r.exec(`CREATE TABLE events (id bigint PRIMARY KEY, at timestamptz NOT NULL, amount numeric(10,2), note text)`)
			r.exec(`INSERT INTO events SELECT i, '2026-03-09 10:00:00+01', i, 'n' FROM generate_series(1, 10) i`)
			r.run(0)
			r.exec(`ALTER TABLE events DROP COLUMN note`)
			r.run(0)
			r.exec(`ALTER TABLE events ALTER COLUMN amount TYPE numeric(12,2)`)
			r.run(0)
			r.rows(10)
		})
	})
	t.Run("a key of NULL and a lookback", func(t *testing.T) {
		eachRereading(t, "cursor: at, key: id, load: append, lookback: 1h", func(t *testing.T, r *rereading) {
			r.exec(`CREATE TABLE events (id bigint, at timestamptz)`)
			r.exec(`INSERT INTO events VALUES (NULL, '2026-03-09 10:00:00+01'), (2, '2026-03-09 10:00:00+01')`)
			r.run(0)
			r.run(0)
			r.run(0)
			r.rows(2)
		})
	})
}

func TestLoadWindowWithoutACursorReplacesAll(t *testing.T) {
	eachRereading(t, "time: at, key: id, load: window", func(t *testing.T, r *rereading) {
		r.exec(`CREATE TABLE events (id bigint PRIMARY KEY, at timestamptz)`)
		r.exec(`INSERT INTO events SELECT i, timestamptz '2026-03-09 10:00:00+01' + i * interval '1 second' FROM generate_series(1, 100) i`)
		r.run(0)
		r.exec(`DELETE FROM events WHERE id = 1`)
		r.exec(`INSERT INTO events VALUES (1001, '2026-03-09 13:00:00+01')`)
		r.run(0)
		r.run(0)
		r.rows(100)
	})
}

// TestRowsWithoutACursorAreAppendedOnce is about those that null_cursor: include
// reads on every run.
func TestRowsWithoutACursorAreAppendedOnce(t *testing.T) {
	for name, tt := range map[string]struct{ stream, typ, none string }{
		"NULL":               {"cursor: at, load: append, null_cursor: include", "timestamptz", "NULL"},
		"infinity: null":     {"cursor: at, load: append, null_cursor: include, infinity: 'null'", "date", "'infinity'"},
		"NaN":                {"cursor: at, load: append, null_cursor: include", "double precision", "'NaN'"},
		"an infinite number": {"cursor: at, load: append, null_cursor: include", "double precision", "'infinity'"},
	} {
		t.Run(name, func(t *testing.T) {
			eachRereading(t, tt.stream, func(t *testing.T, r *rereading) {
				r.exec(`CREATE TABLE events (id bigint, at ` + tt.typ + `)`)
				value := "'2026-03-0%d'"
				if tt.typ == "double precision" {
					value = "%d"
				}
				r.exec(`INSERT INTO events VALUES (1, ` + tt.none + `), (2, ` + fmt.Sprintf(value, 1) + `)`)
				if told := r.run(1); !strings.Contains(told, "add key: COLUMN, or say null_cursor: exclude") {
					t.Errorf("without a key:\n%s", told)
				}
				r.exec(`ALTER TABLE events ADD PRIMARY KEY (id)`)
				r.run(0)
				r.exec(`INSERT INTO events VALUES (3, ` + tt.none + `), (4, ` + fmt.Sprintf(value, 2) + `)`)
				r.run(0)
				r.run(0)
				r.rows(4)
			})
		})
	}
}

func TestRowsThatAllLackACursorAreAppendedOnce(t *testing.T) {
	eachRereading(t, "cursor: at, load: append, null_cursor: include", func(t *testing.T, r *rereading) {
		r.exec(`CREATE TABLE events (id bigint PRIMARY KEY, at date)`)
		r.exec(`INSERT INTO events VALUES (1, NULL), (2, NULL)`)
		r.run(0)
		r.run(0)
		r.rows(2)
	})
}

// TestInfinityAsNullIsNoCursor: what is read as NULL is told of as NULL is.
func TestInfinityAsNullIsNoCursor(t *testing.T) {
	eachRereading(t, "cursor: at, load: append, infinity: 'null'", func(t *testing.T, r *rereading) {
		r.exec(`CREATE TABLE events (id bigint, at date)`)
		r.exec(`INSERT INTO events VALUES (1, 'infinity'), (2, '2026-03-09')`)
		if told := r.run(1); !strings.Contains(told, "1 rows have no at (it is NULL, NaN or infinite)") {
			t.Errorf("told:\n%s", told)
		}
		r.exec(`DELETE FROM events WHERE id = 1`)
		r.run(0)
		r.run(0)
		r.rows(1)
	})
}

// A cursor that lands as text has the order of its source and not the
// warehouse's: a merge must not take a newer row for an older one.
func TestMergeByACursorThatLandsAsText(t *testing.T) {
	eachRereading(t, "key: id, cursor: ver", func(t *testing.T, r *rereading) {
		r.exec(`CREATE TABLE events (id bigint PRIMARY KEY, ver numeric, v text)`)
		r.exec(`INSERT INTO events VALUES (1, 9, 'old'), (2, 8, 'old')`)
		r.run(0)
		r.exec(`UPDATE events SET ver = 10, v = 'new'`)
		r.run(0)
		if d := dump(t, r.dir, r.addr, "shop.events"); strings.Contains(d, "old") {
			t.Errorf("the updates are lost:\n%s", d)
		}
	})
}
