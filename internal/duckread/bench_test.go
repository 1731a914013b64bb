package duckread

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"elt/internal/scan"
)

// BenchmarkInsert compares Insert with DuckDB's own INSERT from the same file,
// ELT_BENCH_ROWS rows of it.
func BenchmarkInsert(b *testing.B) {
	rows := 200_000
	if n, err := strconv.Atoi(os.Getenv("ELT_BENCH_ROWS")); err == nil {
		rows = n
	}
	dir := b.TempDir()
	query := `SELECT i AS id, i * 7 % 200000 AS part, (i % 5000 / 100)::DECIMAL(15,2) AS price, DATE '2020-01-01' + (i % 2000)::INTEGER AS day,
		'DELIVER IN PERSON' AS instruct, 'comment number ' || i AS comment FROM range(` + strconv.Itoa(rows) + `) t(i)`
	for _, f := range []struct {
		name, native string
		format       scan.Format
	}{
		{"l.csv", "read_csv", scan.CSV}, {"l.parquet", "read_parquet", scan.Parquet}, {"l.jsonl", "read_json", scan.JSONLines},
	} {
		path := filepath.Join(dir, f.name)
		s, err := newScratch(b.Context(), "")
		if err != nil {
			b.Fatal(err)
		}
		must := func(q string) {
			if _, err := s.Exec(b.Context(), q); err != nil {
				b.Fatal(err)
			}
		}
		format := map[scan.Format]string{scan.CSV: "csv", scan.Parquet: "parquet", scan.JSONLines: "json"}[f.format]
		must("COPY (" + query + ") TO " + literal(path) + " (FORMAT " + format + ")")
		must("CREATE TABLE scratch.main.t AS SELECT *, '' AS _source_file FROM " + f.native + "(" + literal(path) + ") LIMIT 0")
		b.Run(f.name+"/native", func(b *testing.B) {
			for b.Loop() {
				must("INSERT INTO scratch.main.t SELECT *, 'x' FROM " + f.native + "(" + literal(path) + ")")
				must("TRUNCATE scratch.main.t")
			}
		})
		for name, ordered := range map[string]bool{"insert": false, "ordered": true} {
			b.Run(f.name+"/"+name, func(b *testing.B) {
				for b.Loop() {
					looked, err := Look(b.Context(), s, scan.Files{Format: f.format, Paths: []scan.File{{Path: path, Name: "x"}}, Ordered: ordered})
					if err != nil {
						b.Fatal(err)
					}
					n, err := looked.Insert(b.Context(), s, "scratch.main.t", nil)
					if err != nil || n != int64(rows) {
						b.Fatal(n, err)
					}
					must("TRUNCATE scratch.main.t")
				}
			})
		}
		if err := s.close(); err != nil {
			b.Fatal(err)
		}
	}
}
