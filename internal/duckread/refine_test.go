package duckread

import (
	"strings"
	"testing"

	"elt/internal/scan"
)

// Nothing in 01/02/2026 says which of the two is the day.
func TestCSVDatesAreNeverGuessed(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	for _, text := range []string{
		"id,d\n1,01/02/2026\n", "id,d\n1,13/02/2026\n", "id,d\n1,02/13/2026\n", "id,d\n1,01-02-2026\n", "id,d\n1,01-02-26\n",
		"id,d\n1,01/02/2026 10:00:00\n", "id,d\n1,01/02/2026 10:00:00 AM\n", "id,d\n1,2026/02/01\n",
	} {
		got, err := insert(t, files(scan.CSV, nil, p.write("a.csv", text)))
		if err != nil {
			t.Fatal(err)
		}
		got.want(t, "id BIGINT, d VARCHAR, _source_file VARCHAR", []string{"1 " + text[len("id,d\n1,"):len(text)-1] + " a.csv l1"}, nil)
	}
	got, err := insert(t, files(scan.CSV, nil, p.write("one/a.csv", "id,d\n1,13/02/2026\n"), p.write("one/b.csv", "id,d\n2,02/13/2026\n")))
	if err != nil {
		t.Fatal(err)
	}
	got.want(t, "id BIGINT, d VARCHAR, _source_file VARCHAR", []string{"1 13/02/2026 one/a.csv l1", "2 02/13/2026 one/b.csv l1"}, nil)
}

func TestCSVDatesOfISO8601(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	got, err := insert(t, files(scan.CSV, nil, p.write("a.csv",
		"d,t,f,z,o,m\n2026-02-01,2026-02-01 10:00:00,2026-02-01T10:00:00.25,2026-02-01T10:00:00Z,2026-02-01T10:00:00+02:00,2026-02-01 10:00\n")))
	if err != nil {
		t.Fatal(err)
	}
	got.want(t, "d DATE, t TIMESTAMP, f TIMESTAMP, z TIMESTAMP WITH TIME ZONE, o TIMESTAMP WITH TIME ZONE, m TIMESTAMP, _source_file VARCHAR",
		[]string{"2026-02-01 2026-02-01 10:00:00 2026-02-01 10:00:00.25 2026-02-01 11:00:00+01 2026-02-01 09:00:00+01 2026-02-01 10:00:00 a.csv l1"}, nil)
	blind, err := insert(t, files(scan.CSV, nil, p.write("c.csv", "g,h,d,t\n13/02/2026,13/02/2026 10:00:00,2026-02-01,2026-02-01 10:00:00\n")))
	if err != nil {
		t.Fatal(err)
	}
	blind.want(t, "g VARCHAR, h VARCHAR, d DATE, t TIMESTAMP, _source_file VARCHAR", []string{"13/02/2026 13/02/2026 10:00:00 2026-02-01 2026-02-01 10:00:00 c.csv l1"}, nil)
	headless, err := insert(t, files(scan.CSV, nil, p.write("b.csv", "2026-02-01,a\n2026-02-02,b\n")))
	if err != nil {
		t.Fatal(err)
	}
	headless.want(t, "column0 DATE, column1 VARCHAR, _source_file VARCHAR", []string{"2026-02-01 a b.csv l1", "2026-02-02 b b.csv l1"}, nil)
}

// A declared date is ISO 8601 too, unless the stream says its form.
func TestCSVDeclaredDates(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	f := files(scan.CSV, []scan.Column{{Name: "d", Type: "DATE"}, {Name: "t", Type: "TIMESTAMP"}, {Name: "z", Type: "TIMESTAMPTZ"}},
		p.write("a.csv", "d,t,z\n01/02/2026,01/02/2026 10:00:00,01/02/2026 10:00:00\n2026-02-01,2026-02-01 10:00:00,nonsense\n2026-02-01,2026-02-01 10:00:00,2026-02-01 10:00:00Z\n2026-02-01,,\n"))
	got, err := insert(t, f)
	if err != nil {
		t.Fatal(err)
	}
	columns := "d DATE, t TIMESTAMP, z TIMESTAMPTZ, _source_file VARCHAR"
	got.want(t, columns, []string{"2026-02-01 2026-02-01 10:00:00 2026-02-01 11:00:00+01 a.csv l1", "2026-02-01 ∅ ∅ a.csv l1"},
		[]string{`a.csv | column z: expected TIMESTAMPTZ, found nonsense | …nonsense`, "a.csv:2 | …01/02/2026"})
	f.CSV.DateFormat, f.CSV.TimestampFormat = "%d/%m/%Y", "%d/%m/%Y %H:%M:%S"
	f.Paths = []scan.File{p.write("b.csv", "d,t,z\n01/02/2026,01/02/2026 10:00:00,01/02/2026 10:00:00\n")}
	if got, err = insert(t, f); err != nil {
		t.Fatal(err)
	}
	got.want(t, columns, []string{"2026-02-01 2026-02-01 10:00:00 2026-02-01 10:00:00+01 b.csv l1"}, nil)
}

// A decimal with the places of one file's fractions would not take the next file's.
func TestFractionsAreOfOneTypeWhateverTheirDigits(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	for _, x := range []string{"52.5", "52.3333333333333333", "0.66666666666666666667", "1234567890123456789012.5", "-1.2345678901234567891e-3"} {
		for format, f := range map[scan.Format]scan.File{
			scan.CSV: p.write("a.csv", "x\n"+x+"\n"), scan.JSONLines: p.write("a.jsonl", `{"x":`+x+"}\n"), scan.JSON: p.write("a.json", `[{"x":`+x+"}]"),
		} {
			got, err := insert(t, files(format, nil, f))
			if err != nil {
				t.Fatal(err)
			}
			if got.columns != "x DOUBLE, _source_file VARCHAR" || got.staged != 1 || len(got.rejects) > 0 {
				t.Errorf("%s of %s: %s, %d rows, rejects %s", x, f.Name, got.columns, got.staged, got.rejects)
			}
		}
	}
}

func TestCSVIntegersKeepTheirDigits(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	got, err := insert(t, files(scan.CSV, nil, p.write("a.csv",
		"i,d,f,r,e\n123456789012345678901234567890,12345678901234567.89,19.99,0.30000000000000004,1.2345678901234567e30\n1,2.5,3,4,1234567890123456789012345.5e3\n,,,,\n")))
	if err != nil {
		t.Fatal(err)
	}
	got.want(t, "i DECIMAL(38,0), d DOUBLE, f DOUBLE, r DOUBLE, e DOUBLE, _source_file VARCHAR",
		[]string{"1 2.5 3.0 4.0 1.2345678901234569e+27 a.csv l1",
			"123456789012345678901234567890 1.2345678901234568e+16 19.99 0.30000000000000004 1.2345678901234567e+30 a.csv l1", "∅ ∅ ∅ ∅ ∅ a.csv l1"}, nil)
}

const longNumbers = `{"id":1,"x":123456789012345678901234567890,"y":12345678901234567.89,"z":19.99,"w":0.30000000000000004,"n":{"a":[12345678901234567.89,"1"]},"b":9007199254740993}
{"id":2,"x":1,"y":2.5,"z":20,"w":1e22,"n":"t","b":2}
`

// JSON integers are never floats by accident.
func TestJSONIntegersKeepTheirDigits(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	columns := "id BIGINT, x DECIMAL(38,0), y DOUBLE, z DOUBLE, w DOUBLE, n JSON, b BIGINT, _source_file VARCHAR"
	for format, f := range map[scan.Format]scan.File{
		scan.JSONLines: p.write("a.jsonl.gz", longNumbers),
		scan.JSON:      p.write("a.json", "["+strings.Replace(strings.TrimSpace(longNumbers), "\n", ",", 1)+"]"),
	} {
		got, err := insert(t, files(format, nil, f))
		if err != nil {
			t.Fatal(err)
		}
		got.want(t, columns, []string{
			`1 123456789012345678901234567890 1.2345678901234568e+16 19.99 0.30000000000000004 {"a":[12345678901234567.89,"1"]} 9007199254740993 ` + f.Name + ` l1`,
			`2 1 2.5 20.0 1e+22 "t" 2 ` + f.Name + ` l1`,
		}, nil)
	}
}

// What comes after the sniffed part and does not fit is set aside, not rounded.
func TestJSONNumbersThatDoNotFitAreRejected(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	var b strings.Builder
	for range 60_000 {
		b.WriteString(`{"i":1,"f":1.5,"d":"2026-02-01"}` + "\n")
	}

	bad := `{"i":2.5,"f":1.5}` + "\n" + `{"i":2,"f":12345678901234567.89}` + "\n" + `{"i":3,"f":1234567890123456789}` + "\n" + `{"i":4,"d":"2026-02-01 10:00:00"}` + "\n" + `{"i":1e3,"f":-0.1}` + "\n"
	got, err := insert(t, files(scan.JSONLines, nil, p.write("b.jsonl", b.String()+bad)))
	if err != nil {
		t.Fatal(err)
	}
	if got.columns != "i BIGINT, f DOUBLE, d DATE, _source_file VARCHAR" || got.staged != 60_002 {
		t.Errorf("got %s, %d rows", got.columns, got.staged)
	}
	got.columns, got.rows = "", nil
	got.want(t, "", nil, []string{"b.jsonl:60001 | …column i: expected BIGINT, found 2.5", "b.jsonl:60003 | …found 1234567890123456789", "b.jsonl:60004 | …found 2026-02-01 10:00:00"})

	declared := files(scan.JSONLines, []scan.Column{{Name: "i", Type: "BIGINT"}, {Name: "f", Type: "DECIMAL(38,1)"}}, p.write("c.jsonl", bad))
	if got, err = insert(t, declared); err != nil {
		t.Fatal(err)
	}
	if got.staged != 3 || len(got.rejects) != 2 {
		t.Errorf("declared: %d rows, rejects %s", got.staged, got.rejects)
	}
}

func TestRoundsNumbers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`{"a":12345678901234567.89}`: true, `{"a":"12345678901234567.89"}`: false, `{"a":1234567890123456789}`: false, `{"a":0.30000000000000004}`: false,
		`{"a":1234567890123456789e2}`: true, `{"a":1.5,"b":"2026-01-01T00:00:00.123456789"}`: false, `{"a":-1.2345678901234567891}`: true, `{"a":100000000000000000.0}`: false,
	} {
		for shift := range longRun {
			if got := roundsNumbers([]byte(strings.Repeat(" ", shift)+text), false); got != want {
				t.Errorf("%s after %d: got %t", text, shift, got)
			}
		}
	}
}

// The engine's reader would round 2.5 in a column of integers to 3.
func TestCSVIntegersAreNeverRounded(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	var b strings.Builder
	b.WriteString("id,n,long\n")
	for range 60_000 {
		b.WriteString("1,,9223372036854775807\n")
	}
	b.WriteString("2,2.5,1\n3,x,2\n4,7,3.5\n9007199254740993,1e3,-9223372036854775808\n5\n")
	got, err := insert(t, files(scan.CSV, []scan.Column{{Name: "n", Type: "INTEGER"}}, p.write("a.csv", b.String())))
	if err != nil {
		t.Fatal(err)
	}
	if last := got.rows[len(got.rows)-1]; got.staged != 60_001 || last != "9007199254740993 1000 -9223372036854775808 a.csv l1" {
		t.Errorf("%d rows, last %s", got.staged, last)
	}
	got.rows = nil
	got.want(t, "id BIGINT, n INTEGER, long BIGINT, _source_file VARCHAR", nil,
		[]string{"a.csv | column n: expected INTEGER, found 2.5 | …", "a.csv | column long: expected BIGINT, found 3.5 | …", "a.csv:60003 | …x…to 'INTEGER'", "a.csv:60006 | …"})
}

// A text that is an integer to one of the engine's casts and none to its reader
// is rejected by the reader, and so it is not to be inserted as well.
func TestCSVRowsAreReadOrRejectedOnce(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	var b strings.Builder
	b.WriteString("id,n\n")
	for range 60_000 {
		b.WriteString("1,2\n")
	}
	b.WriteString("2,0x10\n3,0b11\n4,1.5\n5, 7\n")
	got, err := insert(t, files(scan.CSV, nil, p.write("a.csv", b.String())))
	if err != nil {
		t.Fatal(err)
	}
	if got.staged != 60_001 {
		t.Errorf("%d rows", got.staged)
	}
	got.rows = nil
	got.want(t, "id BIGINT, n BIGINT, _source_file VARCHAR", nil,
		[]string{"a.csv | column n: expected BIGINT, found 1.5 | …", "a.csv:60002 | …0x10…", "a.csv:60003 | …0b11…"})
}

// A type has several names, of which none may round.
func TestDeclaredIntegersOfAnyNameAreNeverRounded(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	for _, typ := range []string{"TINYINT", "int4", "INT8", "LONG", "UINTEGER", "UBIGINT", "HUGEINT"} {
		for format, f := range map[scan.Format]scan.File{
			scan.CSV: p.write("a.csv", "n\n1\n2.5\n3.0\n"), scan.JSONLines: p.write("a.jsonl", `{"n":1}`+"\n"+`{"n":2.5}`+"\n"+`{"n":3.0}`+"\n"),
		} {
			got, err := insert(t, files(format, []scan.Column{{Name: "n", Type: typ}}, f))
			if err != nil {
				t.Fatal(err)
			}
			if got.staged != 2 || len(got.rejects) != 1 {
				t.Errorf("%s of %s: %d rows %s, rejects %s", typ, f.Name, got.staged, got.rows, got.rejects)
			}
		}
	}
}
