package rows

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// table makes a reader of one column per type: the JSON value, then a NULL.
func table(t *testing.T, values map[string]string, types map[string]arrow.DataType, names ...string) array.RecordReader {
	t.Helper()
	var fields []arrow.Field
	var columns []arrow.Array
	for _, name := range names {
		fields = append(fields, arrow.Field{Name: name, Type: types[name], Nullable: true})
		column, _, err := array.FromJSON(memory.DefaultAllocator, types[name], strings.NewReader("["+values[name]+", null]"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		columns = append(columns, column)
	}
	schema := arrow.NewSchema(fields, nil)
	batch := array.NewRecordBatch(schema, columns, 2)
	r, err := array.NewRecordReader(schema, []arrow.RecordBatch{batch, batch})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func one(t *testing.T, value string, typ arrow.DataType, fn func(Row)) {
	t.Helper()
	err := Each(table(t, map[string]string{"c": value}, map[string]arrow.DataType{"c": typ}, "c"), func(r Row) error {
		fn(r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestStringOfEveryType(t *testing.T) {
	for _, c := range []struct {
		typ         arrow.DataType
		value, want string
	}{
		{arrow.BinaryTypes.String, `"müsli\n"`, "müsli\n"},
		{arrow.BinaryTypes.LargeString, `"a"`, "a"},
		{arrow.BinaryTypes.StringView, `"a text that is longer than twelve bytes"`, "a text that is longer than twelve bytes"},
		{arrow.BinaryTypes.Binary, `"AP8="`, "\x00\xff"},
		{&arrow.Decimal128Type{Precision: 38, Scale: 2}, `"-12345678901234567890.10"`, "-12345678901234567890.10"},
		{arrow.PrimitiveTypes.Int64, `-7`, "-7"},
		{arrow.FixedWidthTypes.Boolean, `true`, "true"},
	} {
		one(t, c.value, c.typ, func(r Row) {
			want := c.want
			if r.Null(0) {
				want = ""
			}
			if got := r.String(0); got != want {
				t.Errorf("%s: String = %q, want %q", c.typ, got, want)
			}
		})
	}
}

func TestNumbersOfEveryType(t *testing.T) {
	for _, typ := range []arrow.DataType{
		arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64,
		arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Uint16, arrow.PrimitiveTypes.Uint32, arrow.PrimitiveTypes.Uint64,
		&arrow.Decimal128Type{Precision: 38, Scale: 0},
	} {
		value := "100"
		if typ.ID() == arrow.DECIMAL128 {
			value = `"100"`
		}
		one(t, value, typ, func(r Row) {
			want := int64(100)
			if r.Null(0) {
				want = 0
			}
			if r.Int(0) != want || r.Float(0) != float64(want) {
				t.Errorf("%s: Int = %d, Float = %v, want %d", typ, r.Int(0), r.Float(0), want)
			}
		})
	}
	for _, typ := range []arrow.DataType{arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64} {
		one(t, "0.5", typ, func(r Row) {
			if got := r.Float(0); got != 0.5 && !r.Null(0) {
				t.Errorf("%s: Float = %v", typ, got)
			}
		})
	}
	one(t, "9223372036854775807", arrow.PrimitiveTypes.Int64, func(r Row) {
		if got := r.Int(0); got != math.MaxInt64 && !r.Null(0) {
			t.Errorf("Int = %d", got)
		}
	})
}

func TestIntOfDecimalDropsTheFraction(t *testing.T) {
	one(t, `"12.75"`, &arrow.Decimal128Type{Precision: 38, Scale: 2}, func(r Row) {
		if got := r.Int(0); got != 12 && !r.Null(0) {
			t.Errorf("Int of 12.75 = %d", got)
		}
	})
}

func TestBoolAndTime(t *testing.T) {
	one(t, "true", arrow.FixedWidthTypes.Boolean, func(r Row) {
		if r.Bool(0) == r.Null(0) {
			t.Errorf("Bool = %t, Null = %t", r.Bool(0), r.Null(0))
		}
	})
	for _, c := range []struct {
		typ         arrow.DataType
		value, want string
	}{
		{arrow.FixedWidthTypes.Timestamp_us, `"2026-03-29 01:02:03.000004Z"`, "2026-03-29T01:02:03.000004Z"},
		{&arrow.TimestampType{Unit: arrow.Nanosecond}, `"2026-03-29 01:02:03"`, "2026-03-29T01:02:03Z"},
		{arrow.FixedWidthTypes.Date32, `"1969-12-31"`, "1969-12-31T00:00:00Z"},
		{arrow.FixedWidthTypes.Date64, `"2026-03-29"`, "2026-03-29T00:00:00Z"},
	} {
		one(t, c.value, c.typ, func(r Row) {
			got := r.Time(0)
			if r.Null(0) != got.IsZero() {
				t.Errorf("%s: Null = %t, Time = %s", c.typ, r.Null(0), got)
			}
			if !r.Null(0) && (got.Format(time.RFC3339Nano) != c.want || got.Location() != time.UTC) {
				t.Errorf("%s: Time = %s, want %s", c.typ, got, c.want)
			}
		})
	}
}

func TestEachRowOfEachBatch(t *testing.T) {
	values := map[string]string{"id": "1", "name": `"x"`}
	types := map[string]arrow.DataType{"id": arrow.PrimitiveTypes.Int64, "name": arrow.BinaryTypes.String}
	seen := 0
	err := Each(table(t, values, types, "id", "name"), func(r Row) error {
		seen++
		if r.Len() != 2 || r.Name(0) != "id" || r.Name(1) != "name" {
			t.Errorf("columns: %d, %s, %s", r.Len(), r.Name(0), r.Name(1))
		}
		return nil
	})
	if err != nil || seen != 4 {
		t.Errorf("saw %d rows of 4: %v", seen, err)
	}
	stop := errors.New("stop")
	seen = 0
	err = Each(table(t, values, types, "id", "name"), func(Row) error { seen++; return stop })
	if !errors.Is(err, stop) || seen != 1 {
		t.Errorf("after an error: %v, %d rows", err, seen)
	}
}

func TestWrongTypeNamesTheColumn(t *testing.T) {
	for name, read := range map[string]func(Row){
		"Int": func(r Row) { r.Int(0) }, "Float": func(r Row) { r.Float(0) }, "Time": func(r Row) { r.Time(0) },
	} {
		one(t, `"x"`, arrow.BinaryTypes.String, func(r Row) {
			if r.Null(0) {
				read(r) // a NULL has no type to be wrong
				return
			}
			defer func() {
				if text, ok := recover().(string); !ok || !strings.Contains(text, `"c"`) {
					t.Errorf("%s of a text panics with %q", name, text)
				}
			}()
			read(r)
		})
	}
}
