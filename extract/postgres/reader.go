package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
)

// queued is how many batches wait between the connection and who reads.
const queued = 2

var errStopped = errors.New("the scan was closed")

// reader implements [array.RecordReader] over a COPY that a goroutine drains.
type reader struct {
	snapshot *snapshot
	cancel   context.CancelCauseFunc
	batches  chan arrow.RecordBatch // closed when the goroutine ends
	failure  error                  // of the goroutine; read after batches is closed
	batch    arrow.RecordBatch
	err      error
	refs     atomic.Int64
	stopped  atomic.Bool // what was queued may be lost
}

func newReader(ctx context.Context, sn *snapshot) *reader {
	ctx, cancel := context.WithCancelCause(ctx)
	r := &reader{snapshot: sn, cancel: cancel, batches: make(chan arrow.RecordBatch, queued)}
	r.refs.Store(1)
	go func() {
		defer close(r.batches)
		r.failure = r.copy(ctx)
	}()
	return r
}

// copy drains the COPY. It returns nil only after the server said how many rows
// it sent, and that many were decoded and counted.
func (r *reader) copy(ctx context.Context) error {
	sn := r.snapshot
	d := newCopyDecoder(sn.stream.source.alloc, sn.columns)
	defer d.release()
	d.anyBytes = sn.conn.PgConn().ParameterStatus("server_encoding") == "SQL_ASCII"
	d.reject = sn.reject
	d.emit = func(b arrow.RecordBatch) error {
		select {
		case r.batches <- b:
			return nil
		case <-ctx.Done():
			b.Release()
			return context.Cause(ctx)
		}
	}
	tag, err := sn.conn.PgConn().CopyTo(ctx, d, sn.copySQL())
	if err != nil {
		return fmt.Errorf("read %s: %w", sn.stream.spec.Name, sn.stream.source.wrap(ctx, err))
	}
	if err := d.finish(); err != nil {
		return fmt.Errorf("read %s: %w", sn.stream.spec.Name, err)
	}
	if tag.RowsAffected() != d.rows || d.rows != sn.count {
		return fmt.Errorf("read %s: %d rows arrived, but the server counted %d and sent %d", sn.stream.spec.Name, d.rows, sn.count, tag.RowsAffected())
	}
	return nil
}

// stop ends the goroutine, waits for it, and lets go of what is queued.
func (r *reader) stop() {
	r.stopped.Store(true)
	r.cancel(errStopped)
	for b := range r.batches {
		b.Release()
	}
}

// Schema implements [array.RecordReader].
func (r *reader) Schema() *arrow.Schema { return r.snapshot.schema }

// RecordBatch implements [array.RecordReader].
func (r *reader) RecordBatch() arrow.RecordBatch { return r.batch }

// Record implements [array.RecordReader].
func (r *reader) Record() arrow.RecordBatch { return r.batch }

// Err implements [array.RecordReader].
func (r *reader) Err() error { return r.err }

// Next implements [array.RecordReader].
func (r *reader) Next() bool {
	r.drop()
	if r.err != nil {
		return false
	}
	b, ok := <-r.batches
	if ok {
		r.batch = b
		return true
	}
	switch r.err = r.failure; {
	case r.err != nil:
	case r.stopped.Load():
		r.err = fmt.Errorf("read %s: %w", r.snapshot.stream.spec.Name, errStopped)
	default:
		r.snapshot.ended.Store(true)
	}
	return false
}

func (r *reader) drop() {
	if r.batch != nil {
		r.batch.Release()
		r.batch = nil
	}
}

// Retain implements [array.RecordReader].
func (r *reader) Retain() { r.refs.Add(1) }

// Release implements [array.RecordReader].
func (r *reader) Release() {
	if r.refs.Add(-1) == 0 {
		r.drop()
		r.stop()
	}
}
