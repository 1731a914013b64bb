package activate_test

import (
	"context"
	"encoding/json"
	"testing"

	"elt/activate"
	"elt/internal/rows"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

func TestPayloadIsExact(t *testing.T) {
	type value struct{ sql, typ, want string }
	both := []value{
		{`CAST(9223372036854775807 AS bigint)`, "bigint", `9223372036854775807`},
		{`CAST('12345678901234567890.1234567890' AS decimal(38,10))`, "numeric(38,10)", `12345678901234567890.1234567890`},
		{`CAST(0.1 AS double precision)`, "double precision", `0.1`},
		{`CAST(1e300 AS double precision)`, "double precision", `1e+300`},
		{`CAST(NULL AS text)`, "text", `null`},
		{`CAST('' AS text)`, "text", `""`},
		{`'say "hi" \ ' || chr(10) || 'é' || chr(1)`, "text", `"say \"hi\" \\ \né\u0001"`},
		{`true`, "boolean", `true`},
		{`CAST('2026-01-02' AS date)`, "date", `"2026-01-02"`},
		{`CAST('2026-01-02 03:04:05.000006' AS timestamp)`, "timestamp", `"2026-01-02T03:04:05.000006"`},
		{`CAST('2026-01-02 03:04:05+02' AS timestamp with time zone)`, "timestamp with time zone", `"2026-01-02T01:04:05.000000Z"`},
		{`CAST('infinity' AS timestamp)`, "timestamp", `"infinity"`},
		{`CAST('-infinity' AS timestamp with time zone)`, "timestamp with time zone", `"-infinity"`},
		{`CAST('infinity' AS date)`, "date", `"infinity"`},
	}
	own := map[string][]value{
		"duckdb": {
			{`170141183460469231731687303715884105727::hugeint`, "HUGEINT", `170141183460469231731687303715884105727`},
			{`'0044-03-15 (BC)'::date`, "date", `"0044-03-15 (BC)"`},
			{`'nan'::double`, "DOUBLE", `"nan"`},
			{`'{"a": 1.10}'::json`, "JSON", `{"a": 1.10}`},
			{`[1, 2]`, "INTEGER[]", `[1,2]`},
			{`'hello'::blob`, "BLOB", `"aGVsbG8="`},
			{`'2026-01-02 03:04:05+02'::timestamptz`, "TIMESTAMP WITH TIME ZONE", `"2026-01-02T01:04:05.000000Z"`},
		},
		"postgres": {
			{`'NaN'::numeric`, "numeric", `"NaN"`},
			{`'-Infinity'::double precision`, "double precision", `"-Infinity"`},
			{`'{"a": 1.10}'::jsonb`, "jsonb", `{"a": 1.10}`},
			{`'0044-03-15 BC'::date`, "date", `"0044-03-15 BC"`},
			{`'0044-03-15 12:00:00+00 BC'::timestamptz`, "timestamp with time zone", `"0044-03-15 12:00:00 BC"`},
			{`ARRAY[1, 2]`, "integer[]", `[1,2]`},
			{`'hello'::bytea`, "bytea", `"aGVsbG8="`},
		},
	}
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		for _, v := range append(append([]value{}, both...), own[db.Dialect().Name]...) {
			expr, err := activate.JSONObject(db.Dialect().Name, `it's "x"`, v.sql, v.typ)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			err = warehouse.Each(context.Background(), db, `SELECT `+expr, func(r rows.Row) error {
				got = r.String(0)
				return nil
			})
			if err != nil {
				t.Errorf("%s: %v", v.sql, err)
				continue
			}
			if want := `{"it's \"x\"":` + v.want + `}`; got != want {
				t.Errorf("%s is %s, want %s", v.sql, got, want)
			}
			if !json.Valid([]byte(got)) {
				t.Errorf("%s is no JSON: %s", v.sql, got)
			}
		}
	})
}
