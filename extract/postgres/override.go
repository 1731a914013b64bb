package postgres

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
)

// override reads f as another type: the server casts, so that a value that does
// not fit fails the read instead of arriving changed. A number with more digits
// than a decimal has goes to the quarantine, since the cast would round it. What
// the other type leaves out by its nature goes: the time of day of a date, and the
// digits that a float does not hold.
func override(f found, typ string, o StreamOptions) (column, error) {
	oid, mod, cast := uint32(0), int32(-1), ""
	var check func([]byte) error
	name, args, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(typ)), "(")
	switch strings.TrimSpace(name) {
	case "VARCHAR", "TEXT", "STRING":
		oid, cast = pgtype.TextOID, "text"
	case "SMALLINT", "INT2":
		oid, cast = pgtype.Int2OID, "smallint"
	case "INTEGER", "INT", "INT4":
		oid, cast = pgtype.Int4OID, "integer"
	case "BIGINT", "INT8":
		oid, cast = pgtype.Int8OID, "bigint"
	case "REAL", "FLOAT", "FLOAT4":
		oid, cast = pgtype.Float4OID, "real"
	case "DOUBLE", "DOUBLE PRECISION", "FLOAT8":
		oid, cast = pgtype.Float8OID, "double precision"
	case "BOOLEAN", "BOOL":
		oid, cast = pgtype.BoolOID, "boolean"
	case "DATE":
		oid, cast = pgtype.DateOID, "date"
	case "TIMESTAMP":
		oid, cast = pgtype.TimestampOID, "timestamp"
	case "TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE":
		oid, cast = pgtype.TimestamptzOID, "timestamptz"
	case "UUID":
		oid, cast = pgtype.UUIDOID, "uuid"
	case "JSON":
		oid, cast = pgtype.JSONOID, "json"
	case "DECIMAL", "NUMERIC":
		precision, scale, ok := decimalArgs(args)
		if ok {
			oid, mod = pgtype.NumericOID, int32(precision<<16|scale+4)
			cast, check = "numeric", checkDecimal(precision, scale)
		}
	}
	if oid == 0 {
		return column{}, fmt.Errorf("column %s: cannot be read as %q: expected VARCHAR, SMALLINT, INTEGER, BIGINT, REAL, DOUBLE, DECIMAL(p, s), BOOLEAN, DATE, TIMESTAMP, TIMESTAMPTZ, UUID or JSON", f.Name, typ)
	}
	fraction := mayHaveFraction(f)
	f.OID, f.Mod, f.Array, f.Kind = oid, mod, false, "b"
	c := plan(f, o)
	if check != nil {
		c.check = check
	}
	if fraction && family(f) == "integer" {
		// A cast would round; the text of a number with a fraction fails.
		c.selected = fmt.Sprintf("CASE WHEN trunc(%[1]s) = %[1]s THEN %[1]s::%[2]s ELSE %[1]s::text::%[2]s END", c.selected, cast)
		return c, nil
	}
	c.selected += "::" + cast
	return c, nil
}

func mayHaveFraction(f found) bool {
	return !f.Array && (f.OID == pgtype.NumericOID || f.OID == pgtype.Float4OID || f.OID == pgtype.Float8OID)
}

func decimalArgs(args string) (precision, scale int, ok bool) {
	p, s, _ := strings.Cut(strings.TrimSuffix(strings.TrimSpace(args), ")"), ",")
	precision, err := strconv.Atoi(strings.TrimSpace(p))
	if err != nil {
		return 0, 0, false
	}
	if s = strings.TrimSpace(s); s != "" {
		if scale, err = strconv.Atoi(s); err != nil {
			return 0, 0, false
		}
	}
	return precision, scale, precision >= 1 && precision <= 38 && scale >= 0 && scale <= precision
}
