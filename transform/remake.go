package transform

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"elt/internal/warehouse"
	"elt/window"
)

// viewText says what a view is made from.
type viewText int

const (
	asItStands viewText = iota
	fromModel
)

// refreshViews makes DuckDB's views over the model anew when its columns are
// others than old: a view remembers the columns that it had, and one that names a
// column that is gone answers nobody. They are made in build order, each from the
// text that it stands with, since what else its model reads may not have been
// built yet; where a column is gone, from its model. Should the one not do, the
// whole build is tried again with the other; should neither, the build fails and
// everything stands as it was.
func (b *builder) refreshViews(ctx context.Context, tx *warehouse.Tx, old []warehouse.Column) error {
	if len(old) == 0 || equalColumns(old, b.res.Columns) || b.m.graph == nil {
		return nil
	}
	gone := len(missing(old, b.res.Columns)) > 0
	changed := map[string]bool{b.m.FullName(): true}
	for _, v := range b.m.graph.Models { // in build order
		if v.Materialized != View || !slices.ContainsFunc(v.Needs, func(n string) bool { return changed[n] }) {
			continue
		}
		stands, err := texts(ctx, tx, `SELECT sql FROM duckdb_views() WHERE database_name = current_database()
			AND lower(schema_name) = lower($1) AND lower(view_name) = lower($2)`, v.Table.Schema, v.Table.Name)
		if err != nil {
			return err
		}
		if len(stands) == 0 {
			continue
		}
		changed[v.FullName()] = true
		if err := b.refreshView(ctx, tx, v, stands[0], gone); err != nil {
			return err
		}
	}
	return nil
}

// refreshView makes one view anew.
func (b *builder) refreshView(ctx context.Context, tx *warehouse.Tx, v *Model, stands string, gone bool) error {
	text, tried := b.views[v.FullName()]
	if !tried {
		ready, err := built(ctx, tx, v)
		if err != nil {
			return err
		}
		if gone && ready {
			text = fromModel
		}
	}
	sql := strings.Replace(stands, "CREATE VIEW", "CREATE OR REPLACE VIEW", 1)
	if text == fromModel {
		sql = `CREATE OR REPLACE VIEW ` + v.Table.String() + " AS\n" + v.SQL(window.Window{}, b.opts.Now)
	}
	_, err := tx.Exec(ctx, sql)
	return b.remade(v, text, err)
}

// remade judges the attempt to make a view from text: after a first failure the
// whole build is tried again with the other text.
func (b *builder) remade(v *Model, text viewText, err error) error {
	if err == nil {
		return nil
	}
	_, tried := b.views[v.FullName()]
	b.text = statement{} // the mistake is not in this model's text
	switch warehouse.KindOf(err) {
	case warehouse.KindOther, warehouse.KindNotFound, warehouse.KindData:
	default:
		return err
	}
	if !tried {
		b.views[v.FullName()] = fromModel - text
		b.again = true
		return err
	}
	return b.judged(fmt.Errorf("view %s reads %s and does not fit its new columns, so the old rows stand: change the view as well, or keep the column: %w",
		v.FullName(), b.m.FullName(), err))
}

// built reports whether everything that v reads is there.
func built(ctx context.Context, tx *warehouse.Tx, v *Model) (bool, error) {
	for _, need := range v.Needs {
		kind, err := kindOf(ctx, tx, v.places[need])
		if err != nil || kind == kindNone {
			return false, err
		}
	}
	return true, nil
}
