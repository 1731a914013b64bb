package duckdb

import (
	"context"
	"fmt"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	duckdb "github.com/duckdb/duckdb-go/v2"

	"elt/internal/crash"
	"elt/internal/warehouse"
)

// Append implements [warehouse.DriverTx] by an Arrow view that lives only inside
// this transaction. Each has a name of its own: a view is read once, and two
// transactions must not make the same one.
func (t *tx) Append(ctx context.Context, table warehouse.Table, r array.RecordReader) (int64, error) {
	if t.ended {
		return 0, errEnded
	}
	n, err := t.append(ctx, table, r)
	if err != nil {
		return 0, t.note(fmt.Errorf("append to %s: %w", table.Display(), err))
	}
	return n, nil
}

func (t *tx) append(ctx context.Context, table warehouse.Table, r array.RecordReader) (int64, error) {
	a, err := duckdb.NewArrowFromConn(t.conn)
	if err != nil {
		return 0, wrap(err)
	}
	if table.Schema == scratch { // a transaction writes one database, and the view is made in the current one
		t.moved = true
		if _, err := exec(ctx, t.conn, "USE "+warehouse.Quote(scratch), nil); err != nil {
			return 0, err
		}
	}
	view := fmt.Sprintf("_elt_in_%d", t.db.views.Add(1))
	watched := &guarded{reader: r, ctx: ctx}
	release, err := a.RegisterView(watched, view)
	if err != nil {
		return 0, wrap(err)
	}
	t.streams = append(t.streams, release)
	n, err := exec(ctx, t.conn, "INSERT INTO "+table.String()+" BY NAME SELECT * FROM "+view, nil)
	if err != nil {
		// A statement that was interrupted leaves tasks behind that still read.
		// The next one, whatever it is, waits for their end.
		_, _ = exec(context.WithoutCancel(ctx), t.conn, "SELECT 1", nil)
	}
	got, readErr := watched.stop()
	switch {
	case readErr != nil: // the cause, not the engine's words for it
		return 0, readErr
	case err != nil:
		return 0, err
	case n != got:
		return 0, fmt.Errorf("%d rows were read and %d inserted", got, n)
	}
	_, err = exec(ctx, t.conn, "DROP VIEW "+view, nil)
	return n, err
}

// guarded keeps a reader that the engine pulls from honest: it watches the
// context, turns a panic into an error, counts, keeps its error where the driver
// would replace it by a text, and touches the reader no more after stop. The
// engine's threads call it one at a time, but not when they are told to stop.
type guarded struct {
	reader array.RecordReader
	ctx    context.Context // of the Append that it belongs to

	mu    sync.Mutex
	batch arrow.RecordBatch // held for the engine, which asks for it after Next
	rows  int64
	ended bool
	err   error
}

// stop ends the reading, waits for a Next that is under way, and returns what
// became of it.
func (g *guarded) stop() (rows int64, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
	g.drop()
	return g.rows, g.err
}

func (g *guarded) drop() {
	if g.batch != nil {
		g.batch.Release()
		g.batch = nil
	}
}

// Next implements [array.RecordReader].
func (g *guarded) Next() (more bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer func() {
		if p := recover(); p != nil {
			g.err = fmt.Errorf("read rows: %w", crash.Recovered(p))
			more = false
		}
		g.ended = g.ended || !more
	}()
	g.drop()
	switch {
	case g.ended:
	case g.ctx.Err() != nil:
		g.err = context.Cause(g.ctx)
	case g.reader.Next():
		g.batch = g.reader.RecordBatch()
		g.batch.Retain()
		g.rows += g.batch.NumRows()
		return true
	default:
		g.err = g.reader.Err()
	}
	return false
}

// RecordBatch implements [array.RecordReader]. After stop there is none left to
// give: an empty one keeps a late caller from harm.
func (g *guarded) RecordBatch() arrow.RecordBatch {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.batch == nil {
		b := array.NewRecordBuilder(memory.DefaultAllocator, g.reader.Schema())
		defer b.Release()
		return b.NewRecordBatch()
	}
	return g.batch
}

// Record implements [array.RecordReader].
func (g *guarded) Record() arrow.RecordBatch { return g.RecordBatch() }

// Schema implements [array.RecordReader].
func (g *guarded) Schema() *arrow.Schema { return g.reader.Schema() }

// Err implements [array.RecordReader].
func (g *guarded) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// Retain and Release do nothing: the reader stays its owner's.
func (g *guarded) Retain() {}

// Release does nothing.
func (g *guarded) Release() {}
