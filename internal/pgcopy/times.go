package pgcopy

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// PostgreSQL counts from 2000-01-01.
const (
	epochDays   = 10957
	epochMicros = epochDays * 86400 * 1_000_000
	dayMillis   = 86400 * 1000
)

var (
	errPrecision = errors.New("a time finer than a microsecond, which PostgreSQL would cut off")
	errRange     = errors.New("a time outside PostgreSQL's range")
)

func planDate(t arrow.DataType) encodeFunc {
	switch t.ID() {
	case arrow.DATE32, arrow.DATE64:
	default:
		return nil
	}
	return func(a arrow.Array) valueFunc {
		switch c := a.(type) {
		case *array.Date32:
			return func(buf []byte, i int) ([]byte, error) { return appendDate(buf, int64(c.Value(i))) }
		case *array.Date64:
			return func(buf []byte, i int) ([]byte, error) {
				ms := int64(c.Value(i))
				if ms%dayMillis != 0 {
					return buf, errors.New("a date with a time of day")
				}
				return appendDate(buf, ms/dayMillis)
			}
		}
		return mismatch(a)
	}
}

// appendDate refuses the two values that mean infinity.
func appendDate(buf []byte, days int64) ([]byte, error) {
	days -= epochDays
	if days <= math.MinInt32 || days >= math.MaxInt32 {
		return buf, errRange
	}
	return binary.BigEndian.AppendUint32(buf, uint32(days)), nil
}

// micros converts v of unit to microseconds without loss.
func micros(v int64, unit arrow.TimeUnit) (int64, error) {
	switch unit {
	case arrow.Second:
		return times(v, 1_000_000)
	case arrow.Millisecond:
		return times(v, 1_000)
	case arrow.Microsecond:
		return v, nil
	default:
		if v%1_000 != 0 {
			return 0, errPrecision
		}
		return v / 1_000, nil
	}
}

func times(v, factor int64) (int64, error) {
	magnitude := uint64(v)
	if v < 0 {
		magnitude = -magnitude
	}
	if hi, lo := bits.Mul64(magnitude, uint64(factor)); hi != 0 || lo > math.MaxInt64 {
		return 0, errRange
	}
	return v * factor, nil
}

// planTimestamp keeps moments and wall clocks apart.
func planTimestamp(t arrow.DataType, zoned bool) encodeFunc {
	ts, ok := t.(*arrow.TimestampType)
	if !ok || (ts.TimeZone != "") != zoned {
		return nil
	}
	return func(a arrow.Array) valueFunc {
		c, ok := a.(*array.Timestamp)
		if !ok {
			return mismatch(a)
		}
		return func(buf []byte, i int) ([]byte, error) {
			us, err := micros(int64(c.Value(i)), ts.Unit)
			if err != nil {
				return buf, err
			}
			if us < math.MinInt64+epochMicros+1 || us == math.MaxInt64 {
				return buf, errRange
			}
			return binary.BigEndian.AppendUint64(buf, uint64(us-epochMicros)), nil
		}
	}
}

func planTime(t arrow.DataType) encodeFunc {
	switch t.(type) {
	case *arrow.Time32Type, *arrow.Time64Type:
	default:
		return nil
	}
	return func(a arrow.Array) valueFunc {
		var value func(i int) (int64, error)
		switch c := a.(type) {
		case *array.Time32:
			unit := c.DataType().(*arrow.Time32Type).Unit //nolint:forcetypeassert // the type of every Time32
			value = func(i int) (int64, error) { return micros(int64(c.Value(i)), unit) }
		case *array.Time64:
			unit := c.DataType().(*arrow.Time64Type).Unit //nolint:forcetypeassert // the type of every Time64
			value = func(i int) (int64, error) { return micros(int64(c.Value(i)), unit) }
		default:
			return mismatch(a)
		}
		return func(buf []byte, i int) ([]byte, error) {
			us, err := value(i)
			if err != nil {
				return buf, err
			}
			return binary.BigEndian.AppendUint64(buf, uint64(us)), nil
		}
	}
}

func planInterval(t arrow.DataType) encodeFunc {
	switch t.ID() {
	case arrow.INTERVAL_MONTHS, arrow.INTERVAL_DAY_TIME, arrow.INTERVAL_MONTH_DAY_NANO, arrow.DURATION:
	default:
		return nil
	}
	return func(a arrow.Array) valueFunc {
		switch c := a.(type) {
		case *array.MonthInterval:
			return func(buf []byte, i int) ([]byte, error) {
				return appendInterval(buf, int32(c.Value(i)), 0, 0), nil
			}
		case *array.DayTimeInterval:
			return func(buf []byte, i int) ([]byte, error) {
				v := c.Value(i)
				return appendInterval(buf, 0, v.Days, int64(v.Milliseconds)*1_000), nil
			}
		case *array.MonthDayNanoInterval:
			return func(buf []byte, i int) ([]byte, error) {
				v := c.Value(i)
				us, err := micros(v.Nanoseconds, arrow.Nanosecond)
				return appendInterval(buf, v.Months, v.Days, us), err
			}
		case *array.Duration:
			unit := c.DataType().(*arrow.DurationType).Unit //nolint:forcetypeassert // the type of every Duration
			return func(buf []byte, i int) ([]byte, error) {
				us, err := micros(int64(c.Value(i)), unit)
				return appendInterval(buf, 0, 0, us), err
			}
		}
		return mismatch(a)
	}
}

func appendInterval(buf []byte, months, days int32, us int64) []byte {
	buf = binary.BigEndian.AppendUint64(buf, uint64(us))
	buf = binary.BigEndian.AppendUint32(buf, uint32(days))
	return binary.BigEndian.AppendUint32(buf, uint32(months))
}
