package duckdb

import (
	"context"
	"errors"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"elt/internal/warehouse"
)

// tx is one transaction on a connection of its own.
type tx struct {
	db      *instance
	conn    *duckdb.Conn
	pages   int      // temporary tables made for results
	streams []func() // free what Append handed to the engine
	moved   bool     // the current database is not wh
	fatal   bool
	ended   bool
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
	for _, release := range t.streams {
		release()
	}
	if t.moved {
		if _, back := exec(context.WithoutCancel(ctx), t.conn, "USE wh", nil); back != nil {
			t.fatal = true // the connection would write into the wrong database
		}
	}
	t.db.give(t.conn, t.fatal || isFatal(err))
	return err
}

var errEnded = &warehouse.Error{Kind: warehouse.KindOther, Err: errors.New("the transaction has ended")}
