package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"

	"elt/internal/crash"
)

// queued is how many batches wait between the connection and who reads.
const queued = 2

var errStopped = errors.New("the scan was closed")

// reader implements [array.RecordReader] over a COPY that a goroutine drains.
type reader struct {
	part    *part
	cancel  context.CancelCauseFunc
	batches chan arrow.RecordBatch // closed when the goroutine ends
	failure error                  // of the goroutine; read after batches is closed
	batch   arrow.RecordBatch
	err     error
	ended   bool
	refs    atomic.Int64
	stopped atomic.Bool // what was queued may be lost
}

func newReader(ctx context.Context, p *part) *reader {
	ctx, cancel := context.WithCancelCause(ctx)
	r := &reader{part: p, cancel: cancel, batches: make(chan arrow.RecordBatch, queued)}
	r.refs.Store(1)
	go func() {
		defer close(r.batches)
		r.failure = crash.Guarded(func() error { return r.copy(ctx) })()
	}()
	return r
}

// copy drains the COPY. It returns nil only after the server said how many rows
// it sent, and that many were decoded.
func (r *reader) copy(ctx context.Context) error {
	sn, conn := r.part.snapshot, r.part.conn.PgConn()
	d := newCopyDecoder(sn.stream.source.alloc, sn.columns)
	defer d.release()
	d.anyBytes = conn.ParameterStatus("server_encoding") == "SQL_ASCII"
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
	tag, err := conn.CopyTo(ctx, d, r.part.copySQL())
	if err != nil {
		return fmt.Errorf("read %s: %w", sn.stream.spec.Name, sn.stream.source.wrap(ctx, err))
	}
	err = d.finish()
	switch {
	case err != nil:
	case tag.RowsAffected() != d.rows:
		err = fmt.Errorf("%d rows arrived, but the server sent %d", d.rows, tag.RowsAffected())
	default:
		err = sn.arrived(d.rows)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", sn.stream.spec.Name, err)
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
func (r *reader) Schema() *arrow.Schema { return r.part.snapshot.schema }

// RecordBatch implements [array.RecordReader].
func (r *reader) RecordBatch() arrow.RecordBatch { return r.batch }

// Record implements [array.RecordReader].
func (r *reader) Record() arrow.RecordBatch { return r.batch }

// Err implements [array.RecordReader].
func (r *reader) Err() error { return r.err }

// Next implements [array.RecordReader].
func (r *reader) Next() bool {
	r.drop()
	if r.err != nil || r.ended {
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
		r.err = fmt.Errorf("read %s: %w", r.part.snapshot.stream.spec.Name, errStopped)
	default:
		r.ended = true
		r.part.snapshot.ended.Add(1)
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
