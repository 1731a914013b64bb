package postgres

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// decoder turns the binary form of one type into Arrow values.
type decoder struct {
	typ     arrow.DataType
	refined string // value of scan.TypeKey
	width   int    // bytes of a value; 0: any
	bind    func(array.Builder) func([]byte) error
	// check tells whether a value of the right width has a place in typ, before
	// any column of its row is appended: builders cannot go back. nil: all have.
	check   func([]byte) error
	special string // "null": what check refuses becomes NULL
}

// PostgreSQL counts from 2000-01-01.
const (
	epochDays   = 10957
	epochMicros = epochDays * 86400 * 1_000_000
)

var (
	errInfinite = errors.New("an infinite date or time, which has no place in a calendar: expected a finite one, or infinity: null")
	errRange    = errors.New("a time that is out of range: expected one before the year 294247")
	errInterval = errors.New("an interval that is out of range: expected hours of less than 292 years")
	errNaN      = errors.New("NaN or infinity, which no decimal holds: expected a number, or nan: null")
)

func textDecoder(refined string) decoder {
	return decoder{typ: arrow.BinaryTypes.String, refined: refined, bind: bindText}
}

// bindTo makes a bind function of one that appends to a builder of type B.
func bindTo[B array.Builder](add func(B, []byte)) func(array.Builder) func([]byte) error {
	return func(b array.Builder) func([]byte) error {
		typed, ok := b.(B)
		return func(v []byte) error {
			if !ok {
				return fmt.Errorf("decode into %T", b)
			}
			add(typed, v)
			return nil
		}
	}
}

func bindBool(b array.Builder) func([]byte) error {
	return bindTo(func(b *array.BooleanBuilder, v []byte) { b.Append(v[0] != 0) })(b)
}

func bindInt16(b array.Builder) func([]byte) error {
	return bindTo(func(b *array.Int16Builder, v []byte) { b.Append(int16(binary.BigEndian.Uint16(v))) })(b)
}

func bindInt32(b array.Builder) func([]byte) error {
	return bindTo(func(b *array.Int32Builder, v []byte) { b.Append(int32(binary.BigEndian.Uint32(v))) })(b)
}

func bindInt64(b array.Builder) func([]byte) error {
	return bindTo(func(b *array.Int64Builder, v []byte) { b.Append(int64(binary.BigEndian.Uint64(v))) })(b)
}

func bindFloat32(b array.Builder) func([]byte) error {
	return bindTo(func(b *array.Float32Builder, v []byte) { b.Append(math.Float32frombits(binary.BigEndian.Uint32(v))) })(b)
}

func bindFloat64(b array.Builder) func([]byte) error {
	return bindTo(func(b *array.Float64Builder, v []byte) { b.Append(math.Float64frombits(binary.BigEndian.Uint64(v))) })(b)
}

func bindBinary(b array.Builder) func([]byte) error {
	return bindTo(func(b *array.BinaryBuilder, v []byte) { b.Append(v) })(b)
}

func bindText(b array.Builder) func([]byte) error {
	return bindTo(func(b *array.StringBuilder, v []byte) { b.BinaryBuilder.Append(v) })(b)
}

func bindJSONB(b array.Builder) func([]byte) error {
	add := bindText(b)
	return func(v []byte) error {
		if len(v) == 0 || v[0] != 1 {
			return errors.New("jsonb of an unknown version")
		}
		return add(v[1:])
	}
}

func bindUUID(b array.Builder) func([]byte) error {
	return bindTo(func(b *array.StringBuilder, v []byte) {
		var text [36]byte
		hex.Encode(text[:8], v[:4])
		hex.Encode(text[9:13], v[4:6])
		hex.Encode(text[14:18], v[6:8])
		hex.Encode(text[19:23], v[8:10])
		hex.Encode(text[24:], v[10:])
		text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
		b.BinaryBuilder.Append(text[:])
	})(b)
}

func checkDate(v []byte) error {
	if d := int32(binary.BigEndian.Uint32(v)); d == math.MaxInt32 || d == math.MinInt32 {
		return errInfinite
	} else if d > math.MaxInt32-epochDays {
		return errRange
	}
	return nil
}

func bindDate(b array.Builder) func([]byte) error {
	return bindTo(func(b *array.Date32Builder, v []byte) {
		b.Append(arrow.Date32(int32(binary.BigEndian.Uint32(v)) + epochDays))
	})(b)
}

func bindTime(b array.Builder) func([]byte) error {
	return bindTo(func(b *array.Time64Builder, v []byte) { b.Append(arrow.Time64(binary.BigEndian.Uint64(v))) })(b)
}

func checkTimestamp(v []byte) error {
	us := int64(binary.BigEndian.Uint64(v))
	if us == math.MaxInt64 || us == math.MinInt64 {
		return errInfinite
	}
	// The largest int64 means infinity to those who read on.
	if us >= math.MaxInt64-epochMicros {
		return errRange
	}
	return nil
}

func bindTimestamp(b array.Builder) func([]byte) error {
	return bindTo(func(b *array.TimestampBuilder, v []byte) {
		b.Append(arrow.Timestamp(int64(binary.BigEndian.Uint64(v)) + epochMicros))
	})(b)
}

func checkInterval(v []byte) error {
	if us := int64(binary.BigEndian.Uint64(v)); us > math.MaxInt64/1000 || us < math.MinInt64/1000 {
		return errInterval
	}
	return nil
}

func bindInterval(b array.Builder) func([]byte) error {
	return bindTo(func(b *array.MonthDayNanoIntervalBuilder, v []byte) {
		b.Append(arrow.MonthDayNanoInterval{
			Nanoseconds: int64(binary.BigEndian.Uint64(v)) * 1000,
			Days:        int32(binary.BigEndian.Uint32(v[8:])),
			Months:      int32(binary.BigEndian.Uint32(v[12:])),
		})
	})(b)
}
