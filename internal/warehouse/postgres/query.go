package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/jackc/pgx/v5/pgconn"

	"elt/internal/warehouse"
)

// A batch ends at the first of these limits, so that memory stays flat whatever
// the rows are like.
const (
	batchRows  = 8192
	batchBytes = 4 << 20
)

// Query implements [warehouse.DriverTx]. The rows stream from the server as the
// reader is read.
func (t *tx) Query(ctx context.Context, q string, args ...any) (array.RecordReader, error) {
	if t.conn == nil {
		return nil, &warehouse.Error{Err: errEnded}
	}
	values, paramFormats, err := parameters(args)
	if err != nil {
		return nil, &warehouse.Error{Err: err}
	}
	statement, err := t.conn.Prepare(ctx, "", q, nil)
	if err != nil {
		return nil, t.driver.wrapAt(ctx, err, q)
	}
	if len(statement.Fields) == 0 {
		return nil, &warehouse.Error{Err: errors.New("the statement returns no rows: expected a SELECT")}
	}
	r := &reader{ctx: ctx, driver: t.driver}
	r.refs.Store(1)
	fields := make([]arrow.Field, len(statement.Fields))
	formats := make([]int16, len(statement.Fields))
	for i, f := range statement.Fields {
		c := planField(f)
		fields[i], formats[i] = c.field, c.format
		r.appenders = append(r.appenders, c.append)
	}
	r.schema = arrow.NewSchema(fields, nil)
	r.builder = array.NewRecordBuilder(memory.DefaultAllocator, r.schema)
	r.rows = t.conn.ExecPrepared(ctx, "", values, paramFormats, formats)
	return r, nil
}

// reader implements [array.RecordReader] over the rows of one statement.
type reader struct {
	ctx       context.Context // bounds the one statement that is read
	driver    *Driver
	rows      *pgconn.ResultReader
	schema    *arrow.Schema
	builder   *array.RecordBuilder
	appenders []appendFunc
	batch     arrow.RecordBatch
	refs      atomic.Int64
	closed    bool
	err       error
}

func (r *reader) Schema() *arrow.Schema          { return r.schema }
func (r *reader) RecordBatch() arrow.RecordBatch { return r.batch }
func (r *reader) Record() arrow.RecordBatch      { return r.batch }
func (r *reader) Err() error                     { return r.err }
func (r *reader) Retain()                        { r.refs.Add(1) }

// Release ends the statement: the connection takes no other before all rows that
// the server sent are read.
func (r *reader) Release() {
	if r.refs.Add(-1) != 0 {
		return
	}
	r.drop()
	r.builder.Release()
	r.close()
}

func (r *reader) drop() {
	if r.batch != nil {
		r.batch.Release()
		r.batch = nil
	}
}

// close reports what the server says at the end of the rows.
func (r *reader) close() {
	if r.closed {
		return
	}
	r.closed = true
	if _, err := r.rows.Close(); err != nil && r.err == nil {
		r.err = r.driver.wrap(r.ctx, err)
	}
}

func (r *reader) Next() bool {
	r.drop()
	if r.closed || r.err != nil {
		return false
	}
	rows, size := 0, 0
	for rows < batchRows && size < batchBytes && r.rows.NextRow() {
		for i, value := range r.rows.Values() {
			size += len(value)
			if value == nil {
				r.builder.Field(i).AppendNull()
				continue
			}
			if err := r.appenders[i](r.builder.Field(i), value); err != nil {
				r.err = &warehouse.Error{
					Kind: warehouse.KindData,
					Err:  fmt.Errorf("column %q: %w", r.schema.Field(i).Name, err),
				}
				return false
			}
		}
		rows++
	}
	if rows < batchRows && size < batchBytes {
		r.close()
		if r.err != nil {
			return false
		}
	}
	if rows == 0 {
		return false
	}
	r.batch = r.builder.NewRecordBatch()
	return true
}
