package transform

import (
	"context"

	"elt/internal/warehouse"
	"elt/window"
)

// view makes the model a view.
func (b *builder) view(ctx context.Context, tx *warehouse.Tx) error {
	b.res.Note = "view"
	kind, err := kindOf(ctx, tx, b.m.Table)
	if err != nil {
		return err
	}
	old, err := tx.Schema(ctx, b.m.Table)
	if err != nil {
		return err
	}
	if kind != kindNone {
		b.tellChanges(old)
	}
	if b.dialect.Name == postgres {
		return b.postgresView(ctx, tx, kind, old)
	}
	if kind == kindTable {
		if err := execAll(ctx, tx, dropSQL(kind, b.m.Table)...); err != nil {
			return err
		}
	}
	if err := b.query(ctx, tx, `CREATE OR REPLACE VIEW `+b.m.Table.String()+" AS\n", window.Window{}, ""); err != nil {
		return err
	}
	if err := b.verify(ctx, tx, b.m.Table); err != nil {
		return err
	}
	return b.refreshViews(ctx, tx, old)
}

// postgresView judges the view aside, since replacing it locks its readers out,
// and replaces it only when its definition has changed.
func (b *builder) postgresView(ctx context.Context, tx *warehouse.Tx, kind string, old []warehouse.Column) error {
	fresh := b.reserved("new_")
	if err := b.query(ctx, tx, `CREATE VIEW `+fresh.String()+" AS\n", window.Window{}, ""); err != nil {
		return err
	}
	if err := b.verify(ctx, tx, fresh); err != nil {
		return err
	}
	put := func(how string) func() error {
		return func() error {
			if err := execAll(ctx, tx, `DROP VIEW `+fresh.String()); err != nil {
				return err
			}
			return b.query(ctx, tx, how+b.m.Table.String()+" AS\n", window.Window{}, "")
		}
	}
	if kind == kindView && extends(old, b.res.Columns) {
		same, err := count(ctx, tx, `SELECT (pg_get_viewdef($1::text::regclass) = pg_get_viewdef($2::text::regclass))::int::bigint`,
			fresh.String(), b.m.Table.String())
		switch {
		case err != nil:
			return err
		case same == 1:
			return execAll(ctx, tx, `DROP VIEW `+fresh.String())
		}
		return put(`CREATE OR REPLACE VIEW `)()
	}
	deps, err := dependents(ctx, tx, b.m.Table, kind)
	if err != nil {
		return err
	}
	return b.replace(ctx, tx, kind, deps, fresh, put(`CREATE VIEW `))
}

// extends reports whether Postgres can replace a view with columns old by one
// with columns now: the same, and perhaps more at the end.
func extends(old, now []warehouse.Column) bool {
	if len(old) > len(now) {
		return false
	}
	for i, c := range old {
		if now[i].Name != c.Name || now[i].Type != c.Type {
			return false
		}
	}
	return true
}
