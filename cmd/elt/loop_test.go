package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	sample "elt"
	"elt/internal/testdb"
)

// The main job on the sample, on both warehouses: a second run reads only what is
// new, pushes nothing, and the marts are the same rows on both.
func TestSampleIsTheSameOnBothWarehouses(t *testing.T) {
	t.Parallel()
	marts := map[string]map[string]string{}
	for _, engine := range []string{"duckdb", "postgres"} {
		dir := filepath.Join(t.TempDir(), engine)
		if err := os.CopyFS(dir, sample.Sample); err != nil {
			t.Fatal(err)
		}
		addr := "duckdb:.elt/prod.duckdb"
		if engine == "postgres" {
			addr = testdb.URL(t)
		}
		for i, want := range []string{"900 acked", "900 unchanged  0 acked"} {
			var stderr bytes.Buffer
			code, out := elt(t, dir, addr, &stderr, nil, "run", "--target", "prod")
			if code != 0 || !strings.Contains(out, want) {
				t.Fatalf("%s, run %d: exit %d, want %q\n%s\n%s", engine, i+1, code, want, out, &stderr)
			}
			if i == 1 && strings.Contains(out, "warning") {
				t.Errorf("%s: the second run warns\n%s", engine, out)
			}
		}
		marts[engine] = map[string]string{}
		for _, table := range []string{"shop.orders", "web.events", "catalog.products", "marts.customers", "marts.daily_revenue", "marts.account_health"} {
			marts[engine][table] = dump(t, dir, addr, table)
		}
	}
	for table, rows := range marts["duckdb"] {
		if other := marts["postgres"][table]; other != rows {
			t.Errorf("%s differs between the warehouses: %s", table, firstDifference(rows, other))
		}
	}
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return "\n" + x[i] + "\n" + y[i]
		}
	}
	return "in length"
}

const shopProject = `version: 1
name: pg
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
      orders: {key: id, cursor: updated_at, time: updated_at}
`

// Rows come from Postgres once, changed rows replace theirs, and ties on the
// cursor are neither lost nor doubled.
func TestPostgresSourceIsReadIncrementally(t *testing.T) {
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			s := newSourced(t, engine, shopProject)
			dir, addr, exec := s.dir, s.addr, s.exec
			exec(`CREATE TABLE orders (id bigint PRIMARY KEY, amount numeric(10,2), note text, tags text[], doc jsonb, updated_at timestamptz NOT NULL)`)
			exec(`INSERT INTO orders SELECT i, i * 1.25, 'n' || i, array['a', 'b'], '{"k": 1.10}', '2026-03-09 10:00:00+01' FROM generate_series(1, 1000) i`)
			expect := func(want string) {
				t.Helper()
				var stderr bytes.Buffer
				code, out := elt(t, dir, addr, &stderr, nil, "run")
				if code != 0 || !strings.Contains(out, want) {
					t.Fatalf("exit %d, want %q\n%s\n%s", code, want, out, &stderr)
				}
			}
			expect("1,000 read     1,000 published")
			expect("0 read         0 published")
			exec(`INSERT INTO orders VALUES (1001, 1, 'late, on the tie', NULL, NULL, '2026-03-09 10:00:00+01')`)
			exec(`UPDATE orders SET amount = 0.99, updated_at = '2026-03-09 11:00:00+01' WHERE id = 7`)
			expect("2 read         2 published")
			got := dump(t, dir, addr, "shop.orders")
			if n := strings.Count(got, "\n"); n != 1002 {
				t.Errorf("%d lines, want a heading and 1,001 rows", n)
			}
			if !strings.Contains(got, "0.99") || !strings.Contains(got, "late, on the tie") {
				t.Error("a changed or a late row is missing")
			}
		})
	}
}

// Invariant 13: no secret appears in any output, log or table of a failing run.
func TestInvariant13NoSecretInOutputOrLogs(t *testing.T) {
	t.Parallel()
	const canary = "s3cr3t-canary"
	dir := t.TempDir()
	sources.Store(dir, "postgres://app:"+canary+"@127.0.0.1:1/shop")
	if err := os.WriteFile(filepath.Join(dir, "elt.yaml"), []byte(shopProject), 0o600); err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for _, args := range [][]string{{"run"}, {"doctor"}, {"discover", "shop"}, {"run", "--json"}, {"plan"}, {"runs"}, {"logs"}} {
		code, out := elt(t, dir, "duckdb:wh.duckdb", &all, nil, args...)
		all.WriteString(out)
		if code == 0 && args[0] == "run" {
			t.Errorf("elt %v succeeds without a database", args)
		}
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			data, rerr := os.ReadFile(path)
			all.Write(data)
			err = rerr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(all.Bytes(), []byte(canary)) {
		t.Error("the password of a connection got out")
	}
}
