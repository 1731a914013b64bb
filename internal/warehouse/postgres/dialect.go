package postgres

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"elt/internal/pgcopy"
	"elt/internal/scan"
	"elt/internal/warehouse"
)

// The limits of names, in bytes, and of the columns of a table.
const (
	maxName    = 63
	maxColumns = 1600
)

func newDialect() *warehouse.Dialect {
	return &warehouse.Dialect{
		Name:       "postgres",
		MaxName:    maxName,
		MaxColumns: maxColumns,
		Refused:    pgcopy.Refused,
		ColumnType: columnType,
		Widen:      widen,
		Canonical:  canonical,
		RowHash:    rowHash,
		Checksum:   checksum,
		StableHash: stableHash,
	}
}

// columnType implements [warehouse.Dialect.ColumnType].
func columnType(f arrow.Field) (string, error) {
	typ, ok := sqlType(f.Type)
	if !ok {
		return "", fmt.Errorf("column %q: Arrow type %s has no PostgreSQL type", f.Name, f.Type)
	}
	if refined, ok := f.Metadata.GetValue(scan.TypeKey); ok && typ == "text" {
		switch refined {
		case scan.TypeJSON:
			return "jsonb", nil
		case scan.TypeUUID:
			return "uuid", nil
		}
	}
	return typ, nil
}

func sqlType(t arrow.DataType) (string, bool) {
	switch t := t.(type) {
	case *arrow.Decimal128Type:
		return decimalType(t.Precision, t.Scale), true
	case *arrow.Decimal256Type:
		return decimalType(t.Precision, t.Scale), true
	case *arrow.TimestampType:
		if t.TimeZone == "" {
			return "timestamp without time zone", true
		}
		return "timestamp with time zone", true
	case *arrow.DictionaryType:
		return sqlType(t.ValueType)
	case arrow.ExtensionType:
		switch t.ExtensionName() {
		case "arrow.uuid":
			return "uuid", true
		case "arrow.json":
			return "jsonb", true
		}
		return sqlType(t.StorageType())
	}
	typ, ok := map[arrow.Type]string{
		arrow.NULL: "text", arrow.BOOL: "boolean",
		arrow.INT8: "smallint", arrow.UINT8: "smallint", arrow.INT16: "smallint",
		arrow.UINT16: "integer", arrow.INT32: "integer",
		arrow.UINT32: "bigint", arrow.INT64: "bigint", arrow.UINT64: "numeric(20,0)",
		arrow.FLOAT16: "real", arrow.FLOAT32: "real", arrow.FLOAT64: "double precision",
		arrow.STRING: "text", arrow.LARGE_STRING: "text", arrow.STRING_VIEW: "text",
		arrow.BINARY: "bytea", arrow.LARGE_BINARY: "bytea", arrow.BINARY_VIEW: "bytea", arrow.FIXED_SIZE_BINARY: "bytea",
		arrow.DATE32: "date", arrow.DATE64: "date",
		arrow.TIME32: "time without time zone", arrow.TIME64: "time without time zone",
		arrow.INTERVAL_MONTHS: "interval", arrow.INTERVAL_DAY_TIME: "interval",
		arrow.INTERVAL_MONTH_DAY_NANO: "interval", arrow.DURATION: "interval",
		arrow.LIST: "jsonb", arrow.LARGE_LIST: "jsonb", arrow.FIXED_SIZE_LIST: "jsonb", arrow.STRUCT: "jsonb", arrow.MAP: "jsonb",
	}[t.ID()]
	return typ, ok
}

func decimalType(precision, scale int32) string {
	if scale < 0 {
		precision, scale = precision-scale, 0
	}
	return fmt.Sprintf("numeric(%d,%d)", max(precision, scale), scale)
}

// canonical implements [warehouse.Dialect.Canonical]. The session fixes DateStyle,
// IntervalStyle and float digits, on which the plain casts depend.
func canonical(expr, typ string) string {
	e := "(" + expr + ")"
	switch parseType(typ).name {
	case "numeric":
		return "trim_scale(" + e + ")::text"
	case "real", "double precision":
		return float(e + "::double precision")
	case "timestamp with time zone":
		return calendar(e, e+" AT TIME ZONE 'UTC'", "Z")
	case "timestamp without time zone":
		return calendar(e, e, "")
	case "time without time zone":
		return "to_char(" + e + ", 'HH24:MI:SS.US')"
	case "interval":
		part := func(field string) string { return "extract(" + field + " FROM " + e + ")::bigint" }
		return "(" + part("year") + " * 12 + " + part("month") + ")::text || ' months ' || " + part("day") + "::text || ' days ' || (" +
			part("hour") + " * 3600000000 + " + part("minute") + " * 60000000 + " + part("microseconds") + ")::text || ' us'"
	case "bytea":
		return "encode(" + e + ", 'hex')"
	case "text":
		return e
	}
	return e + "::text"
}

// float prints a double without negative zero, with an exponent from 1e16 on; the
// server begins with exponents at 1e15. From 2^53 on, where halves between two
// doubles have few digits, the server does not take the shortest digits when those
// are such a half: there the digits are tried.
func float(e string) string {
	text := "(" + e + " + 0)::text"
	return "CASE WHEN abs(" + e + ") >= 9007199254740992 AND abs(" + e + ") < 1e24 THEN " + shortest(e) +
		" WHEN abs(" + e + ") >= 1e15 AND abs(" + e + ") < 1e16 THEN " + text + "::numeric::text ELSE " + text + " END"
}

// shortest prints a whole double. The expression stands in a subquery that reads
// nothing else, so that no name of ours hides a column's.
func shortest(e string) string {
	return `(SELECT CASE WHEN r.below THEN '-' ELSE '' END || CASE WHEN length(r.t) <= 16 THEN r.t
		ELSE left(r.t, 1) || rtrim('.' || substr(rtrim(r.t, '0'), 2), '.') || 'e+' || (length(r.t) - 1)::text END
		FROM (SELECT x.below, coalesce((SELECT round(x.n, p.digits - length(x.n::text)) FROM (VALUES (15), (16)) AS p(digits)
			WHERE round(x.n, p.digits - length(x.n::text))::double precision = x.n::double precision ORDER BY p.digits LIMIT 1), x.n)::text AS t
			FROM (SELECT abs(` + e + `)::text::numeric AS n, ` + e + ` < 0 AS below) AS x) AS r)`
}

// calendar prints years of our era with microseconds and leaves the rest, which
// to_char cannot tell apart, as the server prints it.
func calendar(e, local, zone string) string {
	return "CASE WHEN isfinite(" + e + ") AND " + e + " >= '0001-01-02' THEN to_char(" + local +
		", 'YYYY-MM-DD HH24:MI:SS.US')" + suffix(zone) + " ELSE (" + local + ")::text END"
}

func suffix(zone string) string {
	if zone == "" {
		return ""
	}
	return " || '" + zone + "'"
}

// row is the text of a record of cols: quoted so that NULL, ” and absence differ.
func row(cols []string) string {
	quoted := make([]string, len(cols))
	for i, c := range cols {
		quoted[i] = warehouse.Quote(c)
	}
	return "ROW(" + strings.Join(quoted, ", ") + ")::text"
}

// rowHash implements [warehouse.Dialect.RowHash].
func rowHash(cols []string) string { return "md5(" + row(cols) + ")" }

// checksum implements [warehouse.Dialect.Checksum]: count and sum of 64-bit hashes.
// A sum sees a row that is there twice; an exclusive or would not.
func checksum(cols []string) string {
	return "CASE WHEN count(*) = 0 THEN '0' ELSE count(*)::text || '-' || sum(hashtextextended(" + row(cols) + ", 0))::text END"
}

// stableHash implements [warehouse.Dialect.StableHash].
func stableHash(cols []warehouse.Column) string {
	texts := make([]string, len(cols))
	for i, c := range cols {
		texts[i] = canonical(warehouse.Quote(c.Name), c.Type)
	}
	return "encode(sha256(convert_to(ROW(" + strings.Join(texts, ", ") + ")::text, 'UTF8')), 'hex')"
}
