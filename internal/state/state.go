// Package state owns elt's own records: every table of schema _elt and its
// migrations, in the same warehouse as the data, so that rows and their
// bookkeeping commit together.
package state

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"elt/internal/retry"
	"elt/internal/rows"
	"elt/internal/warehouse"
)

// Store is the state of one project on one target. Everything that it reads and
// writes is keyed by both, so that two projects, or dev and prod, may share a
// warehouse. It is safe for concurrent use.
type Store struct {
	db      *warehouse.DB
	project string
	target  string
	session string // of this process; tells a reused pid from a living run
	lenient bool   // tables that do not exist yet read as empty
}

// Open brings the tables of _elt up to date and returns the state of project on
// target. It writes nothing when they are up to date already. A schema that a
// newer binary has written is refused with an error of [warehouse.KindNewer].
func Open(ctx context.Context, db *warehouse.DB, project, target string) (*Store, error) {
	if err := migrate(ctx, db); err != nil {
		return nil, err
	}
	return &Store{db: db, project: project, target: target, session: rand.Text()}, nil
}

// View returns the state of project on target for reading alone, without
// migrations. In a warehouse that no run has touched everything reads as empty.
func View(db *warehouse.DB, project, target string) *Store {
	return &Store{db: db, project: project, target: target, lenient: true}
}

// Project is the project that the store is keyed by.
func (s *Store) Project() string { return s.project }

// Target is the target that the store is keyed by.
func (s *Store) Target() string { return s.target }

// update runs one statement in a transaction of its own.
func (s *Store) update(ctx context.Context, q string, args ...any) error {
	return s.db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		_, err := tx.Exec(ctx, q, args...)
		return err
	})
}

// persist writes what has happened already, which is no reason to fail for a
// connection that breaks just then. write is one [warehouse.DB.Update], which says
// with such an error that it did nothing.
func persist(ctx context.Context, write func() error) error {
	const tries = 4
	backoff := retry.Backoff{Base: 50 * time.Millisecond, Max: time.Second}
	for try := 1; ; try++ {
		err := write()
		class, _ := retry.Of(err)
		if err == nil || class != retry.Transient || try == tries || errors.Is(err, warehouse.ErrCommitUnknown) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(backoff.Wait(try, 0)):
		}
	}
}

// each reads rows; $1 and $2 of q are project and target.
func (s *Store) each(ctx context.Context, q warehouse.Querier, sql string, fn func(rows.Row) error, args ...any) error {
	err := warehouse.Each(ctx, q, sql, fn, append([]any{s.project, s.target}, args...)...)
	if s.lenient && warehouse.KindOf(err) == warehouse.KindNotFound {
		return nil
	}
	return err
}

// stamp is t as a parameter: UTC with the microseconds that both engines keep;
// the zero time is NULL.
func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Truncate(time.Microsecond)
}

// some bounds a listing: no limit means a lot, never everything.
func some(limit int) int64 {
	const most = 1_000_000
	if limit <= 0 || limit > most {
		return most
	}
	return int64(limit)
}

// change is update that also tells how many rows were touched.
func (s *Store) change(ctx context.Context, n *int64, q string, args ...any) error {
	return s.db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		var err error
		*n, err = tx.Exec(ctx, q, args...)
		return err
	})
}
