package rows

import (
	"encoding/hex"
	"encoding/json"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// JSON returns column i as a value for [encoding/json] that loses nothing: NULL
// is nil, numbers keep every digit, booleans are booleans, lists and structs are
// lists and objects. Bytes are lower-case hex; what JSON has no form for, such
// as a time or NaN, is text.
func (r Row) JSON(i int) any {
	if r.Null(i) {
		return nil
	}
	switch c := r.batch.Column(i).(type) {
	case *array.Boolean:
		return c.Value(r.index)
	case *array.Uint64:
		return c.Value(r.index)
	case *array.Int64, *array.Int32, *array.Int16, *array.Int8, *array.Uint32, *array.Uint16, *array.Uint8:
		return r.Int(i)
	case *array.Float64:
		if v := c.Value(r.index); !math.IsNaN(v) && !math.IsInf(v, 0) {
			return v
		}
	case *array.Float32:
		if v := c.Value(r.index); !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0) {
			return v
		}
	case *array.Decimal128:
		return json.Number(r.String(i))
	case *array.Decimal256:
		typ, _ := c.DataType().(*arrow.Decimal256Type)
		return json.Number(c.Value(r.index).ToString(typ.Scale))
	case *array.Binary:
		return hex.EncodeToString(c.Value(r.index))
	case array.ListLike, *array.Struct:
		return c.GetOneForMarshal(r.index)
	}
	return r.String(i)
}
