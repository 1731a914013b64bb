package postgres_test

import (
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"elt/internal/warehouse"
)

func TestWidenIsLosslessAndSymmetric(t *testing.T) {
	d := open(t).Dialect()
	for _, c := range []struct{ a, b, want string }{
		{"integer", "integer", "integer"},
		{"smallint", "bigint", "bigint"},
		{"integer", "numeric(12,2)", "numeric(12,2)"},
		{"bigint", "numeric(12,2)", "numeric(21,2)"},
		{"numeric(12,2)", "numeric(10,4)", "numeric(14,4)"},
		{"numeric(12,2)", "numeric", "numeric"},
		{"numeric(20,0)", "bigint", "numeric(20,0)"},
		{"real", "smallint", "real"},
		{"real", "integer", "double precision"},
		{"real", "double precision", "double precision"},
		{"bigint", "double precision", ""},
		{"numeric(12,2)", "double precision", ""},
		{"date", "timestamp without time zone", "timestamp without time zone"},
		{"date", "timestamp with time zone", ""},
		{"timestamp without time zone", "timestamp with time zone", ""},
		{"timestamp(3) without time zone", "timestamp without time zone", "timestamp without time zone"},
		{"character varying(10)", "text", "text"},
		{"character varying(10)", "character varying(20)", "character varying(20)"},
		{"character varying(10)", "character varying", "character varying"},
		{"uuid", "text", "text"},
		{"jsonb", "json", "json"},
		{"integer", "text", ""},
		{"boolean", "integer", ""},
		{"integer[]", "text", ""},
	} {
		for _, pair := range [][2]string{{c.a, c.b}, {c.b, c.a}} {
			got, ok := d.Widen(pair[0], pair[1])
			if got != c.want || ok != (c.want != "") {
				t.Errorf("Widen(%q, %q) is %q, %v; want %q", pair[0], pair[1], got, ok, c.want)
			}
		}
	}
}

func TestColumnTypeNamesWhatItCannotHold(t *testing.T) {
	d := open(t).Dialect()
	_, err := d.ColumnType(arrow.Field{Name: "odd", Type: arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int32, arrow.BinaryTypes.String)})
	if err == nil || !strings.Contains(err.Error(), `"odd"`) {
		t.Errorf("error %v", err)
	}
	if typ, err := d.ColumnType(arrow.Field{Name: "n", Type: &arrow.Decimal128Type{Precision: 3, Scale: -2}}); typ != "numeric(5,0)" || err != nil {
		t.Errorf("negative scale: %s, %v", typ, err)
	}
}

func TestCanonicalIsEqualExactlyForTheSameValues(t *testing.T) {
	db := openDB(t)
	for _, c := range []struct{ typ, value, want string }{
		{"numeric(10,3)", "1.500", "1.5"},
		{"numeric", "-0.00", "0"},
		{"numeric", "1000", "1000"},
		{"double precision", "-0", "0"},
		{"double precision", "0.1", "0.1"},
		{"real", "0.1", "0.10000000149011612"},
		{"boolean", "t", "true"},
		{"timestamp with time zone", "2026-03-29 03:30:00+02", "2026-03-29 01:30:00.000000Z"},
		{"timestamp with time zone", "infinity", "infinity"},
		{"timestamp without time zone", "2026-03-29 02:30:00.5", "2026-03-29 02:30:00.500000"},
		{"timestamp without time zone", "0044-03-15 12:00:00 BC", "0044-03-15 12:00:00 BC"},
		{"timestamp(3) without time zone", "10000-01-01", "10000-01-01 00:00:00.000000"},
		{"date", "2026-03-29", "2026-03-29"},
		{"time without time zone", "1:02", "01:02:00.000000"},
		{"bytea", `\x00FF`, "00ff"},
		{"uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{"jsonb", `{"b":1,"a":2}`, `{"a": 2, "b": 1}`},
		{"text", "as it is ", "as it is "},
		{"character varying(10)", "x", "x"},
	} {
		got := one(t, db, `SELECT `+db.Dialect().Canonical("v", c.typ)+` FROM (SELECT $1::`+c.typ+` AS v) AS r`, c.value)[0]
		if got != c.want {
			t.Errorf("canonical %s of type %s is %q, want %q", c.value, c.typ, got, c.want)
		}
	}
}

func TestHashesSeeOrderNullAndAbsence(t *testing.T) {
	db := openDB(t)
	d := db.Dialect()
	exec(t, db, `CREATE TABLE public.t (a text, "b ""c" numeric(5,2))`, `INSERT INTO public.t VALUES ('', 1), (NULL, 1), ('2.00', NULL)`)
	a, b := warehouse.Column{Name: "a", Type: "text"}, warehouse.Column{Name: `b "c`, Type: "numeric(5,2)"}
	for _, hash := range []func(cols ...warehouse.Column) string{
		func(cols ...warehouse.Column) string { return d.StableHash(cols) },
		func(cols ...warehouse.Column) string {
			var names []string
			for _, c := range cols {
				names = append(names, c.Name)
			}
			return d.RowHash(names)
		},
	} {
		seen := map[string]string{}
		for _, cols := range [][]warehouse.Column{{a, b}, {b, a}, {a}} {
			for i := range 3 {
				got := one(t, db, `SELECT `+hash(cols...)+` FROM public.t ORDER BY ctid LIMIT 1 OFFSET $1`, int64(i))[0]
				if where, twice := seen[got]; twice || len(got) < 32 {
					t.Errorf("hash %s twice: %s", got, where)
				}
				seen[got] = hash(cols...)
			}
		}
	}
	if got := one(t, db, `SELECT `+d.StableHash([]warehouse.Column{b})+` = `+d.StableHash([]warehouse.Column{{Name: "w", Type: "numeric"}})+` FROM (SELECT 1.50::numeric(5,2) AS "b ""c", 1.5000 AS w) AS r`)[0]; got != "true" {
		t.Error("the stable hash changes with the scale of a number")
	}
}

func TestChecksumIgnoresOrderAndSeesDuplicates(t *testing.T) {
	db := openDB(t)
	sum := func(values string) string {
		return one(t, db, `SELECT `+db.Dialect().Checksum([]string{"x", "y"})+` FROM (SELECT * FROM (VALUES `+values+`) AS v (x, y)) AS r`)[0]
	}
	if a, b := sum("(1, 'a'), (2, NULL)"), sum("(2, NULL), (1, 'a')"); a != b {
		t.Errorf("order matters: %s, %s", a, b)
	}
	if a, b := sum("(1, 'a'), (1, 'a')"), sum("(1, 'a')"); a == b {
		t.Errorf("duplicates do not matter: %s", a)
	}
	if got := one(t, db, `SELECT `+db.Dialect().Checksum([]string{"x"})+` FROM (SELECT 1 AS x WHERE false) AS r`)[0]; got != "0" {
		t.Errorf("checksum of nothing is %s", got)
	}
}
