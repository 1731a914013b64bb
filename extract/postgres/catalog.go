package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// found is a column as the catalog describes it, domains resolved.
type found struct {
	Name     string
	Declared string // the type as SQL spells it
	OID      uint32 // of the base type
	Mod      int32
	Kind     string // pg_type.typtype of the base type
	Array    bool
	Key      int // place in the primary key, from 1; 0: none
}

const tablesQuery = `
SELECT c.relname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
                  WHERE i.inhrelid = c.oid AND p.relkind = 'p')
ORDER BY c.relname COLLATE "C"`

// tables lists what the schema holds. A partition is part of its table.
func (s *source) tables(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, tablesQuery, s.schema)
	if err != nil {
		return nil, s.wrap(ctx, err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return names, s.wrap(ctx, err)
}

const columnsQuery = `
SELECT a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), b.oid, b.mod, b.typtype::text,
       b.typelem <> 0 AND b.typlen = -1, coalesce(array_position(i.indkey::int2[], a.attnum) + 1, 0)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_index i ON i.indrelid = c.oid AND i.indisprimary
CROSS JOIN LATERAL (
  WITH RECURSIVE d(oid, mod) AS (
    SELECT a.atttypid, a.atttypmod
    UNION ALL
    SELECT t.typbasetype, t.typtypmod FROM d JOIN pg_catalog.pg_type t ON t.oid = d.oid WHERE t.typtype = 'd')
  SELECT t.oid, d.mod, t.typtype, t.typelem, t.typlen
  FROM d JOIN pg_catalog.pg_type t ON t.oid = d.oid WHERE t.typtype <> 'd') b
WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY a.attnum`

// columns describes a table; nil if there is none of that name.
func (s *source) columns(ctx context.Context, conn *pgx.Conn, schema, table string) ([]found, error) {
	rows, err := conn.Query(ctx, columnsQuery, schema, table)
	if err != nil {
		return nil, s.wrap(ctx, err)
	}
	columns, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (f found, err error) {
		err = row.Scan(&f.Name, &f.Declared, &f.OID, &f.Mod, &f.Kind, &f.Array, &f.Key)
		return f, err
	})
	if len(columns) == 0 {
		return nil, s.wrap(ctx, err)
	}
	return columns, s.wrap(ctx, err)
}
