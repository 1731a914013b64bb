package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// A batch ends at the first of these limits, so that memory stays flat whatever
// the rows are like.
const (
	batchRows  = 32768
	batchBytes = 8 << 20
)

// signature begins every binary COPY.
const signature = "PGCOPY\n\xff\r\n\x00"

var errUTF8 = errors.New("text that is not UTF-8, in a database whose encoding is SQL_ASCII")

// copyDecoder takes the bytes of a binary COPY, in pieces of any size, and hands
// out batches.
type copyDecoder struct {
	columns  []column
	builder  *array.RecordBuilder
	add      []func([]byte) error
	emit     func(arrow.RecordBatch) error                         // takes over the batch
	reject   func(fields [][]byte, column int, reason error) error // fields live until it returns
	anyBytes bool                                                  // the server does not vouch for UTF-8

	pending       []byte // the beginning of a row
	fields        [][]byte
	started, done bool
	rows          int64 // rejected ones included
	held, bytes   int   // in the builder
}

func newCopyDecoder(alloc memory.Allocator, columns []column) *copyDecoder {
	d := &copyDecoder{columns: columns, builder: array.NewRecordBuilder(alloc, schemaOf(columns)), fields: make([][]byte, len(columns))}
	for i, c := range columns {
		d.add = append(d.add, c.bind(d.builder.Field(i)))
	}
	return d
}

// Write implements [io.Writer].
func (d *copyDecoder) Write(p []byte) (int, error) {
	length := len(p)
	if len(d.pending) > 0 {
		d.pending = append(d.pending, p...)
		p = d.pending
	}
	for len(p) > 0 {
		n, err := d.step(p)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			break
		}
		p = p[n:]
	}
	d.pending = append(d.pending[:0], p...)
	return length, nil
}

// step consumes the header, a row or the trailer; 0 bytes if p holds no whole one.
func (d *copyDecoder) step(p []byte) (int, error) {
	switch {
	case d.done:
		return 0, errors.New("COPY: data behind the end")
	case !d.started:
		return d.header(p)
	case len(p) < 2:
		return 0, nil
	}
	n := int16(binary.BigEndian.Uint16(p))
	if n == -1 {
		d.done = true
		return 2, nil
	}
	if int(n) != len(d.columns) {
		return 0, fmt.Errorf("COPY: row %d has %d columns, expected %d", d.rows+1, n, len(d.columns))
	}
	at := 2
	for i := range d.columns {
		if len(p) < at+4 {
			return 0, nil
		}
		size := int32(binary.BigEndian.Uint32(p[at:]))
		at += 4
		if size == -1 {
			d.fields[i] = nil
			continue
		}
		if size < 0 || size > 1<<30 {
			return 0, fmt.Errorf("COPY: row %d, column %s: a size of %d bytes", d.rows+1, d.columns[i].Name, size)
		}
		if len(p)-at < int(size) {
			return 0, nil
		}
		d.fields[i] = p[at : at+int(size) : at+int(size)]
		at += int(size)
	}
	return at, d.row(at)
}

func (d *copyDecoder) header(p []byte) (int, error) {
	const size = len(signature) + 8
	if n := min(len(p), len(signature)); !bytes.Equal(p[:n], []byte(signature[:n])) {
		return 0, errors.New("COPY: not the binary format")
	}
	if len(p) < size {
		return 0, nil
	}
	flags, extension := binary.BigEndian.Uint32(p[len(signature):]), binary.BigEndian.Uint32(p[len(signature)+4:])
	if flags != 0 || extension != 0 {
		return 0, fmt.Errorf("COPY: a header with flags %x and an extension of %d bytes", flags, extension)
	}
	d.started = true
	return size, nil
}

// row takes the fields: into the builders, or to the rejects.
func (d *copyDecoder) row(size int) error {
	d.rows++
	for i := range d.columns {
		c := &d.columns[i]
		v := d.fields[i]
		if v == nil {
			continue
		}
		if c.width > 0 && len(v) != c.width {
			return fmt.Errorf("COPY: row %d, column %s: %d bytes, expected %d", d.rows, c.Name, len(v), c.width)
		}
		if err := d.check(c, v); err != nil {
			if c.special == "null" && (errors.Is(err, errNaN) || errors.Is(err, errInfinite)) {
				d.fields[i] = nil
				continue
			}
			return d.reject(d.fields, i, err)
		}
	}
	for i, v := range d.fields {
		if v == nil {
			d.builder.Field(i).AppendNull()
			continue
		}
		if err := d.add[i](v); err != nil {
			return fmt.Errorf("COPY: row %d, column %s: %w", d.rows, d.columns[i].Name, err)
		}
	}
	d.held++
	if d.bytes += size; d.held >= batchRows || d.bytes >= batchBytes {
		return d.flush()
	}
	return nil
}

func (d *copyDecoder) check(c *column, v []byte) error {
	if c.check != nil {
		return c.check(v)
	}
	if d.anyBytes && c.typ.ID() == arrow.STRING && c.width == 0 && !utf8.Valid(v) {
		return errUTF8
	}
	return nil
}

func (d *copyDecoder) flush() error {
	if d.held == 0 {
		return nil
	}
	d.held, d.bytes = 0, 0
	return d.emit(d.builder.NewRecordBatch())
}

// finish hands out the last batch. It is an error if the trailer did not come.
func (d *copyDecoder) finish() error {
	if !d.done || len(d.pending) > 0 {
		return fmt.Errorf("COPY: the data ended early, after row %d", d.rows)
	}
	return d.flush()
}

func (d *copyDecoder) release() { d.builder.Release() }
