package load

import (
	"context"
	"fmt"
	"strings"

	"elt/internal/rows"
	"elt/internal/warehouse"
)

// projection is one column of a SELECT: an expression with the name it gets.
type projection struct{ expr, name string }

// plain selects columns as they are.
func plain(cols []warehouse.Column) []projection {
	out := make([]projection, len(cols))
	for i, c := range cols {
		out[i] = projection{expr: warehouse.Quote(c.Name), name: c.Name}
	}
	return out
}

// selectList is the SELECT list of ps, with names.
func selectList(ps []projection) string {
	parts := make([]string, len(ps))
	for i, p := range ps {
		parts[i] = p.expr
		if name := warehouse.Quote(p.name); name != p.expr {
			parts[i] += " AS " + name
		}
	}
	return strings.Join(parts, ", ")
}

func projected(ps []projection) []string {
	out := make([]string, len(ps))
	for i, p := range ps {
		out[i] = p.name
	}
	return out
}

// checksum counts the rows of t that where selects, and sums them up as ps
// shows them.
func checksum(ctx context.Context, tx *warehouse.Tx, t warehouse.Table, ps []projection, where string, args ...any) (int64, string, error) {
	from := `SELECT ` + selectList(ps) + ` FROM ` + t.String() + where
	q := `SELECT count(*), ` + tx.Dialect().Checksum(projected(ps)) + ` FROM (` + from + `) AS rows_of_load`
	var n int64
	var sum string
	err := warehouse.Each(ctx, tx, q, func(r rows.Row) error {
		n, sum = r.Int(0), r.String(1)
		return nil
	}, args...)
	if err != nil {
		return 0, "", fmt.Errorf("checksum of %s: %w", t.Display(), err)
	}
	return n, sum, nil
}

// count runs a SELECT of one number.
func count(ctx context.Context, tx *warehouse.Tx, q string, args ...any) (int64, error) {
	var n int64
	err := warehouse.Each(ctx, tx, q, func(r rows.Row) error {
		n = r.Int(0)
		return nil
	}, args...)
	return n, err
}

// ofLoad selects the rows of one load; its id is the only parameter.
const ofLoad = ` WHERE "` + warehouse.ColLoadID + `" = $1`
