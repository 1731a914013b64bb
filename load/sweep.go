package load

import (
	"context"
	"fmt"
	"slices"

	"elt/internal/rows"
	"elt/internal/warehouse"
)

// Sweep drops the tables that a crashed load left in schemas, and in no others:
// a warehouse may hold those of other projects, whose loads are under way. The
// caller makes sure that no load is under way in schemas.
func Sweep(ctx context.Context, db *warehouse.DB, schemas []string) error {
	if len(schemas) == 0 {
		return nil
	}
	var left []warehouse.Table
	q := `SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'
		AND table_catalog = current_database() ORDER BY 1, 2`
	err := warehouse.Each(ctx, db, q, func(r rows.Row) error {
		t := warehouse.Table{Schema: r.String(0), Name: r.String(1)}
		if t.Schema != warehouse.StateSchema && isAside(t.Name) && slices.Contains(schemas, t.Schema) {
			left = append(left, t)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for tables that a crash left: %w", err)
	}
	if len(left) == 0 {
		return nil
	}
	return db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		for _, t := range left {
			if _, err := tx.Exec(ctx, `DROP TABLE IF EXISTS `+t.String()); err != nil {
				return fmt.Errorf("drop %s, which a crash left: %w", t.Display(), err)
			}
		}
		return nil
	})
}
