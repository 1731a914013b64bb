package transform

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"elt/internal/warehouse"
)

const postgres = "postgres"

// What stands under a name.
const (
	kindNone  = ""
	kindTable = "table"
	kindView  = "view"
	kindOther = "other"
)

// kindOf tells what stands under the name of t.
func kindOf(ctx context.Context, tx *warehouse.Tx, t warehouse.Table) (string, error) {
	sql := `SELECT CASE table_type WHEN 'VIEW' THEN 'view' ELSE 'table' END FROM information_schema.tables
		WHERE table_catalog = current_database() AND lower(table_schema) = lower($1) AND lower(table_name) = lower($2)`
	if tx.Dialect().Name == postgres {
		sql = `SELECT CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view' ELSE 'other' END
			FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`
	}
	found, err := texts(ctx, tx, sql, t.Schema, t.Name)
	switch {
	case err != nil || len(found) == 0:
		return kindNone, err
	case found[0] == kindOther:
		return kindOther, fmt.Errorf("%s is neither a table nor a view, so a model cannot take its place: rename one of them", t.Display())
	}
	return found[0], nil
}

// swap puts fresh, which Verify has judged, in the place of the model's table.
//
// DuckDB's views find their tables by name, so the old table goes and the new
// one takes its name. On Postgres that would show a reader nothing at all whose
// snapshot is older than the swap but who names the table only after it: names
// are looked up as of now, rows as of the snapshot. So where the columns stay,
// the rows are exchanged, which also keeps views, grants and indexes in place.
// TRUNCATE has the same flaw as renaming. Where the columns change, the table is
// renamed and the views that elt owns are made anew; never with CASCADE, which
// drops what others made.
func (b *builder) swap(ctx context.Context, tx *warehouse.Tx, kind string, fresh warehouse.Table) error {
	old, err := tx.Schema(ctx, b.m.Table)
	if err != nil {
		return err
	}
	if kind != kindNone {
		b.tellChanges(old)
	}
	if b.dialect.Name != postgres {
		return b.swapByName(ctx, tx, kind, fresh, old)
	}
	if kind == kindTable && equalColumns(old, b.res.Columns) {
		cols := columnList(b.res.Columns)
		return execAll(ctx, tx, `DELETE FROM `+b.m.Table.String(),
			`INSERT INTO `+b.m.Table.String()+` (`+cols+`) SELECT `+cols+` FROM `+fresh.String(), `DROP TABLE `+fresh.String())
	}
	deps, err := dependents(ctx, tx, b.m.Table, kind)
	if err != nil {
		return err
	}
	if err := execAll(ctx, tx, `ANALYZE `+fresh.String()); err != nil {
		return err
	}
	return b.replace(ctx, tx, kind, deps, fresh, func() error {
		return execAll(ctx, tx, `ALTER TABLE `+fresh.String()+` RENAME TO `+warehouse.Quote(b.m.Table.Name))
	})
}

// swapByName is the swap of DuckDB. Indexes are made again after the rename,
// since a table with an index cannot be renamed.
func (b *builder) swapByName(ctx context.Context, tx *warehouse.Tx, kind string, fresh warehouse.Table, old []warehouse.Column) error {
	indexes, err := texts(ctx, tx, `SELECT sql FROM duckdb_indexes() WHERE database_name = current_database()
		AND lower(schema_name) = lower($1) AND lower(table_name) = lower($2) AND sql IS NOT NULL`, b.m.Table.Schema, b.m.Table.Name)
	if err != nil {
		return err
	}
	if err := execAll(ctx, tx, dropSQL(kind, b.m.Table)...); err != nil {
		return err
	}
	if err := execAll(ctx, tx, `ALTER TABLE `+fresh.String()+` RENAME TO `+warehouse.Quote(b.m.Table.Name)); err != nil {
		return err
	}
	if len(missing(old, b.res.Columns)) == 0 {
		if err := execAll(ctx, tx, indexes...); err != nil {
			return err
		}
	}
	return b.refreshViews(ctx, tx, old)
}

func dropSQL(kind string, t warehouse.Table) []string {
	switch kind {
	case kindTable:
		return []string{`DROP TABLE ` + t.String()}
	case kindView:
		return []string{`DROP VIEW ` + t.String()}
	}
	return nil
}

// tellChanges notes how the columns differ from those that stood there.
func (b *builder) tellChanges(old []warehouse.Column) {
	for _, c := range missing(b.res.Columns, old) {
		b.res.Changes = append(b.res.Changes, fmt.Sprintf("added column %s (%s)", c.Name, c.Type))
	}
	for _, c := range missing(old, b.res.Columns) {
		b.res.Changes = append(b.res.Changes, fmt.Sprintf("removed column %s (%s)", c.Name, c.Type))
	}
	for _, c := range b.res.Columns {
		if o := find(old, c.Name); o != nil && o.Type != c.Type {
			b.res.Changes = append(b.res.Changes, fmt.Sprintf("column %s is %s now, was %s", c.Name, c.Type, o.Type))
		}
	}
}

func find(cols []warehouse.Column, name string) *warehouse.Column {
	i := slices.IndexFunc(cols, func(c warehouse.Column) bool { return strings.EqualFold(c.Name, name) })
	if i < 0 {
		return nil
	}
	return &cols[i]
}

// missing are the columns of a that b has not.
func missing(a, b []warehouse.Column) []warehouse.Column {
	var out []warehouse.Column
	for _, c := range a {
		if find(b, c.Name) == nil {
			out = append(out, c)
		}
	}
	return out
}

// equalColumns reports whether both have the same names and types, in any order.
func equalColumns(a, b []warehouse.Column) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(c warehouse.Column) bool {
		o := find(b, c.Name)
		return o == nil || o.Type != c.Type
	})
}

func columnList(cols []warehouse.Column) string {
	names := make([]string, len(cols))
	for i, c := range cols {
		names[i] = warehouse.Quote(c.Name)
	}
	return strings.Join(names, ", ")
}
