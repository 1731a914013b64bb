package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"elt/internal/scan"
)

// column is how a column of a result becomes Arrow.
type column struct {
	field  arrow.Field
	format int16 // of the wire: 0 text, 1 binary
	append appendFunc
}

// appendFunc appends one value that is not NULL, in the format of its column.
type appendFunc func(b array.Builder, value []byte) error

const (
	textFormat   = 0
	binaryFormat = 1
)

// planField returns the Arrow form of a column. Types without a form of their own
// are texts, as the server prints them.
func planField(f pgconn.FieldDescription) column {
	c := planType(f)
	c.field.Name, c.field.Nullable = f.Name, true
	return c
}

func planType(f pgconn.FieldDescription) column {
	switch f.DataTypeOID {
	case pgtype.BoolOID:
		return binaryColumn(arrow.FixedWidthTypes.Boolean, 1, func(b *array.BooleanBuilder, v []byte) error {
			b.Append(v[0] != 0)
			return nil
		})
	case pgtype.Int2OID:
		return binaryColumn(arrow.PrimitiveTypes.Int16, 2, func(b *array.Int16Builder, v []byte) error {
			b.Append(int16(binary.BigEndian.Uint16(v)))
			return nil
		})
	case pgtype.Int4OID:
		return binaryColumn(arrow.PrimitiveTypes.Int32, 4, func(b *array.Int32Builder, v []byte) error {
			b.Append(int32(binary.BigEndian.Uint32(v)))
			return nil
		})
	case pgtype.Int8OID:
		return binaryColumn(arrow.PrimitiveTypes.Int64, 8, func(b *array.Int64Builder, v []byte) error {
			b.Append(int64(binary.BigEndian.Uint64(v)))
			return nil
		})
	case pgtype.OIDOID:
		return binaryColumn(arrow.PrimitiveTypes.Int64, 4, func(b *array.Int64Builder, v []byte) error {
			b.Append(int64(binary.BigEndian.Uint32(v)))
			return nil
		})
	case pgtype.Float4OID:
		return binaryColumn(arrow.PrimitiveTypes.Float32, 4, func(b *array.Float32Builder, v []byte) error {
			b.Append(math.Float32frombits(binary.BigEndian.Uint32(v)))
			return nil
		})
	case pgtype.Float8OID:
		return binaryColumn(arrow.PrimitiveTypes.Float64, 8, func(b *array.Float64Builder, v []byte) error {
			b.Append(math.Float64frombits(binary.BigEndian.Uint64(v)))
			return nil
		})
	case pgtype.ByteaOID:
		return binaryColumn(arrow.BinaryTypes.Binary, -1, func(b *array.BinaryBuilder, v []byte) error {
			b.Append(v)
			return nil
		})
	case pgtype.NumericOID:
		return planNumeric(f.TypeModifier)
	case pgtype.UUIDOID:
		return textColumn(scan.TypeUUID)
	case pgtype.JSONOID, pgtype.JSONBOID:
		return textColumn(scan.TypeJSON)
	}
	return planTimeType(f.DataTypeOID)
}

func textColumn(refined string) column {
	c := column{format: textFormat, append: typed(-1, func(b *array.StringBuilder, v []byte) error {
		b.BinaryBuilder.Append(v)
		return nil
	})}
	c.field.Type = arrow.BinaryTypes.String
	if refined != "" {
		c.field.Metadata = arrow.NewMetadata([]string{scan.TypeKey}, []string{refined})
	}
	return c
}

func binaryColumn[B array.Builder](t arrow.DataType, width int, add func(B, []byte) error) column {
	return column{field: arrow.Field{Type: t}, format: binaryFormat, append: typed(width, add)}
}

// typed checks builder and width of a value, which is what the wire could get wrong.
func typed[B array.Builder](width int, add func(B, []byte) error) appendFunc {
	return func(b array.Builder, v []byte) error {
		own, ok := b.(B)
		if !ok {
			return fmt.Errorf("unexpected builder %T", b)
		}
		if width >= 0 && len(v) != width {
			return fmt.Errorf("a value of %d bytes, expected %d", len(v), width)
		}
		return add(own, v)
	}
}

const (
	maxDecimal = 38 // digits of a decimal128
	modHeader  = 4  // what PostgreSQL adds to the modifier of numeric
)

// planNumeric makes decimals of numeric(p,s) and texts of all other numerics,
// which have no scale of their own.
func planNumeric(mod int32) column {
	if mod < modHeader {
		return textColumn("")
	}
	precision := (mod - modHeader) >> 16 & 0xffff
	scale := (mod-modHeader)&0x7ff ^ 1024 - 1024 // 11 bits with sign
	if scale < 0 {
		precision, scale = precision-scale, 0
	}
	precision = max(precision, scale)
	if precision > maxDecimal {
		return textColumn("")
	}
	t := &arrow.Decimal128Type{Precision: precision, Scale: scale}
	return binaryColumn(t, -1, func(b *array.Decimal128Builder, v []byte) error {
		n, err := decodeNumeric(v, int(scale))
		if err != nil {
			return err
		}
		b.Append(n)
		return nil
	})
}

var (
	errNumeric = errors.New("a damaged numeric")
	errDigits  = errors.New("a numeric of more digits than its column holds")
)

// decodeNumeric reads ndigits, weight, sign, dscale and digits in base 10000, and
// returns the number times 10^scale.
func decodeNumeric(v []byte, scale int) (decimal128.Num, error) {
	const negative = 0x4000
	if len(v) < 8 {
		return decimal128.Num{}, errNumeric
	}
	n := int(binary.BigEndian.Uint16(v))
	weight := int(int16(binary.BigEndian.Uint16(v[2:])))
	sign := binary.BigEndian.Uint16(v[4:])
	if sign > negative {
		return decimal128.Num{}, errors.New("NaN or infinity, which no decimal holds: cast it to text or to double precision")
	}
	if len(v) != 8+2*n {
		return decimal128.Num{}, errNumeric
	}
	var hi, lo uint64
	ok := true
	for i := range n {
		digit := uint64(binary.BigEndian.Uint16(v[8+2*i:]))
		if digit > 9999 {
			return decimal128.Num{}, errNumeric
		}
		hi, lo, ok = mulAdd(hi, lo, 10000, digit, ok)
	}
	exponent := 4*(weight-n+1) + scale
	for ; exponent > 0 && hi|lo != 0 && ok; exponent-- {
		hi, lo, ok = mulAdd(hi, lo, 10, 0, ok)
	}
	for ; exponent < 0 && hi|lo != 0 && ok; exponent++ {
		var rest uint64
		high := hi / 10
		lo, rest = bits.Div64(hi%10, lo, 10)
		hi = high
		ok = ok && rest == 0
	}
	if !ok || hi > math.MaxInt64 {
		return decimal128.Num{}, errDigits
	}
	num := decimal128.New(int64(hi), lo)
	if sign == negative {
		num = num.Negate()
	}
	return num, nil
}

// mulAdd is (hi, lo)·factor + add; ok turns false when that overflows.
func mulAdd(hi, lo, factor, add uint64, ok bool) (uint64, uint64, bool) {
	carry, low := bits.Mul64(lo, factor)
	over, high := bits.Mul64(hi, factor)
	high, c := bits.Add64(high, carry, 0)
	low, c2 := bits.Add64(low, add, 0)
	high, c3 := bits.Add64(high, 0, c2)
	return high, low, ok && over == 0 && c == 0 && c3 == 0
}
