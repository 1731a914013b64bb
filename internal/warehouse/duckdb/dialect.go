package duckdb

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"elt/internal/scan"
	"elt/internal/warehouse"
)

func newDialect() *warehouse.Dialect {
	return &warehouse.Dialect{
		Name: "duckdb", NativeFiles: true, OneSnapshot: true, Scratch: scratch,
		ColumnType: columnType, Widen: widen, Canonical: canonical,
		RowHash: rowHash, Checksum: checksum, StableHash: stableHash,
	}
}

// columnType implements [warehouse.Dialect.ColumnType].
func columnType(f arrow.Field) (string, error) {
	if refined, ok := f.Metadata.GetValue(scan.TypeKey); ok {
		switch refined {
		case scan.TypeJSON:
			return "JSON", nil
		case scan.TypeUUID:
			return "UUID", nil
		}
	}
	switch t := f.Type.(type) {
	case *arrow.Decimal128Type:
		precision, scale := t.Precision, t.Scale
		if scale < 0 {
			precision, scale = precision-scale, 0
		}
		if precision = max(precision, scale, 1); precision > 38 {
			return "VARCHAR", nil
		}
		return fmt.Sprintf("DECIMAL(%d,%d)", precision, scale), nil
	case *arrow.TimestampType:
		if t.TimeZone == "" {
			return "TIMESTAMP", nil
		}
		return "TIMESTAMP WITH TIME ZONE", nil
	case *arrow.DictionaryType:
		return columnType(arrow.Field{Name: f.Name, Type: t.ValueType})
	case arrow.ExtensionType:
		switch t.ExtensionName() {
		case "arrow.uuid":
			return "UUID", nil
		case "arrow.json":
			return "JSON", nil
		}
		return columnType(arrow.Field{Name: f.Name, Type: t.StorageType()})
	}
	typ, ok := map[arrow.Type]string{
		arrow.NULL: "VARCHAR", arrow.BOOL: "BOOLEAN",
		arrow.INT8: "TINYINT", arrow.INT16: "SMALLINT", arrow.INT32: "INTEGER", arrow.INT64: "BIGINT",
		arrow.UINT8: "UTINYINT", arrow.UINT16: "USMALLINT", arrow.UINT32: "UINTEGER", arrow.UINT64: "UBIGINT",
		arrow.FLOAT32: "FLOAT", arrow.FLOAT64: "DOUBLE",
		arrow.STRING: "VARCHAR", arrow.LARGE_STRING: "VARCHAR", arrow.STRING_VIEW: "VARCHAR",
		arrow.BINARY: "BLOB", arrow.LARGE_BINARY: "BLOB", arrow.BINARY_VIEW: "BLOB", arrow.FIXED_SIZE_BINARY: "BLOB",
		arrow.DATE32: "DATE", arrow.DATE64: "DATE", arrow.TIME32: "TIME", arrow.TIME64: "TIME",
		arrow.INTERVAL_MONTHS: "INTERVAL", arrow.INTERVAL_MONTH_DAY_NANO: "INTERVAL", arrow.DURATION: "INTERVAL",
	}[f.Type.ID()]
	if !ok && f.Type.ID() == arrow.INTERVAL_DAY_TIME { // the engine takes its two halves for one number
		return "", fmt.Errorf("column %q: DuckDB misreads Arrow type %s; hand it over as month_day_nano_interval", f.Name, f.Type)
	}
	if !ok {
		return "", fmt.Errorf("column %q: Arrow type %s has no DuckDB column; hand it over as JSON text", f.Name, f.Type)
	}
	return typ, nil
}

var decimalOf = regexp.MustCompile(`^DECIMAL\((\d+),\s*(\d+)\)$`)

// number describes the exact numbers of a type: digits before and after the
// point, and whether negative ones are among them.
type number struct {
	whole, scale int
	unsigned     bool
	name         string
}

// integers are the whole types, in the order in which they are tried.
var integers = []number{
	{3, 0, false, "TINYINT"}, {3, 0, true, "UTINYINT"}, {5, 0, false, "SMALLINT"}, {5, 0, true, "USMALLINT"}, {10, 0, false, "INTEGER"},
	{10, 0, true, "UINTEGER"}, {19, 0, false, "BIGINT"}, {20, 0, true, "UBIGINT"}, {39, 0, false, "HUGEINT"},
}

func numberOf(typ string) (number, bool) {
	for _, n := range integers {
		if n.name == typ {
			return n, true
		}
	}
	if m := decimalOf.FindStringSubmatch(typ); m != nil {
		precision, _ := strconv.Atoi(m[1]) // digits by the pattern
		scale, _ := strconv.Atoi(m[2])
		return number{whole: precision - scale, scale: scale, name: typ}, true
	}
	return number{}, false
}

// widen implements [warehouse.Dialect.Widen].
func widen(a, b string) (string, bool) {
	a, b = strings.ToUpper(a), strings.ToUpper(b)
	if a == b {
		return a, true
	}
	if x, ok := numberOf(a); ok {
		if y, ok := numberOf(b); ok {
			return widenNumbers(x, y)
		}
	}
	for _, pair := range [][3]string{
		{"DATE", "TIMESTAMP", "TIMESTAMP"}, {"FLOAT", "DOUBLE", "DOUBLE"},
		// A double holds 53 bits exactly, a float 24.
		{"TINYINT", "DOUBLE", "DOUBLE"}, {"SMALLINT", "DOUBLE", "DOUBLE"}, {"INTEGER", "DOUBLE", "DOUBLE"},
		{"UTINYINT", "DOUBLE", "DOUBLE"}, {"USMALLINT", "DOUBLE", "DOUBLE"}, {"UINTEGER", "DOUBLE", "DOUBLE"},
		{"TINYINT", "FLOAT", "FLOAT"}, {"SMALLINT", "FLOAT", "FLOAT"}, {"INTEGER", "FLOAT", "DOUBLE"},
		{"UTINYINT", "FLOAT", "FLOAT"}, {"USMALLINT", "FLOAT", "FLOAT"}, {"UINTEGER", "FLOAT", "DOUBLE"},
		{"UUID", "VARCHAR", "VARCHAR"}, {"JSON", "VARCHAR", "VARCHAR"},
	} {
		if pair[0] == a && pair[1] == b || pair[0] == b && pair[1] == a {
			return pair[2], true
		}
	}
	return "", false
}

func widenNumbers(x, y number) (string, bool) {
	whole, scale := max(x.whole, y.whole), max(x.scale, y.scale)
	if scale == 0 && !decimalOf.MatchString(x.name) && !decimalOf.MatchString(y.name) {
		for _, n := range integers {
			if holds(n, x) && holds(n, y) {
				return n.name, true
			}
		}
		return "", false
	}
	if whole+scale > 38 {
		return "", false
	}
	return fmt.Sprintf("DECIMAL(%d,%d)", whole+scale, scale), true
}

// holds reports whether every value of x is one of n. Integer types of the same
// width and different sign do not hold each other.
func holds(n, x number) bool {
	switch {
	case n.name == x.name:
		return true
	case n.unsigned && !x.unsigned:
		return false
	default:
		return n.whole > x.whole
	}
}

// canonical implements [warehouse.Dialect.Canonical].
func canonical(expr, typ string) string {
	e := "(" + expr + ")"
	switch t := strings.ToUpper(typ); {
	case fraction(t):
		// Without digits before the point the engine writes no zero there.
		return `CASE WHEN ` + e + ` = 0 THEN '0' ELSE regexp_replace(rtrim(CAST(` + e + ` AS VARCHAR), '0'), '^(-?)\.', '\10.') END`
	case strings.HasPrefix(t, "DECIMAL"):
		text := "CAST(" + e + " AS VARCHAR)"
		return "CASE WHEN contains(" + text + ", '.') THEN rtrim(rtrim(" + text + ", '0'), '.') ELSE " + text + " END"
	case t == "FLOAT": // the engine does not print the shortest digits of these
		return canonical("CAST("+e+" AS DOUBLE)", "DOUBLE")
	case t == "DOUBLE":
		return `CASE WHEN isnan(` + e + `) THEN 'NaN' WHEN isinf(` + e + `) THEN CASE WHEN ` + e + ` > 0 THEN 'Infinity' ELSE '-Infinity' END` +
			` ELSE regexp_replace(CAST(` + e + ` + 0 AS VARCHAR), '\.0($|e)', '\1') END` // + 0: no negative zero
	case t == "TIMESTAMP WITH TIME ZONE", t == "TIMESTAMPTZ":
		return "CASE WHEN isfinite(" + e + ") THEN strftime(" + e + " AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M:%S.%f') || 'Z' ELSE CAST(" + e + " AS VARCHAR) END"
	case t == "TIMESTAMP":
		return "CASE WHEN isfinite(" + e + ") THEN strftime(" + e + ", '%Y-%m-%d %H:%M:%S.%f') ELSE CAST(" + e + " AS VARCHAR) END"
	case t == "TIME":
		return "CASE WHEN " + e + " = TIME '24:00:00' THEN '24:00:00.000000' ELSE strftime(DATE '2000-01-01' + " + e + ", '%H:%M:%S.%f') END"
	case t == "INTERVAL":
		part := func(field string) string { return "date_part('" + field + "', " + e + ")" }
		return "CAST(" + part("year") + " * 12 + " + part("month") + " AS VARCHAR) || ' months ' || CAST(" + part("day") + " AS VARCHAR) || ' days ' || CAST(" +
			part("hour") + " * 3600000000 + " + part("minute") + " * 60000000 + " + part("microsecond") + " AS VARCHAR) || ' us'"
	case t == "BLOB":
		return "lower(hex(" + e + "))"
	default:
		return "CAST(" + e + " AS VARCHAR)"
	}
}

// fraction reports whether a decimal type has no digits before its point.
func fraction(typ string) bool {
	m := decimalOf.FindStringSubmatch(typ)
	return m != nil && m[1] == m[2]
}

func list(cols []string) string {
	quoted := make([]string, len(cols))
	for i, c := range cols {
		quoted[i] = warehouse.Quote(c)
	}
	return strings.Join(quoted, ", ")
}

// rowHash implements [warehouse.Dialect.RowHash]: md5 over the texts of the values
// and the engine's own hash of the row. The engine's hash alone would not do: it
// has 64 bits a value and texts that collide are easily made. The texts alone
// would not either: where a value holds the separator they may run into each
// other, which the engine's hash tells apart.
func rowHash(cols []string) string {
	texts := make([]string, len(cols))
	for i, c := range cols {
		texts[i] = "coalesce(CAST(" + warehouse.Quote(c) + " AS VARCHAR), chr(0))"
	}
	return "md5(concat_ws(chr(31), hash(" + list(cols) + "), " + strings.Join(texts, ", ") + "))"
}

// checksum implements [warehouse.Dialect.Checksum]: count and sum of 64-bit
// hashes. A sum sees a row that is there twice; an exclusive or would not.
func checksum(cols []string) string {
	return "CASE WHEN count(*) = 0 THEN '0' ELSE CAST(count(*) AS VARCHAR) || '-' || CAST(sum(hash(" + list(cols) + ")) AS VARCHAR) END"
}

// stableHash implements [warehouse.Dialect.StableHash] over length-prefixed
// canonical texts, in which NULL is a dash.
func stableHash(cols []warehouse.Column) string {
	parts := make([]string, len(cols))
	for i, c := range cols {
		text := canonical(warehouse.Quote(c.Name), c.Type)
		parts[i] = "coalesce(CAST(strlen(" + text + ") AS VARCHAR) || ':' || " + text + ", '-')"
	}
	return "sha256(" + strings.Join(parts, " || ") + ")"
}
