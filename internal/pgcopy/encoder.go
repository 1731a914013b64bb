// Package pgcopy turns Arrow batches into the stream that PostgreSQL's
// COPY … FROM STDIN (FORMAT binary) takes.
package pgcopy

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"elt/internal/crash"
)

// Column is a column of the target table.
type Column struct {
	Name string
	Type string // as people read it, for errors: numeric(12,2)
	OID  uint32 // of the base type, for a domain
	Mod  int32  // its modifier; -1: none
	Text bool   // takes its text form in binary too: an enum
}

// ValueError says which value cannot be stored.
type ValueError struct {
	Column string
	Row    int64 // counted from 1 in the whole stream
	Err    error
}

func (e *ValueError) Error() string {
	return fmt.Sprintf("column %q, row %d: %v", e.Column, e.Row, e.Err)
}

func (e *ValueError) Unwrap() error { return e.Err }

// signature begins a stream: magic, no flags, no extension.
const signature = "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// chunk is about how many bytes are encoded before they are handed out.
const chunk = 64 << 10

// Encoder is an [io.Reader] of the encoded stream. It reads its batches only as
// fast as it is read itself, and turns a panic of the batches' reader into an
// error. One goroutine may read while another calls Stop.
type Encoder struct {
	mu      sync.Mutex
	ctx     context.Context // bounds the one stream that the encoder is
	source  array.RecordReader
	columns []Column
	plan    []encodeFunc
	batch   []appendFunc // of the current batch
	rows    int          // of the current batch
	next    int          // row of the current batch
	count   int64        // rows encoded
	buf     []byte
	off     int // how much of buf was handed out
	err     error
}

// NewEncoder plans the encoding of r into columns, which are those of the target
// that r's fields go to, in the order of the fields. It fails for a field that
// has no lossless form in its column. The encoder does not release r.
func NewEncoder(ctx context.Context, r array.RecordReader, columns []Column) (*Encoder, error) {
	fields := r.Schema().Fields()
	if len(fields) != len(columns) {
		return nil, fmt.Errorf("%d fields for %d columns", len(fields), len(columns))
	}
	e := &Encoder{ctx: ctx, source: r, columns: columns, batch: make([]appendFunc, len(columns))}
	var errs []error
	for i, f := range fields {
		enc, err := planColumn(f.Type, columns[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("column %q: %w", columns[i].Name, err))
		}
		e.plan = append(e.plan, enc)
	}
	e.buf = append(make([]byte, 0, 2*chunk), signature...)
	return e, errors.Join(errs...)
}

// Rows is how many rows were encoded; valid after Stop, or after the end.
func (e *Encoder) Rows() int64 { return e.count }

// Err is the error that ended the stream, nil if it has none.
func (e *Encoder) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if errors.Is(e.err, io.EOF) || errors.Is(e.err, errStopped) {
		return nil
	}
	return e.err
}

var errStopped = errors.New("encoder stopped")

// Stop waits until a Read in progress has ended and makes all later ones fail,
// so that nothing touches the batches afterwards.
func (e *Encoder) Stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		e.err = errStopped
	}
	e.off = len(e.buf)
}

// Read implements [io.Reader].
func (e *Encoder) Read(p []byte) (n int, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	defer func() {
		if v := recover(); v != nil {
			e.err = fmt.Errorf("read rows: %w", crash.Recovered(v))
			err = e.err
		}
	}()
	for e.off == len(e.buf) {
		if e.err != nil {
			return 0, e.err
		}
		e.buf, e.off = e.buf[:0], 0
		e.err = e.fill()
		if e.err != nil && !errors.Is(e.err, io.EOF) {
			e.buf = e.buf[:0] // a half-encoded row goes nowhere
		}
	}
	n = copy(p, e.buf[e.off:])
	e.off += n
	return n, nil
}

// fill encodes rows until the buffer holds a chunk; io.EOF after the last row.
func (e *Encoder) fill() error {
	for len(e.buf) < chunk {
		if e.next == e.rows {
			if err := e.advance(); err != nil {
				return err
			}
			continue
		}
		if err := e.row(e.next); err != nil {
			return err
		}
		e.next++
	}
	return nil
}

func (e *Encoder) row(i int) error {
	buf := binary.BigEndian.AppendUint16(e.buf, uint16(len(e.batch)))
	for c, enc := range e.batch {
		at := len(buf)
		buf = append(buf, 0xff, 0xff, 0xff, 0xff) // the length of NULL
		var err error
		var null bool
		if buf, null, err = enc(buf, i); err != nil {
			return &ValueError{Column: e.columns[c].Name, Row: e.count + 1, Err: err}
		}
		if !null {
			binary.BigEndian.PutUint32(buf[at:], uint32(len(buf)-at-4))
		}
	}
	e.buf = buf
	e.count++
	return nil
}

// advance moves to the next batch that has rows.
func (e *Encoder) advance() error {
	if e.ctx.Err() != nil {
		return context.Cause(e.ctx)
	}
	if !e.source.Next() {
		if err := e.source.Err(); err != nil {
			return err
		}
		e.buf = binary.BigEndian.AppendUint16(e.buf, 0xffff) // the trailer
		return io.EOF
	}
	batch := e.source.RecordBatch()
	if int(batch.NumCols()) != len(e.plan) {
		return fmt.Errorf("a batch has %d columns, its schema %d", batch.NumCols(), len(e.plan))
	}
	e.rows, e.next = int(batch.NumRows()), 0
	for c, enc := range e.plan {
		column := batch.Column(c)
		if want := e.source.Schema().Field(c).Type; !arrow.TypeEqual(column.DataType(), want) {
			return fmt.Errorf("column %q: a batch holds %s, its schema says %s", e.columns[c].Name, column.DataType(), want)
		}
		e.batch[c] = nullable(column, enc(column))
	}
	return nil
}

func nullable(column arrow.Array, enc valueFunc) appendFunc {
	isNull := column.IsNull
	switch c := column.(type) {
	case *array.Null: // has no bitmap to ask
		isNull = func(int) bool { return true }
	case *array.Dictionary: // NULL by its index, or by the value that it points to
		values := c.Dictionary()
		isNull = func(i int) bool { return c.IsNull(i) || values.IsNull(c.GetValueIndex(i)) }
	}
	return func(buf []byte, i int) ([]byte, bool, error) {
		if isNull(i) {
			return buf, true, nil
		}
		buf, err := enc(buf, i)
		return buf, false, err
	}
}

// appendFunc appends the value of row i, or says that it is NULL.
type appendFunc func(buf []byte, i int) (out []byte, null bool, err error)

// valueFunc appends the value of row i, which is not NULL.
type valueFunc func(buf []byte, i int) ([]byte, error)

// encodeFunc binds a column of a batch.
type encodeFunc func(column arrow.Array) valueFunc
