package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"elt/activate"
	"elt/internal/warehouse"
)

// shape is what the catalog says of the table that is pushed to.
type shape struct {
	table   warehouse.Table
	user    string
	kind    string // pg_class.relkind
	oid     uint32 // another one when the table is dropped and made again
	columns []column
	unique  [][]string // columns of the unique indexes that ON CONFLICT can use
	key     []string   // of the sync
	mirror  bool       // it deletes by keys that are gone
	folds   bool       // see [identity]
}

// column is one column of the table.
type column struct {
	name      string
	typ       string // as SQL spells it
	collate   string // as SQL spells it, where the type has another
	form      form
	limit     limit // of the type or, where it is an array, of its elements
	generated bool
	always    bool // GENERATED ALWAYS AS IDENTITY
	may       map[string]bool
}

const columnsQuery = `
SELECT c.relkind::text, c.oid, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), b.name::text, b.category::text, b.mod,
  coalesce(' COLLATE ' || quote_ident(cn.nspname) || '.' || quote_ident(co.collname), ''), a.attgenerated <> '', a.attidentity = 'a', k.folds,
  has_column_privilege(c.oid, a.attnum, 'SELECT'), has_column_privilege(c.oid, a.attnum, 'INSERT'), has_column_privilege(c.oid, a.attnum, 'UPDATE'),
  has_table_privilege(c.oid, 'DELETE')
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type ty ON ty.oid = a.atttypid
LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation AND a.attcollation <> ty.typcollation
LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace
CROSS JOIN LATERAL (SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_collation l WHERE NOT l.collisdeterministic AND (l.oid = a.attcollation
  OR l.oid IN (SELECT unnest(i.indcollation) FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisunique))) AS folds) k
CROSS JOIN LATERAL (
  WITH RECURSIVE d(oid, mod) AS (
    SELECT a.atttypid, a.atttypmod
    UNION ALL
    SELECT t.typbasetype, greatest(d.mod, t.typtypmod) FROM d JOIN pg_catalog.pg_type t ON t.oid = d.oid WHERE t.typtype = 'd')
  SELECT coalesce(e.typname, t.typname) AS name, t.typcategory AS category, d.mod
  FROM d JOIN pg_catalog.pg_type t ON t.oid = d.oid LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
  WHERE t.typtype <> 'd') b
WHERE n.nspname = $1 AND c.relname = $2
ORDER BY a.attnum`

// A unique index serves ON CONFLICT when it holds for every row, at once, and
// over columns alone.
const uniqueQuery = `
SELECT ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
  WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]) ORDER BY 1)
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2 AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL`

func (d *destination) look(ctx context.Context, conn *pgx.Conn, mirror bool) (*shape, error) {
	s := &shape{table: d.table, user: d.server.User(), key: d.key, mirror: mirror}
	rows, err := conn.Query(ctx, columnsQuery, d.table.Schema, d.table.Name)
	if err != nil {
		return nil, err
	}
	s.columns, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c column, err error) {
		var base, category string
		var sel, ins, upd, del, folds bool
		var mod int
		err = row.Scan(&s.kind, &s.oid, &c.name, &c.typ, &base, &category, &mod, &c.collate, &c.generated, &c.always, &folds, &sel, &ins, &upd, &del)
		c.limit = limitOf(base, mod)
		if s.mirror && s.isKey(c.name) {
			s.identify(&c, base, category, folds)
		}
		c.form, c.may = formOf(base, category), map[string]bool{"SELECT": sel, "INSERT": ins, "UPDATE": upd, "DELETE": del}
		return c, err
	})
	if err != nil {
		return nil, err
	}
	if rows, err = conn.Query(ctx, uniqueQuery, d.table.Schema, d.table.Name); err != nil {
		return nil, err
	}
	s.unique, err = pgx.CollectRows(rows, pgx.RowTo[[]string])
	if err != nil {
		return nil, err
	}
	return s, s.exists()
}

func formOf(base, category string) form {
	switch {
	case category == "A":
		return array
	case base == "json" || base == "jsonb":
		return raw
	case base == "bytea":
		return binary
	case base == "int2" || base == "int4" || base == "int8":
		return integer
	}
	return plain
}

// exists tells a table that can be written from what cannot.
func (s *shape) exists() error {
	switch s.kind {
	case "r", "p":
		return nil
	case "":
		return barred("no_table", fmt.Sprintf("there is no table %s", s.table.Display()),
			fmt.Sprintf("create it, mend to:, or let %s see its schema: GRANT USAGE ON SCHEMA %s TO %s",
				s.user, warehouse.Quote(s.table.Schema), warehouse.Quote(s.user)))
	}
	return barred("no_table", fmt.Sprintf("%s is no table", s.table.Display()), "write to: the table behind it")
}

// needs are the privileges that an action needs on the columns that it names.
func needs(a activate.Action) []string {
	switch a {
	case activate.Append:
		return []string{"INSERT"}
	case activate.Create:
		return []string{"SELECT", "INSERT"}
	case activate.Update:
		return []string{"SELECT", "UPDATE"}
	case activate.Delete:
		return []string{"SELECT", "DELETE"}
	default:
		return []string{"SELECT", "INSERT", "UPDATE"}
	}
}

// actions are what a mode does.
func actions(mode string) []activate.Action {
	switch mode {
	case "":
		return nil
	case activate.ModeAppend:
		return []activate.Action{activate.Append}
	case activate.ModeInsert:
		return []activate.Action{activate.Create}
	case activate.ModeUpdate:
		return []activate.Action{activate.Update}
	case activate.ModeMirror:
		return []activate.Action{activate.Upsert, activate.Delete}
	default:
		return []activate.Action{activate.Upsert}
	}
}

// named are the columns that an action names for a sync of these fields.
func (s *shape) named(a activate.Action, fields []string) []string {
	names := slices.Clone(fields)
	if a == activate.Delete {
		names = nil
	}
	if a == activate.Append {
		return names
	}
	for _, k := range s.key {
		if !slices.Contains(names, k) {
			names = append(names, k)
		}
	}
	return names
}

// pick are the columns that an action names, or why it cannot be done to the
// table whatever the rows are: all reasons at once.
func (s *shape) pick(a activate.Action, names []string) ([]column, error) {
	var out []column
	var wrong []string
	var do []string
	var missing []string
	for _, name := range names {
		i := slices.IndexFunc(s.columns, func(c column) bool { return c.name == name })
		if i < 0 {
			missing = append(missing, name)
			continue
		}
		c := s.columns[i]
		if c.generated || c.always && !s.isKey(name) {
			wrong = append(wrong, fmt.Sprintf("column %s of %s is generated by the database", name, s.table.Display()))
			do = append(do, "take "+name+" out of fields:")
		}
		out = append(out, c)
	}
	if len(missing) > 0 {
		have := make([]string, len(s.columns))
		for i, c := range s.columns {
			have[i] = c.name
		}
		wrong = append(wrong, fmt.Sprintf("table %s has no column %s; it has %s", s.table.Display(), strings.Join(missing, ", "), strings.Join(have, ", ")))
		do = append(do, "mend fields:, or add the column: ALTER TABLE "+s.table.String()+" ADD COLUMN "+warehouse.Quote(missing[0])+" …")
	}
	if a != activate.Append && len(missing) == 0 && !s.unambiguous() {
		wrong = append(wrong, fmt.Sprintf("table %s has no unique index on %s, so that a key may have several rows", s.table.Display(), strings.Join(s.key, ", ")))
		do = append(do, "make one: CREATE UNIQUE INDEX ON "+s.table.String()+" ("+quoted(s.key)+")")
	}
	if lacking := s.lacking(a, out); len(lacking) > 0 {
		wrong = append(wrong, fmt.Sprintf("user %s may not %s on table %s", s.user, strings.Join(lacking, ", "), s.table.Display()))
		do = append(do, "as its owner: GRANT "+strings.Join(lacking, ", ")+" ON "+s.table.String()+" TO "+warehouse.Quote(s.user))
	}
	if len(wrong) > 0 {
		return nil, barred("table", strings.Join(wrong, "; "), strings.Join(do, "; "))
	}
	return out, nil
}

func (s *shape) lacking(a activate.Action, columns []column) (list []string) {
	for _, privilege := range needs(a) {
		if slices.ContainsFunc(columns, func(c column) bool {
			return !c.may[privilege] && !(privilege == "UPDATE" && s.isKey(c.name)) // a key is not set
		}) {
			list = append(list, privilege)
		}
	}
	return list
}

// unambiguous reports whether a unique index has just the columns of the key.
func (s *shape) unambiguous() bool {
	key := slices.Sorted(slices.Values(s.key))
	return slices.ContainsFunc(s.unique, func(u []string) bool { return slices.Equal(slices.Sorted(slices.Values(u)), key) })
}

func (s *shape) isKey(name string) bool { return slices.Contains(s.key, name) }

// readable reports whether any row can be looked for.
func (s *shape) readable() bool {
	return slices.ContainsFunc(s.columns, func(c column) bool { return c.may["SELECT"] })
}

func quoted(names []string) string {
	list := make([]string, len(names))
	for i, n := range names {
		list[i] = warehouse.Quote(n)
	}
	return strings.Join(list, ", ")
}
