package state

import (
	"context"
	"fmt"
	"time"

	"elt/internal/retry"
	"elt/internal/rows"
	"elt/internal/warehouse"
)

// Version is the schema that this binary writes: the number of its migrations.
func Version() int64 { return int64(len(migrations(""))) }

// Check fails with an error of [warehouse.KindNewer] when a newer binary has
// written the state. A warehouse without state is fine.
func (s *Store) Check(ctx context.Context) error {
	_, err := version(ctx, s.db)
	return err
}

// migrate applies what is missing, each migration in a transaction with its
// version. Two processes that start at once meet in a unique key, or in the
// catalog; the slower one looks again.
func migrate(ctx context.Context, db *warehouse.DB) error {
	const tries = 8
	backoff := retry.Backoff{Base: 10 * time.Millisecond, Max: 500 * time.Millisecond}
	for try := 1; ; try++ {
		err := migrateOnce(ctx, db)
		if err == nil || try == tries || !warehouse.Raced(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(backoff.Wait(try, 0)):
		}
	}
}

func migrateOnce(ctx context.Context, db *warehouse.DB) error {
	have, err := version(ctx, db)
	if err != nil {
		return err
	}
	for i, statements := range migrations(db.Dialect().Name) {
		number := int64(i + 1)
		if number <= have {
			continue
		}
		err := db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
			return migration(ctx, tx, number, statements)
		})
		if err != nil {
			return fmt.Errorf("migrate schema _elt to version %d: %w", number, err)
		}
	}
	return nil
}

// migration claims its number before it changes anything, so that whoever migrates
// at the same time waits for the key and then finds everything done.
func migration(ctx context.Context, tx *warehouse.Tx, number int64, statements []string) error {
	for _, q := range metaTable() {
		if _, err := tx.Exec(ctx, q); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `INSERT INTO _elt.meta (version, migrated_at) VALUES ($1, $2)`, number, time.Now().UTC())
	if err != nil {
		return err
	}
	for _, q := range statements {
		if _, err := tx.Exec(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// version is the schema's version, 0 when there is none.
func version(ctx context.Context, db *warehouse.DB) (int64, error) {
	var have int64
	err := warehouse.Each(ctx, db, `SELECT max(version) FROM _elt.meta`, func(r rows.Row) error {
		have = r.Int(0)
		return nil
	})
	switch {
	case warehouse.KindOf(err) == warehouse.KindNotFound:
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("read the version of schema _elt: %w", err)
	case have > Version():
		return 0, &warehouse.Error{
			Kind: warehouse.KindNewer,
			Err: fmt.Errorf("schema _elt of this warehouse has version %d, written by a newer elt; this one knows up to %d",
				have, Version()),
			Hint: "upgrade elt to the version that wrote it",
		}
	}
	return have, nil
}
