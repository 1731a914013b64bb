package pgcopy

import (
	"errors"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/jackc/pgx/v5/pgtype"
)

// planColumn returns the encoding of Arrow type t into column c.
func planColumn(t arrow.DataType, c Column) (encodeFunc, error) {
	switch t := t.(type) {
	case *arrow.DictionaryType:
		return planDictionary(t, c)
	case arrow.ExtensionType:
		enc, err := planColumn(t.StorageType(), c)
		if err != nil {
			return nil, err
		}
		return func(a arrow.Array) valueFunc {
			if ext, ok := a.(array.ExtensionArray); ok {
				a = ext.Storage()
			}
			return enc(a)
		}, nil
	}
	if t.ID() == arrow.NULL {
		return func(arrow.Array) valueFunc {
			return func(buf []byte, _ int) ([]byte, error) { return buf, errors.New("a value of type null") }
		}, nil
	}
	var enc encodeFunc
	switch {
	case c.Text:
		enc = planText(t)
	default:
		enc = planOID(t, c)
	}
	if enc == nil {
		return nil, fmt.Errorf("%s does not go into a column of type %s without loss", t, c.Type)
	}
	return enc, nil
}

func planOID(t arrow.DataType, c Column) encodeFunc {
	switch c.OID {
	case pgtype.BoolOID:
		return planBool(t)
	case pgtype.Int2OID:
		return planInt(t, 2, math.MinInt16, math.MaxInt16)
	case pgtype.Int4OID:
		return planInt(t, 4, math.MinInt32, math.MaxInt32)
	case pgtype.Int8OID:
		return planInt(t, 8, math.MinInt64, math.MaxInt64)
	case pgtype.Float4OID:
		return planFloat4(t)
	case pgtype.Float8OID:
		return planFloat8(t)
	case pgtype.NumericOID:
		return planNumeric(t, numericScale(c.Mod))
	case pgtype.TextOID, pgtype.VarcharOID, pgtype.BPCharOID, pgtype.JSONOID:
		if enc := planText(t); enc != nil {
			return enc
		}
		return planNested(t)
	case pgtype.JSONBOID:
		enc := planText(t)
		if enc == nil {
			enc = planNested(t)
		}
		return prefixed(enc, 1)
	case pgtype.UUIDOID:
		return planUUID(t)
	case pgtype.ByteaOID:
		return planBytes(t)
	case pgtype.DateOID:
		return planDate(t)
	case pgtype.TimeOID:
		return planTime(t)
	case pgtype.TimestampOID:
		return planTimestamp(t, false)
	case pgtype.TimestamptzOID:
		return planTimestamp(t, true)
	case pgtype.IntervalOID:
		return planInterval(t)
	}
	return nil
}

// numericScale is the scale of numeric(p,s) by its modifier; -1 for plain numeric.
func numericScale(mod int32) int32 {
	if mod < 4 {
		return -1
	}
	return max(0, (mod-4)&0x7ff^1024-1024) // 11 bits with sign
}

// prefixed puts one byte, the version of jsonb's binary form, before each value.
func prefixed(enc encodeFunc, prefix byte) encodeFunc {
	if enc == nil {
		return nil
	}
	return func(a arrow.Array) valueFunc {
		value := enc(a)
		return func(buf []byte, i int) ([]byte, error) { return value(append(buf, prefix), i) }
	}
}

func planDictionary(t *arrow.DictionaryType, c Column) (encodeFunc, error) {
	enc, err := planColumn(t.ValueType, c)
	if err != nil {
		return nil, err
	}
	return func(a arrow.Array) valueFunc {
		d, ok := a.(*array.Dictionary)
		if !ok {
			return mismatch(a)
		}
		values := d.Dictionary()
		value := enc(values)
		return func(buf []byte, i int) ([]byte, error) {
			return value(buf, d.GetValueIndex(i))
		}
	}, nil
}

// planNested writes lists, structs and maps as JSON.
func planNested(t arrow.DataType) encodeFunc {
	switch t.ID() {
	case arrow.LIST, arrow.LARGE_LIST, arrow.FIXED_SIZE_LIST, arrow.STRUCT, arrow.MAP:
		return nestedJSON
	}
	return nil
}

// mismatch reports an array that is not of the type that its schema says.
func mismatch(a arrow.Array) valueFunc {
	return func(buf []byte, _ int) ([]byte, error) {
		return buf, fmt.Errorf("unexpected array %T", a)
	}
}
