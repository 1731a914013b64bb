package duckread

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"elt/internal/rows"
	"elt/internal/scan"
)

// project is a folder with files in it.
type project struct {
	t   *testing.T
	dir string
}

func newProject(t *testing.T) *project { return &project{t: t, dir: t.TempDir()} }

func (p *project) write(name, text string) scan.File {
	p.t.Helper()
	data := []byte(text)
	if strings.HasSuffix(name, ".gz") {
		data = zipped(p.t, text)
	}
	return p.bytes(name, data)
}

func (p *project) bytes(name string, data []byte) scan.File {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		p.t.Fatal(err)
	}
	return scan.File{Path: path, Name: name}
}

func zipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// parquet makes a file by DuckDB itself.
func (p *project) parquet(name, query string) scan.File {
	p.t.Helper()
	s := engine(p.t)
	path := filepath.Join(p.dir, name)
	if _, err := s.Exec(p.t.Context(), "COPY ("+query+") TO "+literal(path)+" (FORMAT parquet)"); err != nil {
		p.t.Fatal(err)
	}
	return scan.File{Path: path, Name: name}
}

func engine(t *testing.T) *scratch {
	t.Helper()
	s, err := newScratch(t.Context(), "Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// outcome is what one reading made.
type outcome struct {
	columns string
	rows    []string
	rejects []string
	staged  int64
}

// insert reads f as a warehouse does: in a transaction, in an engine that may
// open nothing but the folder of the files.
func insert(t *testing.T, f scan.Files) (outcome, error) {
	t.Helper()
	ctx := t.Context()
	s := engine(t)
	must := func(q string) {
		if _, err := s.Exec(ctx, q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	must("SET allowed_directories=[" + literal(filepath.Dir(f.Paths[0].Path)+"/") + "]")
	must("SET enable_external_access=false")
	must("BEGIN")
	var out outcome
	looked, err := Look(ctx, s, f)
	if err != nil {
		return out, err
	}
	cols := looked.Columns()
	var defs, names []string
	for _, c := range cols {
		defs = append(defs, quote(c.Name)+" "+c.Type)
		names = append(names, c.Name+" "+c.Type)
	}
	out.columns = strings.Join(names, ", ")
	must("CREATE TABLE scratch.main.t (" + strings.Join(defs, ", ") + ", _elt_load_id text DEFAULT 'l1')")
	out.staged, err = looked.Insert(ctx, s, "scratch.main.t", func(r scan.Reject) error {
		out.rejects = append(out.rejects, r.Locator+" | "+r.Reason+" | "+r.Payload)
		return nil
	})
	if err != nil {
		return out, err
	}
	must("COMMIT")
	r, err := s.Query(ctx, "SELECT CAST(COLUMNS(*) AS VARCHAR) FROM scratch.main.t ORDER BY ALL")
	if err != nil {
		t.Fatal(err)
	}
	out.rows = texts(t, r.Schema().NumFields(), func(fn func(rows.Row) error) error { return rows.Each(r, fn) })
	if int64(len(out.rows)) != out.staged {
		t.Errorf("Insert says %d rows, the table holds %d", out.staged, len(out.rows))
	}
	left, err := s.Query(ctx, "SELECT count(*) FROM duckdb_tables() WHERE temporary")
	if err != nil {
		t.Fatal(err)
	}
	if err := rows.Each(left, func(r rows.Row) error {
		if r.Int(0) != 0 {
			t.Errorf("%d temporary tables are left", r.Int(0))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out, nil
}

func texts(t *testing.T, n int, each func(func(rows.Row) error) error) []string {
	t.Helper()
	var out []string
	err := each(func(r rows.Row) error {
		vals := make([]string, n)
		for i := range vals {
			if vals[i] = r.String(i); r.Null(i) {
				vals[i] = "∅"
			}
		}
		out = append(out, strings.Join(vals, " "))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// open reads f as a warehouse that is no DuckDB does.
func openAll(ctx context.Context, t *testing.T, f scan.Files) (got []string, rejects int, err error) {
	t.Helper()
	r, err := Open(ctx, f, func(scan.Reject) error { rejects++; return nil }, "Europe/Berlin")
	if err != nil {
		return nil, rejects, err
	}
	got = texts(t, r.Schema().NumFields(), func(fn func(rows.Row) error) error { return rows.Each(r, fn) })
	slices.Sort(got)
	return got, rejects, nil
}

func (o outcome) want(t *testing.T, columns string, rows, rejects []string) {
	t.Helper()
	if o.columns != columns {
		t.Errorf("columns\n got %s\nwant %s", o.columns, columns)
	}
	if fmt.Sprint(o.rows) != fmt.Sprint(rows) {
		t.Errorf("rows\n got %s\nwant %s", strings.Join(o.rows, "\n     "), strings.Join(rows, "\n     "))
	}
	if len(o.rejects) != len(rejects) {
		t.Errorf("rejects\n got %s\nwant %s", strings.Join(o.rejects, "\n     "), strings.Join(rejects, "\n     "))
		return
	}
	for i, want := range rejects {
		for part := range strings.SplitSeq(want, "…") {
			if !strings.Contains(o.rejects[i], part) {
				t.Errorf("reject %d\n got %s\nwant %s", i, o.rejects[i], want)
			}
		}
	}
}

func files(format scan.Format, columns []scan.Column, f ...scan.File) scan.Files {
	return scan.Files{Format: format, Paths: f, Columns: columns}
}

func TestCSVWithBadRows(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	one := p.write("a.csv", "id,Customer Name,amount\n1,a,1.50\n2,b,xx\n3,c,3.5,extra\n4,\"d\"\n5,e,2\n")
	two := p.write("b.csv", "id,Customer Name,amount\nzz,b,2\n3,c\n7,g,\n")
	got, err := insert(t, files(scan.CSV, []scan.Column{{Name: "id", Type: "BIGINT"}, {Name: "amount", Type: "DECIMAL(10,2)"}}, one, two))
	if err != nil {
		t.Fatal(err)
	}
	got.want(t, "id BIGINT, customer_name VARCHAR, amount DECIMAL(10,2), _source_file VARCHAR",
		[]string{"1 a 1.50 a.csv l1", "5 e 2.00 a.csv l1", "7 g ∅ b.csv l1"},
		[]string{"a.csv:3 | …amount…xx… | 2,b,xx", "a.csv:4 | …Columns: 3 Found: 4 | 3,c,3.5,extra", "a.csv:5 | …Found: 2 | 4,\"d\"",
			"b.csv:2 | …id…zz… | zz,b,2", "b.csv:3 | …Found: 2 | 3,c"})
}

func TestCSVOfDifferentColumnsAndTypes(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	got, err := insert(t, files(scan.CSV, nil,
		p.write("a.csv", "id,code\n1,007\n"), p.write("it's a [b] ?*.csv.gz", "id;extra\n2.5;x\n"), p.write("c.csv", "\ufeffid,code\n3,x\x00y\n"), p.write("empty.csv", "")))
	if err != nil {
		t.Fatal(err)
	}
	got.want(t, "id DOUBLE, code VARCHAR, extra VARCHAR, _source_file VARCHAR",
		[]string{"1.0 007 ∅ a.csv l1", "2.5 ∅ x it's a [b] ?*.csv.gz l1", "3.0 x\x00y ∅ c.csv l1"}, nil)
}

func TestCSVOptions(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	no := false
	f := files(scan.CSV, nil, p.write("a.csv", "junk\n1|'x|y'|-\n2|z|w\n"))
	f.CSV = scan.CSVOptions{Delimiter: "|", Quote: "'", Header: &no, Null: []string{"-"}, Skip: 1}
	got, err := insert(t, f)
	if err != nil {
		t.Fatal(err)
	}
	got.want(t, "column0 BIGINT, column1 VARCHAR, column2 VARCHAR, _source_file VARCHAR", []string{"1 x|y ∅ a.csv l1", "2 z w a.csv l1"}, nil)
}

func TestCSVInvalidText(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	got, err := insert(t, files(scan.CSV, nil, p.write("a.csv", "id,name\n1,ok\n2,caf\xe9\n3,ok\n")))
	if err != nil {
		t.Fatal(err)
	}
	got.want(t, "id BIGINT, name VARCHAR, _source_file VARCHAR", []string{"1 ok a.csv l1", "3 ok a.csv l1"}, []string{"a.csv:3 | …"})
}

func TestCSVDeclaredColumnIsMissing(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	_, err := insert(t, files(scan.CSV, []scan.Column{{Name: "amuont", Type: "BIGINT"}}, p.write("a.csv", "id,amount\n1,2\n")))
	if err == nil || !strings.Contains(err.Error(), `"amuont" is declared`) || !strings.Contains(err.Error(), "id, amount") {
		t.Errorf("got %v", err)
	}
}

// Declared columns stand, and nothing is read, of files that are all empty.
func TestColumnsOfEmptyFilesAreThoseDeclared(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	for _, format := range []scan.Format{scan.CSV, scan.JSON, scan.JSONLines} {
		got, err := insert(t, files(format, []scan.Column{{Name: "id", Type: "BIGINT"}, {Name: "born", Type: "DATE"}}, p.write("a", ""), p.write("b.gz", "")))
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		got.want(t, "id BIGINT, born DATE, _source_file VARCHAR", nil, nil)
	}
}

func TestJSONLines(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	good := p.write("a.jsonl", "{\"eventId\":1,\"at\":\"2026-01-01T00:00:00+02:00\",\"n\":{\"k\":[1]}}\n\n  \n{\"eventId\":2}")
	got, err := insert(t, files(scan.JSONLines, nil, good))
	if err != nil {
		t.Fatal(err)
	}
	columns := "event_id BIGINT, at TIMESTAMP WITH TIME ZONE, n JSON, _source_file VARCHAR"
	first := "1 2025-12-31 23:00:00+01 {\"k\":[1]} a.jsonl l1"
	got.want(t, columns, []string{first, "2 ∅ ∅ a.jsonl l1"}, nil)

	bad := p.write("b.jsonl.gz", "{\"eventId\":3}\nbroken\n{\"eventId\":\"zz\"}\n\n{}\n[1]\n{\"eventId\":4,\"n\":null,\"other\":\"x\\u0001\"}\ncaf\xe9\n{\"eventId\":5,\"at\":\"2026-")
	got, err = insert(t, files(scan.JSONLines, []scan.Column{{Name: "event_id", Type: "BIGINT"}}, good, bad))
	if err != nil {
		t.Fatal(err)
	}
	got.want(t, "event_id BIGINT, at TIMESTAMP WITH TIME ZONE, n JSON, other VARCHAR, _source_file VARCHAR",
		[]string{strings.Replace(first, " a.jsonl", " ∅ a.jsonl", 1), "2 ∅ ∅ ∅ a.jsonl l1", "3 ∅ ∅ ∅ b.jsonl.gz l1", "4 ∅ ∅ x\x01 b.jsonl.gz l1", "∅ ∅ ∅ ∅ b.jsonl.gz l1"},
		[]string{"b.jsonl.gz:2 | not valid JSON at byte 1 … | broken", "b.jsonl.gz:6 | …no object… | [1]", "b.jsonl.gz:8 | …UTF-8… | caf",
			"b.jsonl.gz:9 | JSON that ends early… | {\"eventId\":5,\"at\":\"2026-", "b.jsonl.gz:3 | column event_id: expected BIGINT, found zz | {\"eventId\":\"zz\"}"})
}

func TestJSONLinesWithoutAnyObject(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	got, err := insert(t, files(scan.JSONLines, []scan.Column{{Name: "id", Type: "BIGINT"}}, p.write("a.jsonl", "nope\n")))
	if err != nil {
		t.Fatal(err)
	}
	got.want(t, "id BIGINT, _source_file VARCHAR", nil, []string{"a.jsonl:1 | …"})
}

func TestJSONDocument(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	got, err := insert(t, files(scan.JSON, []scan.Column{{Name: "id", Type: "BIGINT"}}, p.write("a.json", `[{"id":1,"x":"a"},{"id":"no","x":"b"}]`), p.write("b.json", `{"id":3}`)))
	if err != nil {
		t.Fatal(err)
	}
	got.want(t, "id BIGINT, x VARCHAR, _source_file VARCHAR", []string{"1 a a.json l1", "3 ∅ b.json l1"},
		[]string{`a.json | column id: expected BIGINT, found no | {"id":"no","x":"b"}`})
	if _, err := insert(t, files(scan.JSON, nil, p.write("half.json", `[{"id":1},{"i`))); err == nil || !strings.Contains(err.Error(), "half.json") {
		t.Errorf("half a document: %v", err)
	}
}

func TestParquet(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	a := p.parquet("a.parquet", `SELECT 1::INTEGER AS id, 'x' AS sku, {'k': 1} AS attributes`)
	b := p.parquet("b.parquet", `SELECT 2::BIGINT AS id, 'y' AS sku, DATE '2026-01-01' AS "addedOn" UNION ALL SELECT 3, '4', NULL`)
	got, err := insert(t, files(scan.Parquet, nil, a, b))
	if err != nil {
		t.Fatal(err)
	}
	columns := "id BIGINT, sku VARCHAR, attributes JSON, added_on DATE, _source_file VARCHAR"
	got.want(t, columns, []string{`1 x {"k":1} ∅ a.parquet l1`, "2 y ∅ 2026-01-01 b.parquet l1", "3 4 ∅ ∅ b.parquet l1"}, nil)
	got, err = insert(t, files(scan.Parquet, []scan.Column{{Name: "sku", Type: "INTEGER"}}, b))
	if err != nil {
		t.Fatal(err)
	}
	got.want(t, "id BIGINT, sku INTEGER, added_on DATE, _source_file VARCHAR", []string{"3 4 ∅ b.parquet l1"},
		[]string{`b.parquet, row 1 | column sku: expected INTEGER, found y | {"id":2,"sku":"y","addedOn":"2026-01-01"}`})
}

func TestDamagedFilesAreNamed(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	whole := zipped(t, strings.Repeat("{\"id\":1,\"name\":\"abc\"}\n", 5000))
	for name, f := range map[string]scan.Files{
		"corrupt parquet":  files(scan.Parquet, nil, p.bytes("bad.parquet", []byte("PAR1 and then nothing of use PAR1"))),
		"half a gzip":      files(scan.JSONLines, nil, p.bytes("half.jsonl.gz", whole[:len(whole)-20])),
		"half a gzip csv":  files(scan.CSV, nil, p.bytes("half.csv.gz", zipped(t, strings.Repeat("a,b\n1,2\n", 5000))[:60])),
		"no gzip":          files(scan.CSV, nil, p.bytes("no.csv.gz", []byte("a,b\n1,2\n"))),
		"missing file":     files(scan.CSV, nil, scan.File{Path: filepath.Join(p.dir, "gone.csv"), Name: "gone.csv"}),
		"twice one column": files(scan.CSV, nil, p.write("twice.csv", "Order ID,order_id\n1,2\n")),
	} {
		_, err := insert(t, f)
		if err == nil || !strings.Contains(err.Error(), f.Paths[0].Name) || strings.Contains(err.Error(), p.dir+"/gone") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenEqualsInsert(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	f := files(scan.JSONLines, nil, p.write("a.jsonl", strings.Repeat("{\"id\":1,\"n\":{\"k\":2}}\n", 100_000)+"broken\n"))
	got, rejects, err := openAll(t.Context(), t, f)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 100_000 || rejects != 1 || got[0] != `1 {"k":2} a.jsonl` {
		t.Errorf("%d rows, %d rejects, first %q", len(got), rejects, got[0])
	}
	r, err := Open(t.Context(), f, func(scan.Reject) error { return nil }, "")
	if err != nil {
		t.Fatal(err)
	}
	field, _ := r.Schema().FieldsByName("n")
	if v, _ := field[0].Metadata.GetValue(scan.TypeKey); v != scan.TypeJSON {
		t.Errorf("field n has metadata %v", field[0].Metadata)
	}
	r.Release()
	if _, err := Open(t.Context(), f, nil, ""); err == nil || !strings.Contains(err.Error(), "a.jsonl:100001") {
		t.Errorf("without a reject func: %v", err)
	}
}

func TestSnake(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"id": "id", "orderID": "order_id", "HTTPCode": "http_code", "Order ID": "order_id", " a-b ": "a_b", "_x": "_x", "Größe (cm)": "größe_cm", "a1B": "a1_b", "%": "column", "a__b": "a_b",
	} {
		if got := snake(in); got != want {
			t.Errorf("snake(%q) = %q, want %q", in, got, want)
		}
	}
}
