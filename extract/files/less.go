package files

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// lesser hands out some columns and the first rows of a reader, which it owns.
type lesser struct {
	array.RecordReader
	schema *arrow.Schema
	at     []int
	left   int64 // negative: no bound
	batch  arrow.RecordBatch
	refs   int
}

func less(r array.RecordReader, columns []string, limit int64) (array.RecordReader, error) {
	l := &lesser{RecordReader: r, schema: r.Schema(), left: limit, refs: 1}
	if limit == 0 {
		l.left = -1
	}
	if len(columns) == 0 {
		for i := range r.Schema().NumFields() {
			l.at = append(l.at, i)
		}
		return l, nil
	}
	var fields []arrow.Field
	for _, name := range columns {
		at := r.Schema().FieldIndices(name)
		if len(at) == 0 {
			r.Release()
			return nil, fmt.Errorf("the files have no column %q", name)
		}
		l.at = append(l.at, at[0])
		fields = append(fields, r.Schema().Field(at[0]))
	}
	l.schema = arrow.NewSchema(fields, nil)
	return l, nil
}

func (l *lesser) Schema() *arrow.Schema { return l.schema }

func (l *lesser) Next() bool {
	l.drop()
	if l.left == 0 || !l.RecordReader.Next() {
		return false
	}
	b := l.RecordReader.RecordBatch()
	n := b.NumRows()
	if l.left > 0 {
		n = min(n, l.left)
		l.left -= n
	}
	cols := make([]arrow.Array, len(l.at))
	for i, at := range l.at {
		cols[i] = array.NewSlice(b.Column(at), 0, n)
		defer cols[i].Release()
	}
	l.batch = array.NewRecordBatch(l.schema, cols, n)
	return true
}

func (l *lesser) drop() {
	if l.batch != nil {
		l.batch.Release()
		l.batch = nil
	}
}

func (l *lesser) RecordBatch() arrow.RecordBatch { return l.batch }
func (l *lesser) Record() arrow.RecordBatch      { return l.batch }
func (l *lesser) Retain()                        { l.refs++ }

func (l *lesser) Release() {
	if l.refs--; l.refs == 0 {
		l.drop()
		l.RecordReader.Release()
	}
}
