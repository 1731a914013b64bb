package load

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"elt/internal/warehouse"
)

// fit is how one staged column goes into the table.
type fit struct {
	staged warehouse.Column
	target warehouse.Column // as it will be; its name is the table's spelling
	was    string           // the table's type before; "" when the column is new
}

// growth is what a table needs before staged rows go in, and how they go in.
type growth struct {
	fits    []fit
	missing []warehouse.Column // of the table; the source does not have them any more
}

// added reports whether the table does not have the column yet.
func (f fit) added() bool { return f.was == "" }

// widened reports whether the table's column changes its type.
func (f fit) widened() bool { return f.was != "" && f.was != f.target.Type }

// projection is the staged column as the table holds it.
func (f fit) projection() projection {
	expr := warehouse.Quote(f.staged.Name)
	if f.staged.Type != f.target.Type {
		expr = "CAST(" + expr + " AS " + f.target.Type + ")"
	}
	return projection{expr: expr, name: f.target.Name}
}

// compare fits the staged columns to those of the table. A column whose two
// types have no common one short of text is in the error, with what to do,
// unless its source is files and the table has no value in it: the type that it
// has then is what the reader made of nothing.
func compare(ctx context.Context, tx *warehouse.Tx, c *Contract, table warehouse.Table, staged, existing []warehouse.Column) (growth, error) {
	var g growth
	var errs []error
	seen := map[string]bool{}
	for _, s := range staged {
		seen[fold(s.Name)] = true
		t, ok := find(existing, s.Name)
		if !ok {
			g.fits = append(g.fits, fit{staged: s, target: warehouse.Column{Name: s.Name, Type: s.Type}})
			continue
		}
		was := t.Type
		wide, ok := tx.Dialect().Widen(t.Type, s.Type)
		if s.Type == t.Type {
			wide, ok = t.Type, true
		}
		if !ok && c.Files {
			some, err := hasValue(ctx, tx, table, t.Name)
			if err != nil {
				return growth{}, err
			}
			wide, ok = s.Type, !some
		}
		if !ok {
			way := "cast it in the source"
			if c.Files { // where nothing casts, and types are guessed
				way = fmt.Sprintf("say what it is, such as `columns: {%s: %q}` in the stream", s.Name, strings.ToLower(t.Type))
			}
			errs = append(errs, fmt.Errorf("%w: column %q of %s is %s, and the source now gives %s; no type holds both: "+
				"%s, set `contract: {types: quarantine}` to put such rows aside, or load all of it anew with --full-refresh",
				ErrContract, t.Name, table.Display(), t.Type, s.Type, way))
			continue
		}
		t.Type = wide
		g.fits = append(g.fits, fit{staged: s, target: t, was: was})
	}
	for _, t := range existing {
		if !seen[fold(t.Name)] {
			g.missing = append(g.missing, t)
		}
	}
	return g, errors.Join(errs...)
}

// hasValue reports whether a row of table has a value in column.
func hasValue(ctx context.Context, tx *warehouse.Tx, table warehouse.Table, column string) (bool, error) {
	n, err := count(ctx, tx, `SELECT count(*) FROM (SELECT 1 AS one FROM `+table.String()+` WHERE `+warehouse.Quote(column)+` IS NOT NULL LIMIT 1) AS some_value`)
	if err != nil {
		return false, fmt.Errorf("look for values of column %q of %s: %w", column, table.Display(), err)
	}
	return n > 0, nil
}

// frozen refuses the growth that the policies do not allow.
func (g growth) frozen(c *Contract) error {
	var errs []error
	for _, f := range g.fits {
		switch {
		case isOurs(f.staged.Name):
		case f.added() && c.Columns == Freeze:
			errs = append(errs, fmt.Errorf("%w: the source has a new column %q (%s) and the contract of %s freezes columns; "+
				"leave it out in the source, or set `contract: {columns: evolve}`", ErrContract, f.staged.Name, f.staged.Type, c.Table.Display()))
		case f.widened() && c.Types == Freeze:
			errs = append(errs, fmt.Errorf("%w: column %q of %s would grow from %s to %s and its contract freezes types; "+
				"cast it in the source, or set `contract: {types: evolve}`", ErrContract, f.target.Name, c.Table.Display(), f.was, f.target.Type))
		}
	}
	if c.Columns == Freeze {
		errs = append(errs, g.refuseGone(c))
	}
	return errors.Join(errs...)
}

// projections are the staged columns as the table holds them.
func (g growth) projections() []projection {
	out := make([]projection, len(g.fits))
	for i, f := range g.fits {
		out[i] = f.projection()
	}
	return out
}

// data are the projections without elt's own columns.
func (g growth) data() []projection {
	var out []projection
	for _, f := range g.fits {
		if !isOurs(f.staged.Name) {
			out = append(out, f.projection())
		}
	}
	return out
}

// casts reports whether any staged column changes its type or name on its way.
func (g growth) casts() bool {
	for _, f := range g.fits {
		if f.staged.Type != f.target.Type || f.staged.Name != f.target.Name {
			return true
		}
	}
	return false
}

// changes tells what grows, in words.
func (g growth) changes() []string {
	var out []string
	for _, f := range g.fits {
		switch {
		case isOurs(f.staged.Name):
		case f.added():
			out = append(out, fmt.Sprintf("added column %s %s", f.target.Name, f.target.Type))
		case f.widened():
			out = append(out, fmt.Sprintf("widened %s from %s to %s", f.target.Name, f.was, f.target.Type))
		}
	}
	return out
}

// apply alters the table so that the staged rows fit.
func (g growth) apply(ctx context.Context, tx *warehouse.Tx, table warehouse.Table) error {
	for _, f := range g.fits {
		if f.added() {
			if _, err := tx.Exec(ctx, addColumn(table, f.target)); err != nil {
				return fmt.Errorf("add column %q: %w", f.target.Name, err)
			}
		}
		if !f.widened() {
			continue
		}
		if err := widenable(ctx, tx, table, f); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `ALTER TABLE `+table.String()+` ALTER COLUMN `+warehouse.Quote(f.target.Name)+` TYPE `+f.target.Type+
			` USING CAST(`+warehouse.Quote(f.target.Name)+` AS `+f.target.Type+`)`)
		if err != nil {
			return fmt.Errorf("widen column %q from %s to %s: %w", f.target.Name, f.was, f.target.Type, err)
		}
	}
	return nil
}

// widenable says which views keep Postgres from changing a column's type.
func widenable(ctx context.Context, tx *warehouse.Tx, table warehouse.Table, f fit) error {
	if !isPostgres(tx) {
		return nil
	}
	views, err := texts(ctx, tx, `SELECT DISTINCT v.oid::regclass::text
		FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class
		JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
		WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
		AND d.refobjid = to_regclass($1) AND a.attname = $2 ORDER BY 1`, table.String(), f.target.Name)
	if err != nil || len(views) == 0 {
		return err
	}
	return fmt.Errorf("column %q must grow from %s to %s, and Postgres does not allow that under a view (%s); "+
		"drop the view, run again, and create it anew", f.target.Name, f.was, f.target.Type, strings.Join(views, ", "))
}
