package pgcopy

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

var (
	errNUL  = errors.New("text with a NUL byte, which PostgreSQL cannot store")
	errUTF8 = errors.New("text that is not valid UTF-8")
)

func planBool(t arrow.DataType) encodeFunc {
	if t.ID() != arrow.BOOL {
		return nil
	}
	return func(a arrow.Array) valueFunc {
		c, ok := a.(*array.Boolean)
		if !ok {
			return mismatch(a)
		}
		return func(buf []byte, i int) ([]byte, error) {
			if c.Value(i) {
				return append(buf, 1), nil
			}
			return append(buf, 0), nil
		}
	}
}

// integers returns a reader of the values of an integer array, or nil.
// An unsigned value above the signed range is told by ok.
func integers(a arrow.Array) func(i int) (v int64, ok bool) {
	switch c := a.(type) {
	case *array.Int8:
		return func(i int) (int64, bool) { return int64(c.Value(i)), true }
	case *array.Int16:
		return func(i int) (int64, bool) { return int64(c.Value(i)), true }
	case *array.Int32:
		return func(i int) (int64, bool) { return int64(c.Value(i)), true }
	case *array.Int64:
		return func(i int) (int64, bool) { return c.Value(i), true }
	case *array.Uint8:
		return func(i int) (int64, bool) { return int64(c.Value(i)), true }
	case *array.Uint16:
		return func(i int) (int64, bool) { return int64(c.Value(i)), true }
	case *array.Uint32:
		return func(i int) (int64, bool) { return int64(c.Value(i)), true }
	case *array.Uint64:
		return func(i int) (int64, bool) { return int64(c.Value(i)), c.Value(i) <= math.MaxInt64 }
	}
	return nil
}

func planInt(t arrow.DataType, width int, lowest, highest int64) encodeFunc {
	if !arrow.IsInteger(t.ID()) {
		return nil
	}
	return func(a arrow.Array) valueFunc {
		value := integers(a)
		if value == nil {
			return mismatch(a)
		}
		return func(buf []byte, i int) ([]byte, error) {
			v, ok := value(i)
			if !ok || v < lowest || v > highest {
				return buf, fmt.Errorf("%s does not fit into %d bytes", a.ValueStr(i), width)
			}
			switch width {
			case 2:
				return binary.BigEndian.AppendUint16(buf, uint16(v)), nil
			case 4:
				return binary.BigEndian.AppendUint32(buf, uint32(v)), nil
			default:
				return binary.BigEndian.AppendUint64(buf, uint64(v)), nil
			}
		}
	}
}

func planFloat4(t arrow.DataType) encodeFunc {
	switch t.ID() {
	case arrow.FLOAT32, arrow.FLOAT16:
	default:
		return nil
	}
	return func(a arrow.Array) valueFunc {
		value := floats(a)
		if value == nil {
			return mismatch(a)
		}
		return func(buf []byte, i int) ([]byte, error) {
			return binary.BigEndian.AppendUint32(buf, math.Float32bits(float32(value(i)))), nil
		}
	}
}

// planFloat8 takes integers that a double holds exactly, too.
func planFloat8(t arrow.DataType) encodeFunc {
	if !arrow.IsFloating(t.ID()) && !(arrow.IsInteger(t.ID()) && bitWidth(t) <= 32) {
		return nil
	}
	return func(a arrow.Array) valueFunc {
		value := floats(a)
		if value == nil {
			return mismatch(a)
		}
		return func(buf []byte, i int) ([]byte, error) {
			return binary.BigEndian.AppendUint64(buf, math.Float64bits(value(i))), nil
		}
	}
}

func bitWidth(t arrow.DataType) int {
	if f, ok := t.(arrow.FixedWidthDataType); ok {
		return f.BitWidth()
	}
	return 0
}

func floats(a arrow.Array) func(i int) float64 {
	switch c := a.(type) {
	case *array.Float16:
		return func(i int) float64 { return float64(c.Value(i).Float32()) }
	case *array.Float32:
		return func(i int) float64 { return float64(c.Value(i)) }
	case *array.Float64:
		return func(i int) float64 { return c.Value(i) }
	}
	if value := integers(a); value != nil {
		return func(i int) float64 { v, _ := value(i); return float64(v) }
	}
	return nil
}

func planNumeric(t arrow.DataType, maxScale int32) encodeFunc {
	switch t := t.(type) {
	case *arrow.Decimal128Type:
		return func(a arrow.Array) valueFunc {
			c, ok := a.(*array.Decimal128)
			if !ok {
				return mismatch(a)
			}
			return func(buf []byte, i int) ([]byte, error) {
				return appendDecimal128(buf, c.Value(i), t.Scale, maxScale)
			}
		}
	case *arrow.Decimal256Type:
		return func(a arrow.Array) valueFunc {
			c, ok := a.(*array.Decimal256)
			if !ok {
				return mismatch(a)
			}
			return func(buf []byte, i int) ([]byte, error) {
				return appendDecimal256(buf, c.Value(i), t.Scale, maxScale)
			}
		}
	}
	if !arrow.IsInteger(t.ID()) {
		return nil
	}
	return func(a arrow.Array) valueFunc {
		if c, ok := a.(*array.Uint64); ok {
			return func(buf []byte, i int) ([]byte, error) { return appendUint(buf, c.Value(i), maxScale) }
		}
		value := integers(a)
		if value == nil {
			return mismatch(a)
		}
		return func(buf []byte, i int) ([]byte, error) {
			v, _ := value(i)
			return appendInt(buf, v, maxScale)
		}
	}
}

// planText takes texts, and the texts of integers and booleans.
func planText(t arrow.DataType) encodeFunc {
	switch t.ID() {
	case arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW:
		return func(a arrow.Array) valueFunc {
			value := texts(a)
			if value == nil {
				return mismatch(a)
			}
			return func(buf []byte, i int) ([]byte, error) { return appendText(buf, value(i)) }
		}
	case arrow.BOOL:
		return func(a arrow.Array) valueFunc {
			return func(buf []byte, i int) ([]byte, error) { return append(buf, a.ValueStr(i)...), nil }
		}
	}
	if !arrow.IsInteger(t.ID()) {
		return nil
	}
	return func(a arrow.Array) valueFunc {
		return func(buf []byte, i int) ([]byte, error) { return append(buf, a.ValueStr(i)...), nil }
	}
}

func texts(a arrow.Array) func(i int) string {
	switch c := a.(type) {
	case *array.String:
		return c.Value
	case *array.LargeString:
		return c.Value
	case *array.StringView:
		return c.Value
	}
	return nil
}

func appendText(buf []byte, s string) ([]byte, error) {
	at := len(buf)
	buf = append(buf, s...)
	if bytes.IndexByte(buf[at:], 0) >= 0 {
		return buf, errNUL
	}
	if !utf8.Valid(buf[at:]) {
		return buf, errUTF8
	}
	return buf, nil
}

func nestedJSON(a arrow.Array) valueFunc {
	return func(buf []byte, i int) ([]byte, error) {
		text, err := json.Marshal(a.GetOneForMarshal(i))
		if err != nil {
			return buf, err
		}
		return append(buf, text...), nil
	}
}

func planUUID(t arrow.DataType) encodeFunc {
	if fixed, ok := t.(*arrow.FixedSizeBinaryType); ok && fixed.ByteWidth == 16 {
		return planBytes(t)
	}
	if !arrow.IsBaseBinary(t.ID()) && t.ID() != arrow.STRING_VIEW {
		return nil
	}
	return func(a arrow.Array) valueFunc {
		value := texts(a)
		if value == nil {
			return mismatch(a)
		}
		return func(buf []byte, i int) ([]byte, error) { return appendUUID(buf, value(i)) }
	}
}

// appendUUID takes 32 hexadecimal digits, with hyphens anywhere and optional braces.
func appendUUID(buf []byte, s string) ([]byte, error) {
	var digits [32]byte
	n := 0
	text := s
	if len(s) >= 2 && s[0] == '{' && s[len(s)-1] == '}' {
		text = s[1 : len(s)-1]
	}
	for i := range len(text) {
		if text[i] == '-' {
			continue
		}
		if n == len(digits) {
			return buf, fmt.Errorf("%s is no UUID", strconv.Quote(s))
		}
		digits[n] = text[i]
		n++
	}
	out, err := hex.AppendDecode(buf, digits[:n])
	if err != nil || n != len(digits) {
		return buf, fmt.Errorf("%s is no UUID", strconv.Quote(s))
	}
	return out, nil
}

func planBytes(t arrow.DataType) encodeFunc {
	switch t.ID() {
	case arrow.BINARY, arrow.LARGE_BINARY, arrow.BINARY_VIEW, arrow.FIXED_SIZE_BINARY:
	default:
		return nil
	}
	return func(a arrow.Array) valueFunc {
		c, ok := a.(interface{ Value(i int) []byte })
		if !ok {
			return mismatch(a)
		}
		return func(buf []byte, i int) ([]byte, error) { return append(buf, c.Value(i)...), nil }
	}
}
