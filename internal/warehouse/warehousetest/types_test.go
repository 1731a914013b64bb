package warehousetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"elt/internal/rows"
	"elt/internal/scan"
	"elt/internal/warehouse"
)

// typeCase is a column: its values as Arrow's JSON, and the canonical text that
// the warehouse must give back for each.
type typeCase struct {
	field  arrow.Field
	values string
	want   []string
}

func refined(kind string) arrow.Metadata {
	return arrow.NewMetadata([]string{scan.TypeKey}, []string{kind})
}

func typeCases() []typeCase {
	of := func(t arrow.DataType) arrow.Field { return arrow.Field{Type: t, Nullable: true} }
	return []typeCase{
		{of(arrow.FixedWidthTypes.Boolean), `[true, false, null]`, []string{"true", "false", "NULL"}},
		{of(arrow.PrimitiveTypes.Int8), `[-128, 127, null]`, []string{"-128", "127", "NULL"}},
		{of(arrow.PrimitiveTypes.Int16), `[-32768, 32767]`, []string{"-32768", "32767"}},
		{of(arrow.PrimitiveTypes.Int32), `[-2147483648, 2147483647]`, []string{"-2147483648", "2147483647"}},
		{of(arrow.PrimitiveTypes.Int64), `["-9223372036854775808", "9223372036854775807", null]`, []string{"-9223372036854775808", "9223372036854775807", "NULL"}},
		{of(arrow.PrimitiveTypes.Uint8), `[0, 255]`, []string{"0", "255"}},
		{of(arrow.PrimitiveTypes.Uint16), `[65535]`, []string{"65535"}},
		{of(arrow.PrimitiveTypes.Uint32), `[4294967295]`, []string{"4294967295"}},
		{of(arrow.PrimitiveTypes.Uint64), `["18446744073709551615"]`, []string{"18446744073709551615"}},
		{of(arrow.PrimitiveTypes.Float32), `[0.1, -2.5]`, []string{"0.10000000149011612", "-2.5"}},
		{of(arrow.PrimitiveTypes.Float64), `[0.1, -2.5, 3.141592653589793, null, 3, -0.0]`, []string{"0.1", "-2.5", "3.141592653589793", "NULL", "3", "0"}},
		{of(&arrow.Decimal128Type{Precision: 12, Scale: 2}), `["12.50", "-0.01", "9999999999.99", null]`, []string{"12.5", "-0.01", "9999999999.99", "NULL"}},
		{of(&arrow.Decimal128Type{Precision: 2, Scale: 2}), `["0.50", "-0.25", "0.00"]`, []string{"0.5", "-0.25", "0"}},
		{of(&arrow.Decimal128Type{Precision: 38, Scale: 0}), `["99999999999999999999999999999999999999"]`, []string{"99999999999999999999999999999999999999"}},
		{of(arrow.BinaryTypes.String), `["", "a\"'\\ü€😀", null, "NULL"]`, []string{"", "a\"'\\ü€😀", "NULL", "NULL"}},
		{of(arrow.BinaryTypes.LargeString), `["x"]`, []string{"x"}},
		{of(arrow.BinaryTypes.Binary), `["AAH/", null, ""]`, []string{"0001ff", "NULL", ""}},
		{of(arrow.FixedWidthTypes.Date32), `["2026-03-29", "1969-12-31", null]`, []string{"2026-03-29", "1969-12-31", "NULL"}},
		{of(&arrow.TimestampType{Unit: arrow.Microsecond}), `["2026-03-29 02:30:00.123456", "1969-12-31 23:59:59.999999"]`, []string{"2026-03-29 02:30:00.123456", "1969-12-31 23:59:59.999999"}},
		{of(&arrow.TimestampType{Unit: arrow.Millisecond}), `["2026-03-29 02:30:00.123"]`, []string{"2026-03-29 02:30:00.123000"}},
		{of(&arrow.TimestampType{Unit: arrow.Second}), `["2026-03-29 02:30:00"]`, []string{"2026-03-29 02:30:00.000000"}},
		{of(&arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}), `["2026-10-25T00:30:00.5Z", "2026-10-25T01:30:00.5Z", null]`, []string{"2026-10-25 00:30:00.500000Z", "2026-10-25 01:30:00.500000Z", "NULL"}},
		{of(arrow.FixedWidthTypes.Time64us), `["23:59:59.999999", "00:00:00"]`, []string{"23:59:59.999999", "00:00:00.000000"}},
		{of(arrow.FixedWidthTypes.MonthDayNanoInterval), `[{"months":14,"days":-2,"nanoseconds":3000001000}, {"months":-1,"days":40,"nanoseconds":-1000}, {"months":0,"days":0,"nanoseconds":360000000000000}, null]`,
			[]string{"14 months -2 days 3000001 us", "-1 months 40 days -1 us", "0 months 0 days 360000000000 us", "NULL"}},
		{of(arrow.FixedWidthTypes.MonthInterval), `[{"months":13}, {"months":-25}]`, []string{"13 months 0 days 0 us", "-25 months 0 days 0 us"}},
		{of(arrow.FixedWidthTypes.Duration_us), `[90061000001, -1]`, []string{"0 months 0 days 90061000001 us", "0 months 0 days -1 us"}},
		{arrow.Field{Type: arrow.BinaryTypes.String, Nullable: true, Metadata: refined(scan.TypeUUID)}, `["6F9619FF-8B86-D011-B42D-00C04FC964FF", null]`, []string{"6f9619ff-8b86-d011-b42d-00c04fc964ff", "NULL"}},
	}
}

// Every type that a source hands over arrives in the same canonical form on
// every engine, by Append and ColumnType, and comes back through Query.
func TestInvariant4TypesArriveWithoutLoss(t *testing.T) {
	cases := typeCases()
	Each(t, func(t *testing.T, db *warehouse.DB) {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		defer mem.AssertSize(t, 0)
		for i, c := range cases {
			c.field.Name = "v"
			typ, err := db.Dialect().ColumnType(c.field)
			if err != nil {
				t.Errorf("%s: %v", c.field.Type, err)
				continue
			}
			table := warehouse.Table{Schema: "_elt", Name: fmt.Sprintf("types_%d", i)}
			if err := roundTrip(t, db, mem, table, typ, c); err != nil {
				t.Errorf("%s: %v", typ, err)
				continue
			}
			var got []string
			q := "SELECT " + db.Dialect().Canonical("v", typ) + ", v FROM " + table.String() + " ORDER BY n"
			err = warehouse.Each(t.Context(), db, q, func(r rows.Row) error {
				text := r.String(0)
				if r.Null(0) {
					text = "NULL"
				}
				if r.Null(0) != r.Null(1) {
					t.Errorf("%s: the canonical form of %q is %q", typ, r.String(1), text)
				}
				got = append(got, text)
				return nil
			})
			if err != nil || fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%s: %s arrived as %q, want %q: %v", typ, c.values, got, c.want, err)
			}
		}
	})
}

// DuckDB reads an interval of days and milliseconds as one number of milliseconds:
// it is refused there, and arrives on Postgres.
func TestDayTimeIntervalsAreNotMisread(t *testing.T) {
	c := typeCase{field: arrow.Field{Name: "v", Type: arrow.FixedWidthTypes.DayTimeInterval, Nullable: true}, values: `[{"days":3,"milliseconds":-1500}]`}
	Each(t, func(t *testing.T, db *warehouse.DB) {
		typ, err := db.Dialect().ColumnType(c.field)
		if db.Dialect().Name == "duckdb" {
			if err == nil || !strings.Contains(err.Error(), "month_day_nano_interval") {
				t.Errorf("type %q, error %v, want a refusal that says what to hand over", typ, err)
			}
			return
		}
		table := warehouse.Table{Schema: "_elt", Name: "day_time"}
		if err := errors.Join(err, roundTrip(t, db, memory.DefaultAllocator, table, typ, c)); err != nil {
			t.Fatal(err)
		}
		err = warehouse.Each(t.Context(), db, "SELECT "+db.Dialect().Canonical("v", typ)+" FROM "+table.String(), func(r rows.Row) error {
			if got := r.String(0); got != "0 months 3 days -1500000 us" {
				t.Errorf("it arrived as %q", got)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// roundTrip makes a table of one column of typ, and a number for the order, and
// appends the values of c.
func roundTrip(t *testing.T, db *warehouse.DB, mem memory.Allocator, table warehouse.Table, typ string, c typeCase) error {
	t.Helper()
	values, _, err := array.FromJSON(mem, c.field.Type, readerOf(c.values))
	if err != nil {
		t.Fatalf("%s: %v", c.field.Type, err)
	}
	defer values.Release()
	b := array.NewInt64Builder(mem)
	defer b.Release()
	for i := range values.Len() {
		b.Append(int64(i))
	}
	order := b.NewArray()
	defer order.Release()
	schema := arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64}, c.field}, nil)
	batch := array.NewRecordBatch(schema, []arrow.Array{order, values}, int64(values.Len()))
	defer batch.Release()
	r, err := array.NewRecordReader(schema, []arrow.RecordBatch{batch})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	return db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
		if _, err := tx.Exec(ctx, "CREATE TABLE "+table.String()+" (n bigint, v "+typ+")"); err != nil {
			return err
		}
		n, err := tx.Append(ctx, table, r)
		if err == nil && n != int64(values.Len()) {
			err = fmt.Errorf("%d of %d rows were appended", n, values.Len())
		}
		return err
	})
}

func TestJSONArrivesAsJSON(t *testing.T) {
	c := typeCase{field: arrow.Field{Name: "v", Type: arrow.BinaryTypes.String, Nullable: true, Metadata: refined(scan.TypeJSON)}, values: `["{\"a\": [1, 2]}", null]`}
	Each(t, func(t *testing.T, db *warehouse.DB) {
		typ, err := db.Dialect().ColumnType(c.field)
		if err != nil {
			t.Fatal(err)
		}
		table := warehouse.Table{Schema: "_elt", Name: "documents"}
		if err := roundTrip(t, db, memory.DefaultAllocator, table, typ, c); err != nil {
			t.Fatal(err)
		}
		n := int64(0)
		err = warehouse.Each(t.Context(), db, "SELECT count(*) FROM "+table.String()+" WHERE CAST(v -> 'a' ->> 1 AS text) = '2'", func(r rows.Row) error { n = r.Int(0); return nil })
		if err != nil || n != 1 {
			t.Errorf("%d documents found by a path: %v", n, err)
		}
	})
}

// Widening keeps every value, or says that it cannot.
func TestWiden(t *testing.T) {
	Each(t, func(t *testing.T, db *warehouse.DB) {
		cases := [][3]string{
			{"smallint", "integer", "integer"}, {"integer", "bigint", "bigint"}, {"bigint", "boolean", ""}, {"date", "boolean", ""},
			{"bigint", "double precision", ""}, {"integer", "double precision", "double precision"}, {"smallint", "real", "real"}, {"integer", "real", "double precision"},
			{"real", "double precision", "double precision"}, {"numeric(10,2)", "numeric(8,4)", "numeric(12,4)"}, {"integer", "numeric(4,2)", "numeric(12,2)"},
			{"numeric(10,2)", "double precision", ""}, {"date", "timestamp without time zone", "timestamp without time zone"},
			{"timestamp with time zone", "timestamp without time zone", ""}, {"date", "timestamp with time zone", ""}, {"text", "text", "text"}, {"bigint", "text", ""}, {"boolean", "text", ""},
		}
		for _, c := range cases {
			for i, typ := range c {
				if db.Dialect().Name == "duckdb" {
					c[i] = duckdbName(typ)
				}
			}
			for _, pair := range [][2]string{{c[0], c[1]}, {c[1], c[0]}} {
				got, ok := db.Dialect().Widen(pair[0], pair[1])
				if ok != (c[2] != "") || got != c[2] {
					t.Errorf("%s and %s widen to %q, want %q", pair[0], pair[1], got, c[2])
				}
			}
		}
	})
}

func readerOf(s string) *strings.Reader { return strings.NewReader(s) }

// duckdbName is DuckDB's own spelling of a standard type.
func duckdbName(typ string) string {
	if args, ok := strings.CutPrefix(typ, "numeric"); ok {
		return "DECIMAL" + args
	}
	if name, ok := map[string]string{
		"text": "VARCHAR", "double precision": "DOUBLE", "real": "FLOAT", "timestamp without time zone": "TIMESTAMP",
	}[typ]; ok {
		return name
	}
	return strings.ToUpper(typ)
}
