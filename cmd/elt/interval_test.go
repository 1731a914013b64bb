package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"elt/internal/testdb"
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
			dir, source := t.TempDir(), testdb.URL(t)
			sources.Store(dir, source)
			addr := "duckdb:wh.duckdb"
			if engine == "postgres" {
				addr = testdb.URL(t)
			}
			for name, text := range map[string]string{"elt.yaml": project, "models/m/terms.sql": `select id, term from "in".terms`} {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			conn, err := pgx.Connect(t.Context(), source)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close(t.Context()) }()
			_, err = conn.Exec(t.Context(), `CREATE TABLE terms (id bigint PRIMARY KEY, term interval);
				INSERT INTO terms VALUES (1, '1 year 2 mons -2 days 00:00:03.000001'), (2, '400 days 100:00:00'), (3, '-1 mons -00:00:00.000001'), (4, NULL)`)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				var stderr bytes.Buffer
				if code, out := elt(t, dir, addr, &stderr, nil, "run"); code != 0 {
					t.Fatalf("exit %d\n%s\n%s", code, out, &stderr)
				}
				for _, table := range []string{"in.terms", "m.terms"} {
					if got := dump(t, dir, addr, table); got != want {
						t.Errorf("%s has\n%s\nwant\n%s", table, got, want)
					}
				}
			}
		})
	}
}
