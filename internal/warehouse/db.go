package warehouse

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"

	"elt/internal/retry"
	"elt/internal/rows"
)

// DB is an open warehouse. It is safe for concurrent use.
type DB struct {
	driver Driver
}

// commits is the table of commit tokens.
func commits() Table { return Table{Schema: StateSchema, Name: "commits"} }

// Open prepares d for Update: it makes schema _elt and the table of commit
// tokens where they are missing. The DB owns d.
//
// Two processes that prepare one warehouse meet in a unique key of the catalog or
// wait for each other there; the slower one looks again.
func Open(ctx context.Context, d Driver) (*DB, error) {
	const tries = 8
	backoff := retry.Backoff{Base: 20 * time.Millisecond, Max: time.Second}
	for try := 1; ; try++ {
		err := prepare(ctx, d)
		if err == nil {
			return &DB{driver: d}, nil
		}
		if try == tries || !Raced(err) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(backoff.Wait(try, 0)):
		}
	}
}

// prepare is one try of Open.
func prepare(ctx context.Context, d Driver) error {
	dtx, err := d.Begin(ctx, false)
	if err != nil {
		return err
	}
	defer func() { _ = dtx.Rollback(cleanup(ctx)) }() // nothing after Commit
	if err := makeCommits(ctx, &Tx{driver: dtx, dialect: d.Dialect()}); err != nil {
		return fmt.Errorf("prepare the warehouse: %w", err)
	}
	if err := dtx.Commit(ctx); err != nil {
		return fmt.Errorf("prepare the warehouse: %w", err)
	}
	return nil
}

// makeCommits looks first: where all is there it neither waits nor needs a right.
func makeCommits(ctx context.Context, tx *Tx) error {
	cols, err := tx.Schema(ctx, commits())
	if err != nil || len(cols) > 0 {
		return err
	}
	for _, q := range []string{
		`CREATE SCHEMA IF NOT EXISTS ` + Quote(StateSchema),
		`CREATE TABLE IF NOT EXISTS ` + commits().String() + ` (token text PRIMARY KEY, committed_at timestamp with time zone NOT NULL)`,
	} {
		if _, err := tx.Exec(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// OpenReadOnly wraps d for Query alone; it writes nothing. The DB owns d.
func OpenReadOnly(d Driver) *DB { return &DB{driver: d} }

// Dialect describes the engine.
func (db *DB) Dialect() *Dialect { return db.driver.Dialect() }

// Lock is [Driver.Lock].
func (db *DB) Lock(ctx context.Context, name string) (context.Context, func(), error) {
	return db.driver.Lock(ctx, name)
}

// Close closes the driver.
func (db *DB) Close() error { return db.driver.Close() }

// Query runs one SELECT in a read-only transaction of its own, with flat memory.
// The caller releases the reader, which ends the transaction.
func (db *DB) Query(ctx context.Context, q string, args ...any) (_ array.RecordReader, err error) {
	tx, err := db.driver.Begin(ctx, true)
	if err != nil {
		return nil, err
	}
	reading := false
	defer func() {
		if !reading { // also when this panics
			err = errors.Join(err, tx.Rollback(cleanup(ctx)))
		}
	}()
	r, err := tx.Query(ctx, q, args...)
	if err != nil {
		return nil, err
	}
	reading = true
	return &txReader{RecordReader: r, done: func() { _ = tx.Rollback(cleanup(ctx)) }, refs: 1}, nil
}

// View runs fn in a read-only transaction: one snapshot for all its queries.
func (db *DB) View(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) (err error) {
	dtx, err := db.driver.Begin(ctx, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dtx.Rollback(cleanup(ctx))) }() // also when fn panics
	return fn(ctx, &Tx{driver: dtx, dialect: db.driver.Dialect()})
}

// Update runs fn in one transaction and commits it when fn returns nil.
//
// Any statement error poisons the transaction: it is rolled back and the error
// returned, whatever fn returns. An error from COMMIT means unknown; Update then
// asks the warehouse with the token that its first statement inserted. It
// returns nil when the transaction turns out to be committed, an error that
// wraps [ErrNotCommitted] and is transient when it is not, and one that wraps
// [ErrCommitUnknown] only while the warehouse cannot be reached.
//
// fn may run once only; it must not keep tx.
func (db *DB) Update(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	token := rand.Text()
	committing, err := db.change(ctx, token, fn)
	if err != nil && committing {
		return db.resolve(ctx, token, err)
	}
	return err
}

// Aside is Update for a transaction that writes only tables of the schema of
// aside, which nobody reads yet. In [Dialect.Scratch] it has no token: after a
// failed COMMIT such tables are as good as gone.
func (db *DB) Aside(ctx context.Context, aside Table, fn func(ctx context.Context, tx *Tx) error) error {
	if scratch := db.Dialect().Scratch; scratch == "" || aside.Schema != scratch {
		return db.Update(ctx, fn)
	}
	_, err := db.change(ctx, "", fn)
	return err
}

// change runs fn in a transaction and commits it. committing tells that the
// error is that of COMMIT. token "" is none. A panic rolls back before it goes on.
func (db *DB) change(ctx context.Context, token string, fn func(ctx context.Context, tx *Tx) error) (committing bool, err error) {
	dtx, err := db.driver.Begin(ctx, false)
	if err != nil {
		return false, err
	}
	committed := false
	defer func() {
		if committed {
			return
		}
		if ended := dtx.Rollback(cleanup(ctx)); !committing {
			err = errors.Join(err, ended)
		}
	}()
	if token != "" {
		if err := insertToken(ctx, dtx, token); err != nil {
			return false, err
		}
	}
	tx := &Tx{driver: dtx, dialect: db.driver.Dialect()}
	err = fn(ctx, tx)
	if err == nil {
		err = tx.poison
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return false, err
	}
	err = dtx.Commit(context.WithoutCancel(ctx))
	committed = err == nil
	return true, err
}

func insertToken(ctx context.Context, tx DriverTx, token string) error {
	_, err := tx.Exec(ctx, `INSERT INTO `+commits().String()+` (token, committed_at) VALUES ($1, $2)`, token, time.Now().UTC())
	return err
}

// resolve finds out what became of the transaction with token after COMMIT
// failed with cause. Reading the token back is not enough: the old transaction
// may still be in progress. Inserting it again waits for that one, or conflicts
// with it.
func (db *DB) resolve(ctx context.Context, token string, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resolveTimeout)
	defer cancel()
	backoff := retry.Backoff{Base: 20 * time.Millisecond, Max: time.Second}
	for try := 1; ; try++ {
		committed, err := db.ask(ctx, token)
		switch {
		case err == nil && committed:
			return nil
		case err == nil && KindOf(cause) == KindDiskFull: // another try fills it again
			return fmt.Errorf("%w: %w", ErrNotCommitted, cause)
		case err == nil:
			return retry.AsTransient(fmt.Errorf("%w: %w", ErrNotCommitted, cause))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrCommitUnknown, cause)
		case <-time.After(backoff.Wait(try, 0)):
		}
	}
}

const resolveTimeout = 30 * time.Second

func (db *DB) ask(ctx context.Context, token string) (committed bool, err error) {
	tx, err := db.driver.Begin(ctx, false)
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback(cleanup(ctx)) }()
	err = insertToken(ctx, tx, token)
	if KindOf(err) == KindUnique {
		return true, nil
	}
	return false, err
}

// cleanup is the context for rolling back: it outlives ctx, within a bound.
func cleanup(ctx context.Context) context.Context {
	c, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	context.AfterFunc(c, cancel)
	return c
}

// Querier runs SELECTs: a *DB, or a *Tx.
type Querier interface {
	Query(ctx context.Context, q string, args ...any) (array.RecordReader, error)
}

// Each runs a SELECT and calls fn for every row.
func Each(ctx context.Context, q Querier, sql string, fn func(rows.Row) error, args ...any) error {
	r, err := q.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	return rows.Each(r, fn)
}

// txReader is a reader that ends its transaction when it is released.
type txReader struct {
	array.RecordReader
	done func()
	refs int
}

func (r *txReader) Retain() { r.refs++; r.RecordReader.Retain() }

func (r *txReader) Release() {
	r.RecordReader.Release()
	if r.refs--; r.refs == 0 {
		r.done()
	}
}
