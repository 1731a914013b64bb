package postgres

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/jackc/pgx/v5/pgtype"
)

// PostgreSQL counts from 2000-01-01.
const (
	epochDays   = 10957
	epochMicros = epochDays * 86400 * 1_000_000
)

var (
	errInfinite = errors.New("infinity, which has no place in a calendar: cast it to text")
	errRange    = errors.New("a time out of range: cast it to text")
)

func planTimeType(oid uint32) column {
	switch oid {
	case pgtype.DateOID:
		return binaryColumn(arrow.FixedWidthTypes.Date32, 4, appendDate)
	case pgtype.TimeOID:
		return binaryColumn(arrow.FixedWidthTypes.Time64us, 8, func(b *array.Time64Builder, v []byte) error {
			b.Append(arrow.Time64(binary.BigEndian.Uint64(v)))
			return nil
		})
	case pgtype.TimestampOID:
		return binaryColumn(&arrow.TimestampType{Unit: arrow.Microsecond}, 8, appendTimestamp)
	case pgtype.TimestamptzOID:
		return binaryColumn(&arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, 8, appendTimestamp)
	case pgtype.IntervalOID:
		return binaryColumn(arrow.FixedWidthTypes.MonthDayNanoInterval, 16, appendInterval)
	}
	return textColumn("")
}

func appendDate(b *array.Date32Builder, v []byte) error {
	days := int32(binary.BigEndian.Uint32(v))
	switch {
	case days == math.MaxInt32 || days == math.MinInt32:
		return errInfinite
	case days > math.MaxInt32-epochDays:
		return errRange
	}
	b.Append(arrow.Date32(days + epochDays))
	return nil
}

func appendTimestamp(b *array.TimestampBuilder, v []byte) error {
	us := int64(binary.BigEndian.Uint64(v))
	switch {
	case us == math.MaxInt64 || us == math.MinInt64:
		return errInfinite
	case us > math.MaxInt64-epochMicros:
		return errRange
	}
	b.Append(arrow.Timestamp(us + epochMicros))
	return nil
}

func appendInterval(b *array.MonthDayNanoIntervalBuilder, v []byte) error {
	us := int64(binary.BigEndian.Uint64(v))
	if us > math.MaxInt64/1000 || us < math.MinInt64/1000 {
		return errRange
	}
	b.Append(arrow.MonthDayNanoInterval{
		Nanoseconds: us * 1000,
		Days:        int32(binary.BigEndian.Uint32(v[8:])),
		Months:      int32(binary.BigEndian.Uint32(v[12:])),
	})
	return nil
}
