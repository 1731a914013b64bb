package activate

import (
	"context"
	"fmt"
	"strings"

	"elt/internal/rows"
	"elt/internal/warehouse"
)

// The names of the tables of a plan, before the fingerprint of its sync.
const (
	planPrefix = warehouse.Reserved + "plan_"
	outPrefix  = warehouse.Reserved + "out_"
)

// lockName is the lease on the sync whose plan is the table of that name.
func lockName(table string) string { return "sync " + table }

// Sweep drops the plans that crashed runs left. A sync that runs again drops its
// own; those of syncs that are gone from the project nobody else would. What a run
// of this or of another project works with it leaves alone.
func Sweep(ctx context.Context, db *warehouse.DB) error {
	var left []string
	err := warehouse.Each(ctx, db, `SELECT table_name FROM information_schema.tables
		WHERE table_catalog = current_database() AND table_schema = $1 ORDER BY 1`, func(r rows.Row) error {
		for _, prefix := range []string{planPrefix, outPrefix} {
			if id, ok := strings.CutPrefix(r.String(0), prefix); ok {
				left = append(left, strings.Clone(id))
			}
		}
		return nil
	}, warehouse.StateSchema)
	if err != nil {
		return fmt.Errorf("look for plans that a crash left: %w", err)
	}
	for _, id := range left {
		if err := sweepOne(ctx, db, id); err != nil {
			return fmt.Errorf("drop a plan that a crash left: %w", err)
		}
	}
	return nil
}

func sweepOne(ctx context.Context, db *warehouse.DB, id string) error {
	held, release, err := db.Lock(ctx, lockName(planPrefix+id))
	if warehouse.KindOf(err) == warehouse.KindLocked {
		return nil // somebody works with it
	}
	if err != nil {
		return err
	}
	defer release()
	return db.Update(held, func(ctx context.Context, tx *warehouse.Tx) error {
		for _, prefix := range []string{planPrefix, outPrefix} {
			t := warehouse.Table{Schema: warehouse.StateSchema, Name: prefix + id}
			if _, err := tx.Exec(ctx, `DROP TABLE IF EXISTS `+t.String()); err != nil {
				return err
			}
		}
		return nil
	})
}
