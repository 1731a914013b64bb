package main

import (
	"testing"
)

// Intervals go all the way: from a Postgres source into both warehouses, through a
// model, as the months, days and microseconds that they were; read again they are
// the same rows.
func TestIntervalsArriveOnBothWarehouses(t *testing.T) {
	const project = `version: 1
name: tiny
timezone: Europe/Berlin
as_of: 2026-03-10T02:00:00+01:00
connections:
  db: {type: postgres, url: "${env:SOURCE_URL}"}
targets:
  dev: {warehouse: "${env:WAREHOUSE}", push: off}
sources:
  in:
    connection: db
    streams: {terms: {key: id, cursor: id}}
`
	const want = `id,term
1,14 months -2 days 3000001 us
2,0 months 400 days 360000000000 us
3,-1 months 0 days -1 us
4,NULL
`
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			s := newSourced(t, engine, project)
			s.write("models/m/terms.sql", `select id, term from "in".terms`)
			s.exec(`CREATE TABLE terms (id bigint PRIMARY KEY, term interval);
				INSERT INTO terms VALUES (1, '1 year 2 mons -2 days 00:00:03.000001'), (2, '400 days 100:00:00'), (3, '-1 mons -00:00:00.000001'), (4, NULL)`)
			for range 2 {
				s.run(exitOK)
				for _, table := range []string{"in.terms", "m.terms"} {
					if got := dump(t, s.dir, s.addr, table); got != want {
						t.Errorf("%s has\n%s\nwant\n%s", table, got, want)
					}
				}
			}
		})
	}
}
