package duckdb_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"

	"elt/internal/rows"
	"elt/internal/warehouse"
	"elt/internal/warehouse/duckdb"
)

// openFile opens a fresh warehouse with 200 MB for the engine.
func openFile(t *testing.T) (*warehouse.DB, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "wh.duckdb")
	d, err := duckdb.Open(t.Context(), duckdb.Options{Path: path, Threads: 2, Memory: "200MB"})
	if err != nil {
		t.Fatal(err)
	}
	db, err := warehouse.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db, path
}

// resident is the memory of this process in MB.
func resident(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kb / 1024
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

func TestLargeResultsAreReadInFlatMemoryAndInOrder(t *testing.T) {
	db, _ := openFile(t)
	const n = 1_500_000
	r, err := db.Query(t.Context(), "SELECT range AS i, md5(CAST(range AS text)) AS m, 'a text that is long enough to need memory of its own: ' || range AS x FROM range($1) ORDER BY i DESC", int64(n))
	if err != nil {
		t.Fatal(err)
	}
	before, most, want := resident(t), 0, int64(n)
	for r.Next() {
		ids, _ := r.RecordBatch().Column(0).(*array.Int64)
		for i := range ids.Len() {
			if want--; ids.Value(i) != want {
				t.Fatalf("row %d comes where %d should", ids.Value(i), want)
			}
		}
		if want%100_000 == 0 {
			most = max(most, resident(t))
		}
	}
	most = max(most, resident(t))
	if r.Err() != nil || want != 0 {
		t.Errorf("ended with %d rows missing: %v", want, r.Err())
	}
	r.Release()
	if most > before+200 {
		t.Errorf("memory grew from %d to %d MB", before, most)
	}
}

func TestQueryTakesAllThatAnswers(t *testing.T) {
	db, _ := openFile(t)
	for q, want := range map[string]string{
		"SELECT 1":              "1",
		"SELECT 1 AS a, 2 AS a": "1",
		"WITH a AS (SELECT 2 AS b) SELECT b FROM a": "2",
		"VALUES (3)":                "3",
		"SELECT 4 -- and a comment": "4",
		"SELECT 5;":                 "5",
		"SELECT '' WHERE false":     "none",
		"SELECT 6 LIMIT 1":          "6",
		"SELECT 7\nlimit  2 ":       "7",
		"SELECT 8 -- LIMIT 1":       "8",
		"SHOW TABLES FROM wh._elt":  "commits",
		"DESCRIBE SELECT 1 AS one":  "one",
	} {
		got := "none"
		if err := warehouse.Each(t.Context(), db, q, func(r rows.Row) error { got = r.String(0); return nil }); err != nil || got != want {
			t.Errorf("%s gave %q, want %q: %v", q, got, want, err)
		}
	}
	_, err := db.Query(t.Context(), "SELECT\n missing FROM range(3)")
	if warehouse.KindOf(err) != warehouse.KindNotFound || !strings.Contains(err.Error(), "LINE 2:") {
		t.Errorf("an unknown column gave kind %d: %v", warehouse.KindOf(err), err)
	}
}

// A LIMIT in a comment bounds nothing: the result is read in flat memory.
func TestALimitInACommentIsNone(t *testing.T) {
	db, _ := openFile(t)
	const n = 200_000
	for q, want := range map[string]int64{"": n, " LIMIT 50000": 50_000, " -- LIMIT 5": n} {
		got := int64(0)
		r, err := db.Query(t.Context(), "SELECT range AS i FROM range($1)"+q, int64(n))
		if err != nil {
			t.Fatal(err)
		}
		for r.Next() {
			got += r.RecordBatch().NumRows()
		}
		if r.Err() != nil || got != want {
			t.Errorf("%q gave %d rows, want %d: %v", q, got, want, r.Err())
		}
		r.Release()
	}
}

func TestQueryIsInterrupted(t *testing.T) {
	db, _ := openFile(t)
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	_, err := db.Query(ctx, "SELECT count(*) FROM range(100000000000) AS a")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled query gave %v", err)
	}
}

func TestTwoReadersInOneTransaction(t *testing.T) {
	db, _ := openFile(t)
	err := db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
		for range 3 {
			if err := warehouse.Each(ctx, tx, "SELECT count(*) FROM _elt.commits", func(r rows.Row) error {
				if r.Int(0) != 1 {
					t.Errorf("%d tokens", r.Int(0))
				}
				return nil
			}); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "CREATE OR REPLACE TABLE _elt.x AS SELECT 1 AS a"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
