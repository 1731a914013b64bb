package duckdb

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	duckdb "github.com/duckdb/duckdb-go/v2"

	"elt/internal/warehouse"
)

// tx is one transaction on a connection of its own.
type tx struct {
	db    *instance
	conn  *duckdb.Conn
	pages int // temporary tables made for results
	fatal bool
	ended bool
}

func (t *tx) note(err error) error {
	t.fatal = t.fatal || isFatal(err)
	return err
}

// Exec implements [warehouse.DriverTx].
func (t *tx) Exec(ctx context.Context, q string, args ...any) (int64, error) {
	if t.ended {
		return 0, errEnded
	}
	n, err := exec(ctx, t.conn, q, args)
	return n, t.note(err)
}

// Append implements [warehouse.DriverTx] by an Arrow view that lives only inside
// this transaction. Each has a name of its own: a view is read once, and two
// transactions must not make the same one.
func (t *tx) Append(ctx context.Context, table warehouse.Table, r array.RecordReader) (int64, error) {
	if t.ended {
		return 0, errEnded
	}
	a, err := duckdb.NewArrowFromConn(t.conn)
	if err != nil {
		return 0, wrap(err)
	}
	view := fmt.Sprintf("_elt_in_%d", t.db.views.Add(1))
	watched := &guarded{RecordReader: r, ctx: ctx}
	release, err := a.RegisterView(watched, view)
	if err != nil {
		return 0, t.note(fmt.Errorf("append to %s: %w", table.Display(), wrap(err)))
	}
	defer release()
	n, err := exec(ctx, t.conn, "INSERT INTO "+table.String()+" BY NAME SELECT * FROM "+view, nil)
	if rerr := watched.Err(); rerr != nil { // the cause, not DuckDB's words for it
		return 0, t.note(fmt.Errorf("append to %s: %w", table.Display(), rerr))
	}
	if err != nil {
		return 0, t.note(fmt.Errorf("append to %s: %w", table.Display(), err))
	}
	if got := watched.rows.Load(); n != got {
		return n, fmt.Errorf("append to %s: %d rows were read and %d inserted", table.Display(), got, n)
	}
	if _, err := exec(ctx, t.conn, "DROP VIEW "+view, nil); err != nil {
		return n, t.note(fmt.Errorf("append to %s: %w", table.Display(), err))
	}
	return n, nil
}

// Commit implements [warehouse.DriverTx].
func (t *tx) Commit(ctx context.Context) error { return t.end(ctx, "COMMIT") }

// Rollback implements [warehouse.DriverTx].
func (t *tx) Rollback(ctx context.Context) error {
	if t.ended {
		return nil
	}
	_ = t.end(context.WithoutCancel(ctx), "ROLLBACK") // a transaction that its engine has ended cannot be rolled back
	return nil
}

func (t *tx) end(ctx context.Context, q string) error {
	if t.ended {
		return errEnded
	}
	t.ended = true
	_, err := exec(ctx, t.conn, q, nil)
	failed := q == "COMMIT" && err != nil
	if failed { // what is left of it must not meet the next transaction
		_, _ = exec(context.WithoutCancel(ctx), t.conn, "ROLLBACK", nil)
	}
	t.db.give(t.conn, t.fatal || isFatal(err))
	return err
}

var errEnded = &warehouse.Error{Kind: warehouse.KindOther, Err: errors.New("the transaction has ended")}

// guarded keeps a reader that DuckDB pulls from honest: it watches the context,
// turns a panic into an error, counts, and keeps its error where the driver
// would replace it by a text. DuckDB calls it from one thread at a time.
type guarded struct {
	array.RecordReader
	ctx  context.Context
	rows atomic.Int64
	err  error
}

// Retain and Release are the driver's; the reader stays its owner's.
func (g *guarded) Retain()  {}
func (g *guarded) Release() {}

func (g *guarded) Next() (more bool) {
	defer func() {
		if p := recover(); p != nil {
			g.err, more = fmt.Errorf("internal error while reading: %v\n%s", p, debug.Stack()), false
		}
	}()
	if g.err != nil {
		return false
	}
	if g.ctx.Err() != nil {
		g.err = context.Cause(g.ctx)
		return false
	}
	if !g.RecordReader.Next() {
		g.err = g.RecordReader.Err()
		return false
	}
	g.rows.Add(g.RecordReader.RecordBatch().NumRows())
	return true
}

func (g *guarded) Record() arrow.RecordBatch { return g.RecordReader.RecordBatch() }

func (g *guarded) Err() error { return g.err }
