package postgres

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jackc/pgx/v5/pgtype"

	"elt/internal/scan"
)

// column is a column of a stream: how it is selected, and how it is decoded.
type column struct {
	found
	selected string // the expression in the COPY query
	printed  string // the type, as far as it decides how values are printed
	field    arrow.Field
	decoder
}

// quote makes an identifier of name.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal makes a string of s; COPY takes no parameters. It relies on
// standard_conforming_strings, which every connection sets.
func literal(s string) string { return `'` + strings.ReplaceAll(s, `'`, `''`) + `'` }

// plan decides how a column is read.
func plan(f found, o StreamOptions) column {
	c := column{found: f, selected: quote(f.Name)}
	switch {
	case f.Array:
		c.selected = fmt.Sprintf("pg_catalog.to_json(%s)::text", c.selected)
		c.decoder = textDecoder(scan.TypeJSON)
	default:
		known := false
		if c.decoder, known = decoderOf(f.OID, f.Mod, o); !known {
			c.selected += "::text"
			c.decoder = textDecoder("")
		}
	}
	c.field = arrow.Field{Name: f.Name, Type: c.decoder.typ, Nullable: true}
	if c.refined != "" {
		c.field.Metadata = arrow.NewMetadata([]string{scan.TypeKey}, []string{c.refined})
	}
	return c
}

// decoderOf returns how the binary form of a base type is decoded; false where
// the text that the server prints is read instead.
func decoderOf(oid uint32, mod int32, o StreamOptions) (decoder, bool) {
	switch oid {
	case pgtype.BoolOID:
		return decoder{typ: arrow.FixedWidthTypes.Boolean, width: 1, bind: bindBool}, true
	case pgtype.Int2OID:
		return decoder{typ: arrow.PrimitiveTypes.Int16, width: 2, bind: bindInt16}, true
	case pgtype.Int4OID:
		return decoder{typ: arrow.PrimitiveTypes.Int32, width: 4, bind: bindInt32}, true
	case pgtype.Int8OID:
		return decoder{typ: arrow.PrimitiveTypes.Int64, width: 8, bind: bindInt64}, true
	case pgtype.Float4OID:
		return decoder{typ: arrow.PrimitiveTypes.Float32, width: 4, bind: bindFloat32}, true
	case pgtype.Float8OID:
		return decoder{typ: arrow.PrimitiveTypes.Float64, width: 8, bind: bindFloat64}, true
	case pgtype.ByteaOID:
		return decoder{typ: arrow.BinaryTypes.Binary, bind: bindBinary}, true
	case pgtype.TextOID, pgtype.VarcharOID, pgtype.BPCharOID, pgtype.NameOID:
		return textDecoder(""), true
	case pgtype.JSONOID:
		return textDecoder(scan.TypeJSON), true
	case pgtype.JSONBOID:
		return decoder{typ: arrow.BinaryTypes.String, refined: scan.TypeJSON, bind: bindJSONB}, true
	case pgtype.UUIDOID:
		return decoder{typ: arrow.BinaryTypes.String, refined: scan.TypeUUID, width: 16, bind: bindUUID}, true
	case pgtype.DateOID:
		return decoder{typ: arrow.FixedWidthTypes.Date32, width: 4, bind: bindDate, check: checkDate, special: o.Infinity}, true
	case pgtype.TimeOID:
		return decoder{typ: arrow.FixedWidthTypes.Time64us, width: 8, bind: bindTime}, true
	case pgtype.TimestampOID:
		return decoder{typ: &arrow.TimestampType{Unit: arrow.Microsecond}, width: 8, bind: bindTimestamp, check: checkTimestamp, special: o.Infinity}, true
	case pgtype.TimestamptzOID:
		return decoder{typ: arrow.FixedWidthTypes.Timestamp_us, width: 8, bind: bindTimestamp, check: checkTimestamp, special: o.Infinity}, true
	case pgtype.IntervalOID:
		return decoder{typ: arrow.FixedWidthTypes.MonthDayNanoInterval, width: 16, bind: bindInterval, check: checkInterval, special: o.Infinity}, true
	case pgtype.NumericOID:
		return numericDecoder(mod, o)
	}
	return decoder{}, false
}

// numericDecoder takes a numeric whose digits fit a 128-bit decimal. Since
// PostgreSQL 15 a scale may be negative, or larger than the precision.
func numericDecoder(mod int32, o StreamOptions) (decoder, bool) {
	const header = 4
	if mod < header {
		return decoder{}, false
	}
	precision, scale := (mod-header)>>16&0xffff, ((mod-header)&0x7ff^1024)-1024
	if scale < 0 {
		precision, scale = precision-scale, 0
	}
	precision = max(precision, scale)
	if precision > 38 {
		return decoder{}, false
	}
	return decoder{
		typ:  &arrow.Decimal128Type{Precision: precision, Scale: scale},
		bind: bindDecimal(int(scale)), check: checkNumeric, special: o.NaN,
	}, true
}
