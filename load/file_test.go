package load_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"elt/internal/scan"
	"elt/internal/warehouse"
	"elt/internal/warehouse/duckdb"
	"elt/internal/warehouse/warehousetest"
	"elt/load"
)

func TestFileReplacesTheRowsOfItsFiles(t *testing.T) {
	s := schema(field("id", bigint), field("_source_file", text))
	to := load.Target{Disposition: load.File}
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		run(t, db, "l1", given(s, `[{"id":1,"_source_file":"a.csv"},{"id":2,"_source_file":"a.csv"},{"id":3,"_source_file":"b.csv"}]`), to)
		res := run(t, db, "l2", given(s, `[{"id":4,"_source_file":"a.csv"},{"id":5,"_source_file":"c.csv"}]`), to)
		same(t, "table", table(t, db, `SELECT _source_file, id FROM shop.orders ORDER BY 1, 2`), "a.csv 4; b.csv 3; c.csv 5")
		if res.Deleted != 2 || res.Published != 2 {
			t.Errorf("%+v", res)
		}
		st := stage(t, db, given(standard(), "["+day1+"]"), contract("l3"))
		if _, err := publish(db, st, to); !errors.Is(err, load.ErrContract) {
			t.Errorf("rows without a file: %v", err)
		}
	})
}

// filesScan is a scan of one part of CSV files.
type filesScan struct{ files []scan.File }

func (s filesScan) Schema() *arrow.Schema  { return nil }
func (s filesScan) Cursor() scan.Cursor    { return "" }
func (s filesScan) Counted() (int64, bool) { return 0, false }
func (s filesScan) Close() error           { return nil }
func (s filesScan) Parts() []scan.Part {
	return []scan.Part{{Files: &scan.Files{Format: scan.CSV, Paths: s.files, Columns: []scan.Column{
		{Name: "id", Type: "BIGINT"}, {Name: "amount", Type: "DECIMAL(12,2)"},
	}}}}
}

// eachReading is warehousetest.Each with warehouses that may read dir.
func eachReading(t *testing.T, dir string, fn func(t *testing.T, db *warehouse.DB)) {
	t.Helper()
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			var driver warehouse.Driver
			if engine == "postgres" {
				driver = warehousetest.Open(t, engine)
			} else {
				d, err := duckdb.Open(t.Context(), duckdb.Options{Path: filepath.Join(t.TempDir(), "wh.duckdb"), AllowedDirs: []string{dir}})
				if err != nil {
					t.Fatal(err)
				}
				driver = d
			}
			db, err := warehouse.Open(t.Context(), driver)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			fn(t, db)
		})
	}
}

func TestRewrittenFileReplacesItsRows(t *testing.T) {
	dir := t.TempDir()
	eachReading(t, dir, func(t *testing.T, db *warehouse.DB) {
		var s filesScan
		for _, name := range []string{"a.csv", "b.csv"} {
			s.files = append(s.files, scan.File{Path: filepath.Join(dir, name), Name: name})
		}
		write := func(i int, text string) {
			if err := os.WriteFile(s.files[i].Path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		to, c := load.Target{Disposition: load.File}, contract("l1")
		c.Files = true
		both := `SELECT _source_file, id, CAST(amount AS text) FROM shop.orders ORDER BY 1, 2`

		write(0, "id,amount\n1,10.50\n2,\"12,50\"\n3,7.00\n")
		write(1, "id,amount\n4,1.00\n")
		st := stage(t, db, s, c)
		res, err := publish(db, st, to)
		if err != nil {
			t.Fatal(err)
		}
		balanced(t, res)
		same(t, "table", table(t, db, both), "a.csv 1 10.50; a.csv 3 7.00; b.csv 4 1.00")
		if r := st.Rejects.Rows(); len(r) != 1 || !strings.Contains(r[0].Locator, "a.csv") || res.Read != 4 {
			t.Errorf("%+v %+v", res, r)
		}

		// One file is rewritten, the other has lost all its rows.
		write(0, "id,amount\n5,5.00\n")
		write(1, "id,amount\n")
		c.LoadID, c.Rejects = "l2", nil
		if res, err = publish(db, stage(t, db, s, c), to); err != nil {
			t.Fatal(err)
		}
		balanced(t, res)
		same(t, "table", table(t, db, both), "a.csv 5 5.00")
		if res.Deleted != 3 {
			t.Errorf("%+v", res)
		}

		// All of them are empty: that would empty the table.
		write(0, "id,amount\n")
		c.LoadID, c.Rejects = "l3", nil
		if _, err := publish(db, stage(t, db, s, c), to); !errors.Is(err, load.ErrEmpty) {
			t.Errorf("error %v", err)
		}
		same(t, "table", table(t, db, both), "a.csv 5 5.00")
	})
}

// TestTheRowThatStandsLastWins: without a cursor a later row is a later state,
// also where files are read by several threads at once.
func TestTheRowThatStandsLastWins(t *testing.T) {
	const keys = 150_000 // a row group is 122,880 rows
	dir := t.TempDir()
	var files filesScan
	for v := range 4 {
		var b strings.Builder
		b.WriteString("id,amount\n")
		for i := range keys {
			fmt.Fprintf(&b, "%d,%d.00\n", i, v)
		}
		name := fmt.Sprintf("%d.csv", v)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		files.files = append(files.files, scan.File{Path: filepath.Join(dir, name), Name: name})
	}
	eachReading(t, dir, func(t *testing.T, db *warehouse.DB) {
		c := contract("l1")
		c.Files, c.Key = true, []string{"id"}
		if _, err := publish(db, stage(t, db, files, c), load.Target{Disposition: load.Merge, Key: c.Key}); err != nil {
			t.Fatal(err)
		}
		same(t, "states", table(t, db, `SELECT CAST(amount AS text), count(*) FROM shop.orders GROUP BY 1 ORDER BY 1`), fmt.Sprint("3.00 ", keys))
	})
}
