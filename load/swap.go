package load

import (
	"context"
	"fmt"

	"elt/internal/rows"
	"elt/internal/warehouse"
)

// replace makes the staged rows the table. Where nothing hangs on the table the
// stage takes its name; otherwise its rows are exchanged, which readers with an
// older snapshot do not see.
func (p *publisher) replace(ctx context.Context, staged, existing []warehouse.Column) error {
	g, err := compare(ctx, p.tx, &p.staged.contract, p.table, staged, existing)
	if err == nil {
		err = g.frozen(&p.staged.contract)
	}
	if err != nil {
		return err
	}
	p.res.Changes = g.changes()
	watched, err := p.watchGone(ctx, g)
	if err != nil {
		return err
	}
	if err := p.replaceBy(ctx, g); err != nil {
		return err
	}
	return p.tellGone(ctx, watched)
}

// replaceBy writes the staged rows in place of the table's.
func (p *publisher) replaceBy(ctx context.Context, g growth) error {
	inPlace, err := p.inPlace(ctx, g)
	if err != nil {
		return err
	}
	if inPlace {
		if err := g.apply(ctx, p.tx, p.table); err != nil {
			return err
		}
		if p.res.Deleted, err = p.tx.Exec(ctx, `DELETE FROM `+p.table.String()); err != nil {
			return err
		}
		return p.exchange(ctx, g)
	}
	if p.res.Deleted, err = count(ctx, p.tx, `SELECT count(*) FROM `+p.table.String()); err != nil {
		return err
	}
	if g.casts() || p.res.Superseded > 0 || p.elsewhere() {
		if _, err := p.pick(ctx, g, picking{becomesTable: true}); err != nil {
			return err
		}
	}
	for _, c := range g.missing {
		if _, err := p.tx.Exec(ctx, addColumn(p.src, c)); err != nil {
			return err
		}
	}
	return p.swap(ctx)
}

// exchange inserts the staged rows, one of each key where asked, into the emptied table.
func (p *publisher) exchange(ctx context.Context, g growth) error {
	if p.res.Superseded == 0 {
		return p.insert(ctx, g)
	}
	g, err := p.pick(ctx, g, picking{})
	if err != nil {
		return err
	}
	if err := p.insert(ctx, g); err != nil {
		return err
	}
	_, err = p.tx.Exec(ctx, `DROP TABLE `+p.src.String())
	return err
}

// swap drops the table and gives its name, and what hung on it, to the source.
func (p *publisher) swap(ctx context.Context) error {
	var restore []string
	var err error
	if isPostgres(p.tx) {
		if restore, err = texts(ctx, p.tx, restoreQuery, p.table.String()); err != nil {
			return err
		}
	}
	if _, err := p.tx.Exec(ctx, `DROP TABLE `+p.table.String()); err != nil {
		return err
	}
	if err := p.adopt(ctx); err != nil {
		return err
	}
	for _, q := range restore {
		if _, err := p.tx.Exec(ctx, q); err != nil {
			return fmt.Errorf("restore what belongs to the table: %w", err)
		}
	}
	p.res.Published = p.staged.rows - p.res.Superseded
	return p.ensureIndexes(ctx, p.to.Key)
}

// adopt gives the source of this publish the name of the table.
func (p *publisher) adopt(ctx context.Context) error {
	if isPostgres(p.tx) {
		unlogged, err := count(ctx, p.tx, `SELECT count(*) FROM pg_class WHERE oid = to_regclass($1) AND relpersistence = 'u'`, p.src.String())
		if err != nil {
			return err
		}
		if unlogged > 0 {
			if _, err := p.tx.Exec(ctx, `ALTER TABLE `+p.src.String()+` SET LOGGED`); err != nil {
				return err
			}
		}
	}
	_, err := p.tx.Exec(ctx, `ALTER TABLE `+p.src.String()+` RENAME TO `+warehouse.Quote(p.table.Name))
	p.staged.becameTable = p.src == p.staged.table
	return err
}

// inPlace reports whether the rows must be exchanged inside the table: because
// something hangs on it that a drop would take with it or that would refuse the
// drop; or, on Postgres, because somebody reads with a snapshot in which the
// staged rows are not there yet, and would find the new table empty. That is
// every older snapshot, and all of them when the rows are written only now.
func (p *publisher) inPlace(ctx context.Context, g growth) (bool, error) {
	held, err := p.held(ctx)
	if held || err != nil || !isPostgres(p.tx) {
		return held, err
	}
	if g.casts() || p.res.Superseded > 0 || !p.staged.contract.Replaces {
		return true, nil
	}
	older, err := count(ctx, p.tx, `SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid()
		AND coalesce(backend_type, 'client backend') = 'client backend' AND datname = current_database()
		AND age(backend_xmin) >= age(CAST($1 AS text)::xid)`, p.staged.sealed)
	return older > 0, err
}

// held reports whether something hangs on the table.
func (p *publisher) held(ctx context.Context) (bool, error) {
	q, args := `SELECT (SELECT count(*) FROM duckdb_indexes() WHERE database_name = current_database() AND schema_name = $1 AND table_name = $2)
		+ (SELECT count(*) FROM duckdb_constraints() WHERE database_name = current_database() AND schema_name = $1 AND table_name = $2)`,
		[]any{p.table.Schema, p.table.Name}
	if isPostgres(p.tx) {
		q, args = heldQuery, []any{p.table.String()}
	}
	n, err := count(ctx, p.tx, q, args...)
	if err != nil {
		return false, fmt.Errorf("what depends on %s: %w", p.table.Display(), err)
	}
	return n > 0, nil
}

// heldQuery counts what restoreQuery does not bring back: views and functions,
// foreign keys and other constraints, triggers, policies, publications, children.
const heldQuery = `SELECT
	(SELECT count(*) FROM pg_depend d WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid
		AND d.deptype = 'n' AND NOT (d.classid = 'pg_class'::regclass AND d.objid = t.oid))
	+ (SELECT count(*) FROM pg_constraint c WHERE c.conrelid = t.oid OR c.confrelid = t.oid)
	+ (SELECT count(*) FROM pg_trigger g WHERE g.tgrelid = t.oid AND NOT g.tgisinternal)
	+ (SELECT count(*) FROM pg_policy y WHERE y.polrelid = t.oid)
	+ (SELECT count(*) FROM pg_publication_rel b WHERE b.prrelid = t.oid)
	+ (SELECT count(*) FROM pg_inherits h WHERE h.inhparent = t.oid OR h.inhrelid = t.oid)
	+ (SELECT count(*) FROM pg_attrdef f WHERE f.adrelid = t.oid)
	+ (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum > 0 AND a.attnotnull AND NOT a.attisdropped)
	FROM pg_class t WHERE t.oid = to_regclass($1)`

// restoreQuery makes the statements that give a new table of the same name the
// owner, grants, comments and indexes of the one that is about to go.
const restoreQuery = `WITH t AS (SELECT c.oid, c.relacl, c.relowner, c.oid::regclass::text AS name FROM pg_class c WHERE c.oid = to_regclass($1))
	SELECT stmt FROM (
	SELECT 1 AS n, format('ALTER TABLE %s OWNER TO %I', t.name, pg_get_userbyid(t.relowner)) AS stmt FROM t
		WHERE pg_get_userbyid(t.relowner) <> current_user
	UNION ALL
	SELECT 2, pg_get_indexdef(i.indexrelid) FROM t JOIN pg_index i ON i.indrelid = t.oid
	UNION ALL
	SELECT 3, format('GRANT %s ON %s TO %s%s', a.privilege_type, t.name,
		CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
		CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
		FROM t CROSS JOIN LATERAL aclexplode(t.relacl) a WHERE a.grantee <> t.relowner
	UNION ALL
	SELECT 4, CASE WHEN d.objsubid = 0 THEN format('COMMENT ON TABLE %s IS %L', t.name, d.description)
		ELSE format('COMMENT ON COLUMN %s.%I IS %L', t.name, a.attname, d.description) END
		FROM t JOIN pg_description d ON d.objoid = t.oid AND d.classoid = 'pg_class'::regclass
		LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.objsubid
	) AS q ORDER BY n`

// ensureIndexes gives a Postgres table what keeps later loads from reading all
// of it: a BRIN index that finds the rows of one load, and one over the key that
// a merge deletes by, or over the time that windows delete by. DuckDB needs none, and pays for a key index on every load.
func (p *publisher) ensureIndexes(ctx context.Context, key []string) error {
	if !isPostgres(p.tx) {
		return nil
	}
	wanted := []struct{ method, cols string }{{"brin", warehouse.Quote(warehouse.ColLoadID)}}
	if p.to.Disposition == Merge {
		wanted = append(wanted, struct{ method, cols string }{"btree", list(key)})
	}
	if p.divided != nil {
		wanted = append(wanted, struct{ method, cols string }{"btree", list(key)})
	}
	have := map[string]bool{}
	err := warehouse.Each(ctx, p.tx, `SELECT am.amname::text, array_to_string(ARRAY(
			SELECT '"' || replace(a.attname, '"', '""') || '"' FROM unnest(i.indkey) WITH ORDINALITY k(n, o)
			JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n ORDER BY k.o), ', ')
		FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam
		WHERE i.indrelid = to_regclass($1) AND i.indpred IS NULL AND i.indisvalid`, func(r rows.Row) error {
		have[r.String(0)+" "+r.String(1)] = true
		return nil
	}, p.table.String())
	if err != nil {
		return err
	}
	for _, w := range wanted {
		if have[w.method+" "+w.cols] {
			continue
		}
		if _, err := p.tx.Exec(ctx, `CREATE INDEX ON `+p.table.String()+` USING `+w.method+` (`+w.cols+`)`); err != nil {
			return fmt.Errorf("index (%s): %w", w.cols, err)
		}
	}
	return nil
}
