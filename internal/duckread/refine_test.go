package duckread

import (
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

func TestCSVNumbersKeepTheirDigits(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	got, err := insert(t, files(scan.CSV, nil, p.write("a.csv",
		"i,d,f,r,e\n123456789012345678901234567890,12345678901234567.89,19.99,0.30000000000000004,1.2345678901234567e30\n1,2.5,3,4,1234567890123456789012345.5e3\n,,,,\n")))
	if err != nil {
		t.Fatal(err)
	}
	got.want(t, "i DECIMAL(38,0), d DECIMAL(38,2), f DOUBLE, r DOUBLE, e VARCHAR, _source_file VARCHAR",
		[]string{"1 2.50 3.0 4.0 1234567890123456789012345.5e3 a.csv l1",
			"123456789012345678901234567890 12345678901234567.89 19.99 0.30000000000000004 1.2345678901234567e30 a.csv l1", "∅ ∅ ∅ ∅ ∅ a.csv l1"}, nil)
}
