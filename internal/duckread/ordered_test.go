package duckread

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"elt/internal/rows"
	"elt/internal/scan"
)

// TestOrderedKeepsTheOrderOfTheFiles reads several row groups with several
// threads, and wants every row behind the one that stands before it.
func TestOrderedKeepsTheOrderOfTheFiles(t *testing.T) {
	const each, files = 300_000, 2
	for _, f := range []struct {
		format       scan.Format
		name, option string
	}{
		{scan.CSV, "csv", "csv"}, {scan.CSV, "csv.gz", "csv, COMPRESSION gzip"}, {scan.Parquet, "parquet", "parquet"},
		{scan.JSONLines, "jsonl", "json"}, {scan.JSON, "json", "json, ARRAY true"},
	} {
		t.Run(f.name, func(t *testing.T) {
			s, err := newScratch(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.close(); err != nil {
					t.Error(err)
				}
			}()
			must := func(q string) {
				t.Helper()
				if _, err := s.Exec(t.Context(), q); err != nil {
					t.Fatal(err)
				}
			}
			in := scan.Files{Format: f.format, Ordered: true}
			dir := t.TempDir()
			must("SET threads=4")
			for i := range files {
				name := string(rune('a'+i)) + "." + f.name
				in.Paths = append(in.Paths, scan.File{Path: filepath.Join(dir, name), Name: name})
				must("SET preserve_insertion_order=true")
				must(fmt.Sprintf("COPY (SELECT i AS n FROM range(%d, %d) t(i)) TO %s (FORMAT %s)",
					i*each, (i+1)*each, literal(filepath.Join(dir, name)), f.option))
				must("SET preserve_insertion_order=false")
			}
			must("CREATE TABLE scratch.main.t (n BIGINT, _source_file VARCHAR)")
			looked, err := Look(t.Context(), s, in)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := looked.Insert(t.Context(), s, "scratch.main.t", nil); err != nil || n != each*files {
				t.Fatal(n, err)
			}
			r, err := s.Query(t.Context(), "SELECT count(*) FROM scratch.main.t WHERE rowid <> n")
			if err != nil {
				t.Fatal(err)
			}
			err = rows.Each(r, func(row rows.Row) error {
				if n := row.Int(0); n != 0 {
					t.Errorf("%d of %d rows are not in their place", n, each*files)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestOrderedKeepsTheOrderOfFilesOfOtherShape: files that are alike are read
// together, but not past one between them.
func TestOrderedKeepsTheOrderOfFilesOfOtherShape(t *testing.T) {
	s, err := newScratch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}()
	in := scan.Files{Format: scan.CSV, Ordered: true}
	for i, text := range []string{"n,m\n0,x\n", "n;m\n1;x\n", "n,m\n2,x\n", "m,n\nx,3\n", "n;m\n4;x\n"} {
		name := fmt.Sprintf("%d.csv", i)
		in.Paths = append(in.Paths, scan.File{Path: filepath.Join(t.TempDir(), name), Name: name})
		if err := os.WriteFile(in.Paths[i].Path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Open(t.Context(), in, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	if err := rows.Each(r, func(row rows.Row) error { got = append(got, row.Int(0)); return nil }); err != nil {
		t.Fatal(err)
	}
	if want := []int64{0, 1, 2, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("read in the order %v, want %v", got, want)
	}
}
