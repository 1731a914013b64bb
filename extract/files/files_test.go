package files

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"elt/extract"
	"elt/extract/extracttest"
	"elt/internal/duckread"
	"elt/internal/rows"
	"elt/internal/scan"
)

// world is a folder with one compressed file of JSON lines.
type world struct {
	dir   string
	rows  []extracttest.Row
	extra bool
}

func (w *world) Open(ctx context.Context, _ memory.Allocator, streams ...extract.StreamConfig) (extract.Source, error) {
	return open(ctx, extract.Config{Source: &Options{Path: "{stream}.jsonl.gz"}, Streams: streams, Dir: w.dir})
}

func (w *world) Put(t testing.TB, rows []extracttest.Row) {
	w.rows, w.extra = rows, false
	w.write(t, -1)
}

func (w *world) Widen(t testing.TB) {
	w.extra = true
	w.write(t, -1)
}

func (w *world) Break(t testing.TB, n int) { w.write(t, n) }

// write writes all rows, or the first so many and no end.
func (w *world) write(t testing.TB, cut int) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for i, r := range w.rows {
		if i == cut {
			break
		}
		doc := map[string]any{"id": r.ID, "name": r.Name, "updated": r.Updated}
		if w.extra {
			doc["extra"] = "x"
		}
		line, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := z.Write(append(line, '\n')); err != nil {
			t.Fatal(err)
		}
	}
	end := z.Close
	if cut >= 0 {
		end = z.Flush
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, extracttest.Stream+".jsonl.gz"), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	extracttest.Run(t, extracttest.Properties{
		BatchRows: 61_440,
		Read: func(ctx context.Context, _ memory.Allocator, f *scan.Files) (array.RecordReader, error) {
			return duckread.Open(ctx, *f, nil, "")
		},
	}, func(t *testing.T) extracttest.World { return &world{dir: t.TempDir()} })
}

// put writes a file with a time of its own, so that a rewrite is seen.
func put(t *testing.T, dir, name, text string, at int64) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Unix(at, 0)); err != nil {
		t.Fatal(err)
	}
}

func openStream(t *testing.T, dir string, o Options, c extract.StreamConfig) extract.Stream {
	t.Helper()
	src, err := open(t.Context(), extract.Config{Source: &o, Streams: []extract.StreamConfig{c}, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	streams, err := src.Streams(t.Context())
	if err != nil || len(streams) != 1 {
		t.Fatalf("%d streams, %v", len(streams), err)
	}
	return streams[0]
}

// names reads a scan and returns the names of its files.
func names(t *testing.T, st extract.Stream, r extract.Request) ([]string, scan.Cursor) {
	t.Helper()
	sc, err := st.Open(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range sc.Parts() {
		for _, f := range p.Files.Paths {
			out = append(out, f.Name)
		}
	}
	return out, sc.Cursor()
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: read %q, want %q", what, got, want)
	}
}

func TestLedgerReadsNewAndRewrittenFilesOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "in/a.csv", "id\n1\n", 100)
	put(t, dir, "in/b.csv", "id\n2\n", 100)
	st := openStream(t, dir, Options{Path: "in/*.csv"}, extract.StreamConfig{Name: "x"})
	got, first := names(t, st, extract.Request{})
	same(t, "first", got, "in/a.csv", "in/b.csv")
	got, none := names(t, st, extract.Request{From: first})
	if same(t, "nothing new", got); none != "" {
		t.Errorf("nothing read gave the cursor %q", none)
	}
	put(t, dir, "in/a.csv", "id\n1\n", 200) // touched
	put(t, dir, "in/b.csv", "id\n3\n", 200) // rewritten, at the same size
	put(t, dir, "in/c.csv", "id\n4\n", 200)
	got, second := names(t, st, extract.Request{From: first})
	same(t, "touched, rewritten, new", got, "in/b.csv", "in/c.csv")
	if err := os.Remove(filepath.Join(dir, "in/b.csv")); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "in/d.csv", "id\n4\n", 200)
	got, third := names(t, st, extract.Request{From: second})
	if same(t, "vanished", got, "in/d.csv"); !strings.Contains(string(third), "in/b.csv") {
		t.Errorf("a file that vanished left the ledger: %s", third)
	}
	for _, bad := range []scan.Cursor{"nonsense", `{"v":2}`} {
		if _, err := st.Open(t.Context(), extract.Request{From: bad}); err == nil {
			t.Errorf("cursor %s was taken", bad)
		}
	}
}

func TestFileThatChangesMeanwhileIsReadAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "a.csv", "id\n1\n", 100)
	st := openStream(t, dir, Options{Path: "a.csv"}, extract.StreamConfig{Name: "x"})
	sc, err := st.Open(t.Context(), extract.Request{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, "a.csv", "id\n1\n2\n", 200)
	got, _ := names(t, st, extract.Request{From: sc.Cursor()})
	same(t, "after a change", got, "a.csv")
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"d/a.csv", "d/x/b.csv", "d/x/y/c.csv", "d/.hidden/h.csv", "d/.h.csv", "d/n.txt", "d/it's [1] *.csv"} {
		put(t, dir, name, "id\n1\n", 100)
	}
	for pattern, want := range map[string][]string{
		"d/*.csv":          {"d/a.csv", "d/it's [1] *.csv"},
		"d/**/*.csv":       {"d/a.csv", "d/it's [1] *.csv", "d/x/b.csv", "d/x/y/c.csv"},
		"d/*/?.csv":        {"d/x/b.csv"},
		"d/it's [1] *.csv": {"d/it's [1] *.csv"},
		"d/**/y/*":         {"d/x/y/c.csv"},
	} {
		st := openStream(t, dir, Options{Path: pattern}, extract.StreamConfig{Name: "x"})
		got, _ := names(t, st, extract.Request{})
		same(t, pattern, got, want...)
	}
	got := Dirs(dir, &Options{Path: "d/{stream}/*.csv"}, &Options{}, &Options{Path: "e/f.csv"}, (*Options)(nil))
	if !slices.Equal(got, []string{filepath.Join(dir, "d"), filepath.Join(dir, "e")}) {
		t.Errorf("Dirs = %q", got)
	}
}

func TestMistakesSayWhatToDo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "d/a.csv", "id\n1\n", 100)
	put(t, dir, "d/a.xls", "id\n1\n", 100)
	for pattern, want := range map[string]string{
		"d/*.json": "no file matches d/*.json in " + dir,
		"e/*.json": "folder " + filepath.Join(dir, "e") + " does not exist",
		"d":        "is a folder",
		"d/*.xls":  `cannot tell the format from the extension ".xls"`,
		"d/[.csv":  "no valid pattern",
	} {
		st := openStream(t, dir, Options{Path: pattern}, extract.StreamConfig{Name: "x"})
		if _, err := st.Open(t.Context(), extract.Request{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", pattern, err, want)
		}
	}
	for _, o := range []Options{{}, {Path: "a", Format: "xml"}} {
		if _, err := open(t.Context(), extract.Config{Source: &o, Streams: []extract.StreamConfig{{Name: "x"}}, Dir: dir}); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

func TestDeclaredColumnsLimitAndProjection(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "orders-1.tsv", "id\tamount\tnote\n1\t2.50\tone, two\n2\t3\t\n", 100)
	st := openStream(t, dir, Options{Path: "{stream}-*.tsv"}, extract.StreamConfig{Name: "orders", Columns: map[string]string{"amount": "DECIMAL(10,2)"}})
	sc, err := st.Open(t.Context(), extract.Request{Columns: []string{"amount", "id"}, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	r, err := sc.Parts()[0].Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(r.Schema().Field(0).Type, r.Schema().NumFields())
	n := 0
	if err := rows.Each(r, func(row rows.Row) error { n++; got += " " + row.String(0); return nil }); err != nil {
		t.Fatal(err)
	}
	if n != 1 || !strings.HasPrefix(got, "decimal(10, 2) 2") && !strings.HasPrefix(got, "decimal(10, 2)2") {
		t.Errorf("%d rows, %s", n, got)
	}
}

func TestDiscoveryWithoutDeclaredStreams(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"data/products.parquet": "products", "data/events/*.jsonl.gz": "events", "data/Big File.csv": "big_file"} {
		src, err := open(t.Context(), extract.Config{Source: &Options{Path: path}, Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		streams, err := src.Streams(t.Context())
		if err != nil || len(streams) != 1 || streams[0].Spec().Name != want || !streams[0].Spec().Files {
			t.Errorf("%s: %v %v", path, streams, err)
		}
	}
}

func FuzzLedger(f *testing.F) {
	f.Add(`{"v":1,"files":{"a.csv":{"size":1,"mtime":"2026-01-01T00:00:00Z","hash":"x"}}}`)
	f.Add("")
	f.Add(`{"v":1,"files":null}`)
	f.Fuzz(func(t *testing.T, text string) {
		l, err := parseLedger(scan.Cursor(text))
		if err != nil {
			return
		}
		c, err := l.cursor()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseLedger(c); err != nil {
			t.Errorf("%q was written as %q, which is not read: %v", text, c, err)
		}
	})
}
