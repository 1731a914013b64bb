package transform

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"elt/internal/rows"
	"elt/internal/warehouse"
)

// dependent is a view of Postgres that reads a table, directly or through others.
type dependent struct {
	table warehouse.Table
	kind  string // relkind: v, m; f for a foreign key, which only a table can have
	def   string
	uses  []string // columns of the table that it names, when it reads it directly
}

// dependents lists what holds on to t, nearest first, so that the order is also
// the order to make them in.
func dependents(ctx context.Context, tx *warehouse.Tx, t warehouse.Table, kind string) ([]dependent, error) {
	if kind == kindNone {
		return nil, nil
	}
	var deps []dependent
	err := warehouse.Each(ctx, tx, `
		WITH RECURSIVE reads AS (
			SELECT DISTINCT r.ev_class AS view, d.refobjid AS read
			FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
			WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND r.ev_class <> d.refobjid
		), dep AS (
			SELECT view, 1 AS depth FROM reads WHERE read = $1::text::regclass
			UNION ALL
			SELECT r.view, dep.depth + 1 FROM reads r JOIN dep ON r.read = dep.view
		), deepest AS (SELECT view, max(depth) AS depth FROM dep GROUP BY view)
		SELECT n.nspname::text, c.relname::text, c.relkind::text, pg_get_viewdef(c.oid), x.depth,
			coalesce((SELECT string_agg(DISTINCT a.attname::text, chr(10)) FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
				JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
				WHERE d.classid = 'pg_rewrite'::regclass AND r.ev_class = c.oid AND d.refobjid = $1::text::regclass), '')
		FROM deepest x JOIN pg_class c ON c.oid = x.view JOIN pg_namespace n ON n.oid = c.relnamespace
		UNION ALL
		SELECT n.nspname::text, c.relname::text, 'f', '', 0, ''
		FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE k.contype = 'f' AND k.confrelid = $1::text::regclass AND k.conrelid <> k.confrelid
		ORDER BY 5, 1, 2`, func(r rows.Row) error {
		deps = append(deps, dependent{
			table: warehouse.Table{Schema: strings.Clone(r.String(0)), Name: strings.Clone(r.String(1))}, kind: strings.Clone(r.String(2)),
			def: strings.TrimSuffix(strings.TrimSpace(strings.Clone(r.String(3))), ";"), uses: strings.Fields(strings.Clone(r.String(5))),
		})
		return nil
	}, t.String())
	if err != nil {
		return nil, fmt.Errorf("what reads %s: %w", t.Display(), err)
	}
	return deps, nil
}

// ForeignError is a view that elt does not own in the way of a change.
type ForeignError struct {
	Model string
	Views []string
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("the columns of %s change, and %s, which elt does not own, reads it: drop it and make it again after the run, or keep the columns",
		e.Model, strings.Join(e.Views, ", "))
}

// replace drops what stands in the model's place and what reads it, lets create
// put the new thing there, and makes the readers again, each with its grants,
// indexes and comments. fresh has the new columns.
func (b *builder) replace(ctx context.Context, tx *warehouse.Tx, kind string, deps []dependent, fresh warehouse.Table, create func() error) error {
	if err := b.owned(deps); err != nil {
		return b.judged(err)
	}
	var kept []string
	var err error
	if kind != kindNone {
		if kept, err = trimmings(ctx, tx, b.m.Table, fresh); err != nil {
			return err
		}
	}
	keptOf := make([][]string, len(deps))
	for i := len(deps) - 1; i >= 0; i-- {
		if keptOf[i], err = trimmings(ctx, tx, deps[i].table, deps[i].table); err != nil {
			return err
		}
		if err := execAll(ctx, tx, `DROP VIEW `+deps[i].table.String()); err != nil {
			return err
		}
	}
	var gone []warehouse.Column
	if kind != kindNone {
		old, err := tx.Schema(ctx, b.m.Table)
		if err != nil {
			return err
		}
		gone = missing(old, b.res.Columns)
	}
	if err := execAll(ctx, tx, dropSQL(kind, b.m.Table)...); err != nil {
		return err
	}
	if err := create(); err != nil {
		return err
	}
	if err := execAll(ctx, tx, kept...); err != nil {
		return err
	}
	others := map[string]bool{} // views with other columns than before
	for i, d := range deps {
		owner := b.ownerOf(d.table)
		text := b.viewText(d, owner, gone, others)
		sql := d.def
		if text == fromModel {
			sql, others[owner.FullName()] = owner.SQL(b.w, b.opts.Now), true
		}
		if err := b.remade(owner, text, execAll(ctx, tx, `CREATE VIEW `+d.table.String()+" AS\n"+sql)); err != nil {
			return fmt.Errorf("make view %s again: %w", d.table.Display(), err)
		}
		if err := execAll(ctx, tx, keptOf[i]...); err != nil {
			return err
		}
	}
	return nil
}

// owned fails when something holds on to the model that elt may not drop.
func (b *builder) owned(deps []dependent) error {
	var foreign []string
	for _, d := range deps {
		if d.kind != "v" || b.ownerOf(d.table) == nil {
			foreign = append(foreign, d.table.Display())
		}
	}
	if len(foreign) > 0 {
		return &ForeignError{Model: b.m.FullName(), Views: foreign}
	}
	return nil
}

// ownerOf is the model that is the view t, or nil.
func (b *builder) ownerOf(t warehouse.Table) *Model {
	if b.m.graph == nil {
		return nil
	}
	i := slices.IndexFunc(b.m.graph.Models, func(m *Model) bool { return m.Table == t })
	if i < 0 {
		return nil
	}
	return b.m.graph.Models[i]
}

// viewText is what to make a view from: as it stood, since what else it reads may
// not have been built yet; from its model when it names a column that is gone, or
// reads a view that was made from its own model.
func (b *builder) viewText(d dependent, owner *Model, gone []warehouse.Column, others map[string]bool) viewText {
	if text, tried := b.views[owner.FullName()]; tried {
		return text
	}
	if slices.ContainsFunc(gone, func(c warehouse.Column) bool { return slices.Contains(d.uses, c.Name) }) ||
		slices.ContainsFunc(owner.Needs, func(n string) bool { return others[n] }) {
		return fromModel
	}
	return asItStands
}

// trimmings are the statements that give a table or view again what people gave
// it: grants, constraints, indexes and comments, as far as the columns are still
// there in fresh.
func trimmings(ctx context.Context, tx *warehouse.Tx, t, fresh warehouse.Table) ([]string, error) {
	out, err := texts(ctx, tx, `
		WITH c AS (SELECT c.*, n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1::text::regclass),
		gone AS (SELECT a.attnum FROM pg_attribute a JOIN c ON a.attrelid = c.oid WHERE a.attnum > 0 AND NOT a.attisdropped
			AND NOT EXISTS (SELECT 1 FROM pg_attribute b WHERE b.attrelid = $2::text::regclass AND b.attname = a.attname AND b.attnum > 0))
		SELECT s FROM (
			SELECT 1 AS o, format('GRANT %s ON %I.%I TO %s%s', a.privilege_type, c.nspname, c.relname,
				CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
				CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) AS s
			FROM c, LATERAL aclexplode(c.relacl) a WHERE a.grantee <> c.relowner
			UNION ALL
			SELECT 2, format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', c.nspname, c.relname, k.conname, pg_get_constraintdef(k.oid))
			FROM c JOIN pg_constraint k ON k.conrelid = c.oid
			WHERE k.contype IN ('p', 'u', 'c', 'x') AND NOT EXISTS (SELECT 1 FROM gone WHERE gone.attnum = ANY (k.conkey))
			UNION ALL
			SELECT 3, pg_get_indexdef(i.indexrelid) FROM c JOIN pg_index i ON i.indrelid = c.oid
			WHERE NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid)
				AND NOT EXISTS (SELECT 1 FROM gone WHERE gone.attnum = ANY (i.indkey::int2[]))
			UNION ALL
			SELECT 4, format('COMMENT ON %s %I.%I IS %L', CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, c.nspname, c.relname, d.description)
			FROM c JOIN pg_description d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass AND d.objsubid = 0
			UNION ALL
			SELECT 5, format('COMMENT ON COLUMN %I.%I.%I IS %L', c.nspname, c.relname, a.attname, d.description)
			FROM c JOIN pg_description d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass AND d.objsubid > 0
			JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid WHERE a.attnum NOT IN (SELECT attnum FROM gone)
		) x ORDER BY o, s`, t.String(), fresh.String())
	if err != nil {
		return nil, fmt.Errorf("grants and indexes of %s: %w", t.Display(), err)
	}
	return out, nil
}
