package postgres

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
)

// hashed is a column that takes part in the hashes of a cursor. Columns that are
// added later do not, so that a remembered row keeps its hash.
type hashed struct {
	Name string `json:"n"`
	Type string `json:"t"`
}

// hashedColumns are the columns of the stream as they are now.
func (s *stream) hashedColumns() []hashed {
	out := make([]hashed, len(s.columns))
	for i, c := range s.columns {
		out[i] = hashed{Name: c.Name, Type: c.printed}
	}
	return out
}

// printedAs names types whose values are printed alike, so that such a change of
// a column's type keeps the hashes.
func printedAs(f found) string {
	switch f.OID {
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.TextOID, pgtype.VarcharOID:
		return family(f)
	}
	return f.Declared
}

// hash is the expression by which a row at the boundary is known again.
func (s *stream) hash(columns []hashed) string {
	if len(columns) == 0 { // the first version of cursors takes the whole row
		return fmt.Sprintf("pg_catalog.md5((%s.*)::text)", quote(s.table))
	}
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = quote(c.Name)
	}
	return fmt.Sprintf("pg_catalog.md5(ROW(%s)::text)", strings.Join(names, ", "))
}

// recognizable tells whether c remembers rows, and rows still have such hashes.
// If they do not, a stream with a key reads them again; without one they would
// be doubled.
func (s *stream) recognizable(c *cursor) (bool, error) {
	if len(c.Rows) == 0 {
		return false, nil
	}
	now := s.hashedColumns()
	for _, h := range c.Columns {
		if slices.Contains(now, h) {
			continue
		}
		if len(s.spec.Key) > 0 {
			return false, nil
		}
		return false, fmt.Errorf("column %s (%s) is gone or has another type, and without it the rows at the last %s, %s, that were read already cannot be told from new ones: add key: COLUMN, or read the stream anew: elt run --full-refresh %s",
			h.Name, h.Type, c.Column, c.Value, s.spec.Name)
	}
	return true, nil
}

// beyond is the FROM clause of the rows that lie behind the cursor, and of those
// at its value less as many of each hash as were read before; in a window it is
// that of the rows before the cursor, and of just those that were read.
func (sn *snapshot) beyond() string {
	s, c := sn.stream, sn.ties
	side := ">"
	if sn.from == nil {
		side = "<="
	}
	columns := make([]string, len(s.columns))
	var added []string
	for i, col := range s.columns {
		columns[i] = quote(col.Name)
		if !slices.ContainsFunc(c.Columns, func(h hashed) bool { return h.Name == col.Name }) {
			added = append(added, fmt.Sprintf("(%s IS NOT NULL)::int", columns[i]))
		}
	}
	// Of rows that differ in added columns only, those that were there before
	// tend to have none of them.
	order := ""
	if len(added) > 0 && len(c.Columns) > 0 {
		order = " ORDER BY " + strings.Join(added, " + ")
	}
	list := strings.Join(columns, ", ")
	return fmt.Sprintf(`FROM (
SELECT %[1]s FROM %[2]s%[3]s
UNION ALL
SELECT %[1]s FROM (
  SELECT %[1]s, _elt_hash, row_number() OVER (PARTITION BY _elt_hash%[4]s) AS _elt_nth
  FROM (SELECT %[1]s, %[5]s AS _elt_hash FROM %[2]s%[6]s) AS _elt_tied) AS _elt_numbered
LEFT JOIN (VALUES %[7]s) AS _elt_read(_elt_known, _elt_times) ON _elt_known = _elt_hash
WHERE _elt_nth %[9]s coalesce(_elt_times, 0)) AS %[8]s`,
		list, s.relation(), conditions(sn.where), order, s.hash(c.Columns), conditions(sn.tied), multiplicities(c.Rows), quote(s.table), side)
}

// multiplicities lists each hash with how often it occurs.
func multiplicities(hashes []string) string {
	times := map[string]int{}
	for _, h := range hashes {
		times[h]++
	}
	var out []string
	for _, h := range slices.Compact(slices.Sorted(slices.Values(hashes))) {
		out = append(out, fmt.Sprintf("(%s, %d)", literal(h), times[h]))
	}
	return strings.Join(out, ", ")
}
