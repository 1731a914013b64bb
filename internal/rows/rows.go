// Package rows reads small Arrow results row by row, for bookkeeping and checks.
// It is not for data on its way to a table: that stays in batches.
package rows

import (
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Row is one row of a result. It is valid only inside the callback that got it.
type Row struct {
	batch arrow.RecordBatch
	index int
}

// Each calls fn for every row of r and releases r. It returns fn's first error or r's own.
func Each(r array.RecordReader, fn func(Row) error) error {
	defer r.Release()
	for r.Next() {
		batch := r.RecordBatch()
		for i := range int(batch.NumRows()) {
			if err := fn(Row{batch: batch, index: i}); err != nil {
				return err
			}
		}
	}
	return r.Err()
}

// Len is the number of columns.
func (r Row) Len() int { return int(r.batch.NumCols()) }

// Name is the name of column i.
func (r Row) Name(i int) string { return r.batch.ColumnName(i) }

// Null reports whether column i is NULL.
func (r Row) Null(i int) bool { return r.batch.Column(i).IsNull(r.index) }

// String returns column i as text; "" for NULL. The text is a copy: the memory
// of a batch belongs to the engine and is gone with it.
func (r Row) String(i int) string {
	if r.Null(i) {
		return ""
	}
	switch c := r.batch.Column(i).(type) {
	case *array.String:
		return strings.Clone(c.Value(r.index))
	case *array.LargeString:
		return strings.Clone(c.Value(r.index))
	case *array.StringView:
		return strings.Clone(c.Value(r.index))
	case *array.Decimal128:
		typ, _ := c.DataType().(*arrow.Decimal128Type)
		return c.Value(r.index).ToString(typ.Scale)
	case *array.Binary:
		return string(c.Value(r.index))
	default:
		return c.ValueStr(r.index)
	}
}

// Bytes returns column i as String does; an empty one for NULL.
func (r Row) Bytes(i int) []byte {
	if c, ok := r.batch.Column(i).(*array.String); ok && c.IsValid(r.index) {
		return append(make([]byte, 0, c.ValueLen(r.index)), c.Value(r.index)...)
	}
	return []byte(r.String(i))
}

// Int returns column i as an integer; 0 for NULL. It panics with the column's
// type when that is no number, which is a mistake in the query.
func (r Row) Int(i int) int64 {
	if r.Null(i) {
		return 0
	}
	switch c := r.batch.Column(i).(type) {
	case *array.Int64:
		return c.Value(r.index)
	case *array.Int32:
		return int64(c.Value(r.index))
	case *array.Int16:
		return int64(c.Value(r.index))
	case *array.Int8:
		return int64(c.Value(r.index))
	case *array.Uint64:
		return int64(c.Value(r.index))
	case *array.Uint32:
		return int64(c.Value(r.index))
	case *array.Uint16:
		return int64(c.Value(r.index))
	case *array.Uint8:
		return int64(c.Value(r.index))
	case *array.Decimal128:
		typ, _ := c.DataType().(*arrow.Decimal128Type)
		whole := c.Value(r.index).BigInt()
		return whole.Quo(whole, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(typ.Scale)), nil)).Int64()
	default:
		panic(fmt.Sprintf("rows: column %q is %s, not an integer", r.Name(i), c.DataType()))
	}
}

// Float returns column i as a float; 0 for NULL. Integers are converted.
func (r Row) Float(i int) float64 {
	if r.Null(i) {
		return 0
	}
	switch c := r.batch.Column(i).(type) {
	case *array.Float64:
		return c.Value(r.index)
	case *array.Float32:
		return float64(c.Value(r.index))
	case *array.Decimal128:
		typ, _ := c.DataType().(*arrow.Decimal128Type)
		return c.Value(r.index).ToFloat64(typ.Scale)
	default:
		return float64(r.Int(i))
	}
}

// Bool returns column i as a boolean; false for NULL.
func (r Row) Bool(i int) bool {
	if r.Null(i) {
		return false
	}
	c, ok := r.batch.Column(i).(*array.Boolean)
	return ok && c.Value(r.index)
}

// Time returns column i as a UTC time; the zero time for NULL. Dates are
// midnight UTC; a timestamp without zone is taken as UTC.
func (r Row) Time(i int) time.Time {
	if r.Null(i) {
		return time.Time{}
	}
	switch c := r.batch.Column(i).(type) {
	case *array.Timestamp:
		typ, _ := c.DataType().(*arrow.TimestampType)
		return c.Value(r.index).ToTime(typ.Unit).UTC()
	case *array.Date32:
		return c.Value(r.index).ToTime().UTC()
	case *array.Date64:
		return c.Value(r.index).ToTime().UTC()
	default:
		panic(fmt.Sprintf("rows: column %q is %s, not a time", r.Name(i), c.DataType()))
	}
}
