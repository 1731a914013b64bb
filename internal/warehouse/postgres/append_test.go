package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"elt/internal/scan"
	"elt/internal/warehouse"
)

var target = warehouse.Table{Schema: "public", Name: `odd "name"`}

// batchOf builds one batch of one column from its JSON form.
func batchOf(t *testing.T, f arrow.Field, json string) array.RecordReader {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{f}, nil)
	values, _, err := array.FromJSON(memory.DefaultAllocator, f.Type, strings.NewReader(json))
	if err != nil {
		t.Fatalf("%s of %s: %v", json, f.Type, err)
	}
	r, err := array.NewRecordReader(schema, []arrow.RecordBatch{array.NewRecordBatch(schema, []arrow.Array{values}, int64(values.Len()))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Release)
	return r
}

func appendRows(t *testing.T, db *warehouse.DB, table warehouse.Table, r array.RecordReader) (int64, error) {
	t.Helper()
	var n int64
	err := db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
		var err error
		n, err = tx.Append(ctx, table, r)
		return err
	})
	return n, err
}

// create makes the table with a column of the type that the dialect gives to f.
func create(t *testing.T, db *warehouse.DB, table warehouse.Table, f arrow.Field) string {
	t.Helper()
	typ, err := db.Dialect().ColumnType(f)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, db, `DROP TABLE IF EXISTS `+table.String(), `CREATE TABLE `+table.String()+` (`+warehouse.Quote(f.Name)+` `+typ+`)`)
	return typ
}

func TestEveryTypeArrivesAsItWasSent(t *testing.T) {
	db := openDB(t)
	refined := func(key string) arrow.Metadata { return arrow.NewMetadata([]string{scan.TypeKey}, []string{key}) }
	ts := func(unit arrow.TimeUnit, zone string) arrow.DataType {
		return &arrow.TimestampType{Unit: unit, TimeZone: zone}
	}
	for _, c := range []struct {
		typ  arrow.DataType
		meta arrow.Metadata
		json string
		sql  string
		want string // texts of the server, NULL as ∅
	}{
		{typ: arrow.FixedWidthTypes.Boolean, json: `[true, false, null]`, sql: "boolean", want: "true false ∅"},
		{typ: arrow.PrimitiveTypes.Int8, json: `[-128, 127]`, sql: "smallint", want: "-128 127"},
		{typ: arrow.PrimitiveTypes.Int16, json: `[-32768, 32767]`, sql: "smallint", want: "-32768 32767"},
		{typ: arrow.PrimitiveTypes.Int32, json: `[-2147483648, 2147483647]`, sql: "integer", want: "-2147483648 2147483647"},
		{typ: arrow.PrimitiveTypes.Int64, json: `[-9223372036854775808, 9223372036854775807]`, sql: "bigint", want: "-9223372036854775808 9223372036854775807"},
		{typ: arrow.PrimitiveTypes.Uint8, json: `[255]`, sql: "smallint", want: "255"},
		{typ: arrow.PrimitiveTypes.Uint16, json: `[65535]`, sql: "integer", want: "65535"},
		{typ: arrow.PrimitiveTypes.Uint32, json: `[4294967295]`, sql: "bigint", want: "4294967295"},
		{typ: arrow.PrimitiveTypes.Uint64, json: `[0, 18446744073709551615]`, sql: "numeric(20,0)", want: "0 18446744073709551615"},
		{typ: arrow.PrimitiveTypes.Float32, json: `[0.1, -1e30]`, sql: "real", want: "0.1 -1e+30"},
		{typ: arrow.PrimitiveTypes.Float64, json: `[0.1, 1e-300]`, sql: "double precision", want: "0.1 1e-300"},
		{typ: arrow.BinaryTypes.String, json: `["", "ü'\"\\", null]`, sql: "text", want: ` ü'"\ ∅`},
		{typ: arrow.BinaryTypes.LargeString, json: `["x"]`, sql: "text", want: "x"},
		{typ: arrow.BinaryTypes.StringView, json: `["long enough to live outside the view"]`, sql: "text", want: "long enough to live outside the view"},
		{typ: arrow.BinaryTypes.String, meta: refined(scan.TypeJSON), json: `["{\"a\":[1,2.50]}"]`, sql: "jsonb", want: `{"a": [1, 2.50]}`},
		{typ: arrow.BinaryTypes.String, meta: refined(scan.TypeUUID), json: `["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"]`, sql: "uuid", want: "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{typ: arrow.BinaryTypes.Binary, json: `["AP8="]`, sql: "bytea", want: `\x00ff`},
		{typ: &arrow.FixedSizeBinaryType{ByteWidth: 2}, json: `["AP8="]`, sql: "bytea", want: `\x00ff`},
		{typ: &arrow.Decimal128Type{Precision: 12, Scale: 2}, json: `["-0.05", "9999999999.99", "100.00", "0.00"]`, sql: "numeric(12,2)", want: "-0.05 9999999999.99 100.00 0.00"},
		{typ: &arrow.Decimal256Type{Precision: 50, Scale: 3}, json: `["-12345678901234567890123456789012345678901234567.123"]`, sql: "numeric(50,3)", want: "-12345678901234567890123456789012345678901234567.123"},
		{typ: arrow.FixedWidthTypes.Date32, json: `["1969-12-31", "2026-03-29"]`, sql: "date", want: "1969-12-31 2026-03-29"},
		{typ: arrow.FixedWidthTypes.Date64, json: `["2026-03-29"]`, sql: "date", want: "2026-03-29"},
		{typ: arrow.FixedWidthTypes.Time32ms, json: `["01:02:03.004"]`, sql: "time without time zone", want: "01:02:03.004"},
		{typ: arrow.FixedWidthTypes.Time64us, json: `["23:59:59.999999"]`, sql: "time without time zone", want: "23:59:59.999999"},
		{typ: ts(arrow.Microsecond, ""), json: `["2026-03-29 02:30:00.000001"]`, sql: "timestamp without time zone", want: "2026-03-29 02:30:00.000001"},
		{typ: ts(arrow.Second, "UTC"), json: `["1999-12-31T23:59:59Z"]`, sql: "timestamp with time zone", want: "1999-12-31 23:59:59+00"},
		{typ: ts(arrow.Nanosecond, "UTC"), json: `["2026-03-29T02:30:00.000001Z"]`, sql: "timestamp with time zone", want: "2026-03-29 02:30:00.000001+00"},
		{typ: arrow.FixedWidthTypes.MonthDayNanoInterval, json: `[{"months": 14, "days": -3, "nanoseconds": 4005006000}]`, sql: "interval", want: "1 year 2 mons -3 days +00:00:04.005006"},
		{typ: arrow.FixedWidthTypes.Duration_ms, json: `[1500]`, sql: "interval", want: "00:00:01.5"},
		{typ: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, json: `["a", null, "b", "a"]`, sql: "text", want: "a ∅ b a"},
		{typ: arrow.ListOf(arrow.PrimitiveTypes.Int32), json: `[[1, null], []]`, sql: "jsonb", want: "[1, null] []"},
		{typ: arrow.StructOf(arrow.Field{Name: "a", Type: arrow.BinaryTypes.String, Nullable: true}), json: `[{"a": "x"}]`, sql: "jsonb", want: `{"a": "x"}`},
		{typ: arrow.Null, json: `[null, null]`, sql: "text", want: "∅ ∅"},
	} {
		t.Run(c.typ.String()+" as "+c.sql, func(t *testing.T) {
			f := arrow.Field{Name: `a "b`, Type: c.typ, Nullable: true, Metadata: c.meta}
			if typ := create(t, db, target, f); typ != c.sql {
				t.Errorf("column type %s, want %s", typ, c.sql)
			}
			n, err := appendRows(t, db, target, batchOf(t, f, c.json))
			if err != nil {
				t.Fatal(err)
			}
			got := one(t, db, `SELECT string_agg(coalesce("a ""b"::text, '∅'), ' ' ORDER BY ctid), count(*) FROM `+target.String())
			if got[0] != c.want || got[1] != fmt.Sprint(n) {
				t.Errorf("got %s rows %q, sent %d, want %q", got[1], got[0], n, c.want)
			}
		})
	}
}

func TestAppendFillsByNameAndLeavesDefaults(t *testing.T) {
	db := openDB(t)
	exec(t, db, `CREATE TYPE public.mood AS ENUM ('sad', 'ok')`, `CREATE DOMAIN public.amount AS numeric(8,2)`,
		`CREATE TABLE public.t (id bigint GENERATED ALWAYS AS IDENTITY, extra text DEFAULT 'd', m public.mood, a public.amount, twice int GENERATED ALWAYS AS (1) STORED)`)
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "a", Type: &arrow.Decimal128Type{Precision: 10, Scale: 4}}, {Name: "m", Type: arrow.BinaryTypes.String},
	}, nil)
	batch, _, err := array.RecordFromJSON(memory.DefaultAllocator, schema, strings.NewReader(`[{"a": "1.5000", "m": "ok"}]`))
	if err != nil {
		t.Fatal(err)
	}
	r, err := array.NewRecordReader(schema, []arrow.RecordBatch{batch, batch})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := appendRows(t, db, warehouse.Table{Schema: "public", Name: "t"}, r); n != 2 || err != nil {
		t.Fatalf("%d rows, error %v", n, err)
	}
	if got := strings.Join(one(t, db, `SELECT id, extra, m::text, a::text FROM public.t ORDER BY id DESC`), " "); got != "2 d ok 1.50" {
		t.Errorf("got %s", got)
	}
}

func TestAppendNamesColumnAndRowOfABadValue(t *testing.T) {
	db := openDB(t)
	for _, c := range []struct {
		typ              arrow.DataType
		json, sql, wants string
	}{
		{arrow.BinaryTypes.String, `["a", "b\u0000"]`, "text", "NUL byte"},
		{arrow.PrimitiveTypes.Int64, `[1, 40000]`, "smallint", "40000 does not fit into 2 bytes"},
		{&arrow.Decimal128Type{Precision: 8, Scale: 3}, `["1.500", "1.505"]`, "numeric(8,2)", "more digits after the point"},
		{&arrow.TimestampType{Unit: arrow.Nanosecond}, `["2026-01-01 00:00:00", "2026-01-01 00:00:00.000000001"]`, "timestamp", "finer than a microsecond"},
		{arrow.BinaryTypes.String, `["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99"]`, "uuid", `"a0eebc99" is no UUID`},
	} {
		t.Run(c.wants, func(t *testing.T) {
			exec(t, db, `DROP TABLE IF EXISTS `+target.String(), `CREATE TABLE `+target.String()+` (c `+c.sql+`)`)
			_, err := appendRows(t, db, target, batchOf(t, arrow.Field{Name: "c", Type: c.typ, Nullable: true}, c.json))
			if err == nil || !strings.Contains(err.Error(), c.wants) || !strings.Contains(err.Error(), `column "c", row 2`) {
				t.Errorf("error %v", err)
			}
			if warehouse.KindOf(err) != warehouse.KindData {
				t.Errorf("kind %d", warehouse.KindOf(err))
			}
			if n := one(t, db, `SELECT count(*) FROM `+target.String())[0]; n != "0" {
				t.Errorf("%s rows inserted", n)
			}
		})
	}
}

func TestAppendRefusesWhatDoesNotFitBeforeReading(t *testing.T) {
	db := openDB(t)
	exec(t, db, `CREATE TABLE public.t (c integer[], d timestamp)`)
	table := warehouse.Table{Schema: "public", Name: "t"}
	for name, f := range map[string]arrow.Field{
		"no column":   {Name: "nowhere", Type: arrow.BinaryTypes.String},
		"an array":    {Name: "c", Type: arrow.BinaryTypes.String},
		"a time zone": {Name: "d", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}},
	} {
		_, err := appendRows(t, db, table, batchOf(t, f, `[]`))
		if err == nil || !strings.Contains(err.Error(), f.Name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	_, err := appendRows(t, db, warehouse.Table{Schema: "no", Name: "where"}, batchOf(t, arrow.Field{Name: "c", Type: arrow.BinaryTypes.String}, `[]`))
	if warehouse.KindOf(err) != warehouse.KindNotFound {
		t.Errorf("no table: error %v", err)
	}
}

// brokenReader yields batches and then does what end does.
type brokenReader struct {
	array.RecordReader
	left int
	err  error
	end  func() error
}

func (r *brokenReader) Next() bool {
	if r.left--; r.left >= 0 {
		return true
	}
	r.err = r.end()
	return false
}

func (r *brokenReader) Err() error { return r.err }

func TestAppendFailsWithItsReader(t *testing.T) {
	db := openDB(t)
	lost := errors.New("source lost")
	for name, end := range map[string]func() error{
		"error": func() error { return lost },
		"panic": func() error { panic("out of batches") },
	} {
		for _, batches := range []int{0, 1, 50} {
			t.Run(fmt.Sprint(name, " after ", batches), func(t *testing.T) {
				f := arrow.Field{Name: "c", Type: arrow.BinaryTypes.String}
				create(t, db, target, f)
				inner := batchOf(t, f, `["`+strings.Repeat("x", 10_000)+`"]`)
				inner.Next()
				_, err := appendRows(t, db, target, &brokenReader{RecordReader: inner, left: batches, end: end})
				if err == nil || (name == "error" && !errors.Is(err, lost)) || (name == "panic" && !strings.Contains(err.Error(), "out of batches")) {
					t.Errorf("error %v", err)
				}
				if n := one(t, db, `SELECT count(*) FROM `+target.String())[0]; n != "0" {
					t.Errorf("%s rows inserted", n)
				}
			})
		}
	}
}

func TestAppendWatchesTheContext(t *testing.T) {
	db := openDB(t)
	f := arrow.Field{Name: "c", Type: arrow.BinaryTypes.String}
	create(t, db, target, f)
	inner := batchOf(t, f, `["x"]`)
	inner.Next()
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	err := db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		r := &brokenReader{RecordReader: inner, left: math.MaxInt, end: func() error { return nil }}
		_, err := tx.Append(ctx, target, &cancelAfter{RecordReader: r, left: 1000, cancel: func() { cancel(enough) }})
		return err
	})
	if !errors.Is(err, enough) {
		t.Errorf("error %v", err)
	}
}

// cancelAfter cancels after some batches and goes on forever.
type cancelAfter struct {
	array.RecordReader
	left   int
	cancel func()
}

func (r *cancelAfter) Next() bool {
	if r.left--; r.left == 0 {
		r.cancel()
	}
	return r.RecordReader.Next()
}

func TestQueryGivesBackWhatWasAppended(t *testing.T) {
	db := openDB(t)
	exec(t, db, `CREATE TABLE public.t (i2 int2, i4 int4, i8 int8, f4 real, f8 double precision, b boolean, s text,
		n numeric(38,10), wide numeric(60,2), free numeric, at timestamptz, naive timestamp, d date, c time, u uuid, j jsonb, raw bytea, v interval, tags text[])`,
		`INSERT INTO public.t VALUES (-1, 2, 3, 0.5, 0.1, true, 'x', -12345678901234567890.0000000001, 1.50, 1.500,
		'2026-03-29 01:00:00.000001+01', '1969-12-31 23:59:59.999999', '1900-01-01', '12:00', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a":1}', '\x00ff', '1 mon 2 days 3 us', '{a,NULL}')`,
		`INSERT INTO public.t (i2) VALUES (NULL)`)
	r, err := db.Query(t.Context(), `SELECT * FROM public.t`)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	if !r.Next() {
		t.Fatal(r.Err())
	}
	want := map[string]string{
		"i2": "int16 -1", "i4": "int32 2", "i8": "int64 3", "f4": "float32 0.5", "f8": "float64 0.1", "b": "bool true", "s": "utf8 x",
		"n": "decimal(38, 10) -1.2345678901234567890E+19", "wide": "utf8 1.50", "free": "utf8 1.500",
		"at": "timestamp[us, tz=UTC] 2026-03-29T00:00:00.000001Z", "naive": "timestamp[us] 1969-12-31T23:59:59.999999",
		"d": "date32 1900-01-01", "c": "time64[us] 12:00:00.000000", "u": "utf8 a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
		"j": `utf8 {"a": 1}`, "raw": "binary AP8=", "v": `month_day_nano_interval {"months":1,"days":2,"nanoseconds":3000}`, "tags": "utf8 {a,NULL}",
	}
	for i, f := range r.Schema().Fields() {
		if got := f.Type.String() + " " + r.RecordBatch().Column(i).ValueStr(0); got != want[f.Name] && f.Name != "n" {
			t.Errorf("%s is %q, want %q", f.Name, got, want[f.Name])
		}
		if !r.RecordBatch().Column(i).IsNull(1) {
			t.Errorf("%s is not null", f.Name)
		}
	}
	n, ok := r.RecordBatch().Column(7).(*array.Decimal128)
	if !ok || n.Value(0).ToString(10) != "-12345678901234567890.0000000001" {
		t.Errorf("n is %v", r.RecordBatch().Column(7))
	}
}
