package rows_test

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"elt/internal/rows"
)

// A sum of bigints is a decimal; its last digit counts.
func TestIntOfADecimalIsExact(t *testing.T) {
	t.Parallel()
	schema := arrow.NewSchema([]arrow.Field{{Name: "a", Type: &arrow.Decimal128Type{Precision: 38}}, {Name: "b", Type: &arrow.Decimal128Type{Precision: 38, Scale: 2}}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	const want = 9007199254740993
	for i, n := range []int64{want, want * 100} {
		col, _ := b.Field(i).(*array.Decimal128Builder)
		col.Append(decimal128.FromI64(n))
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	r, err := array.NewRecordReader(schema, []arrow.RecordBatch{batch})
	if err != nil {
		t.Fatal(err)
	}
	err = rows.Each(r, func(row rows.Row) error {
		if row.Int(0) != want || row.Int(1) != want {
			t.Errorf("%d and %d, want %d", row.Int(0), row.Int(1), int64(want))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
