package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"elt/internal/pgcopy"
	"elt/internal/pgwatch"
	"elt/internal/warehouse"
)

// Append implements [warehouse.DriverTx] with one binary COPY.
func (t *tx) Append(ctx context.Context, table warehouse.Table, r array.RecordReader) (int64, error) {
	if t.conn == nil {
		return 0, &warehouse.Error{Err: errEnded}
	}
	n, err := t.append(ctx, table, r)
	if err != nil {
		return 0, t.driver.wrap(ctx, fmt.Errorf("insert into %s: %w", table.Display(), err))
	}
	return n, nil
}

func (t *tx) append(ctx context.Context, table warehouse.Table, r array.RecordReader) (int64, error) {
	columns, err := t.columns(ctx, table)
	if err != nil {
		return 0, err
	}
	targets, err := match(r.Schema(), columns)
	if err != nil {
		return 0, err
	}
	encoder, err := pgcopy.NewEncoder(ctx, r, targets)
	if err != nil {
		return 0, err
	}
	var names []string
	for _, c := range targets {
		names = append(names, warehouse.Quote(c.Name))
	}
	statement := "COPY " + table.String() + " (" + strings.Join(names, ", ") + ") FROM STDIN (FORMAT binary)"
	tag, err := t.conn.CopyFrom(ctx, pgwatch.Source(t.conn, encoder), statement)
	encoder.Stop()
	// What ended the stream says more than the server's echo of it. An error of
	// the rows' reader is not one of this database, whatever it looks like.
	var value *pgcopy.ValueError
	switch cause := encoder.Err(); {
	case cause == nil:
	case ctx.Err() != nil, errors.As(cause, &value):
		return 0, cause
	default:
		return 0, &warehouse.Error{Err: t.driver.scrub.Clean(cause)}
	}
	if err != nil {
		return 0, err
	}
	if tag.RowsAffected() != encoder.Rows() {
		return 0, fmt.Errorf("%d rows sent, the server counts %d", encoder.Rows(), tag.RowsAffected())
	}
	return encoder.Rows(), nil
}

// tableColumns lists the columns that COPY may fill, with the base types of
// domains.
const tableColumns = `SELECT a.attname::text, format_type(a.atttypid, a.atttypmod),
	CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE a.atttypid END::text,
	CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END::text,
	(coalesce(b.typtype, t.typtype) = 'e')::text
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
	JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype
WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY a.attnum`

func (t *tx) columns(ctx context.Context, table warehouse.Table) (map[string]pgcopy.Column, error) {
	values, formats, err := parameters([]any{table.Schema, table.Name})
	if err != nil {
		return nil, err
	}
	result := t.conn.ExecParams(ctx, tableColumns, values, nil, formats, nil).Read()
	if result.Err != nil {
		return nil, result.Err
	}
	if len(result.Rows) == 0 {
		return nil, &warehouse.Error{Kind: warehouse.KindNotFound, Err: fmt.Errorf("table %s does not exist", table.Display())}
	}
	columns := map[string]pgcopy.Column{}
	for _, row := range result.Rows {
		oid, err := strconv.ParseUint(string(row[2]), 10, 32)
		if err != nil {
			return nil, err
		}
		mod, err := strconv.ParseInt(string(row[3]), 10, 32)
		if err != nil {
			return nil, err
		}
		columns[string(row[0])] = pgcopy.Column{
			Name: string(row[0]), Type: string(row[1]), OID: uint32(oid), Mod: int32(mod), Text: string(row[4]) == "true",
		}
	}
	return columns, nil
}

// match finds the column of each field. Columns without a field get their default.
func match(schema *arrow.Schema, columns map[string]pgcopy.Column) ([]pgcopy.Column, error) {
	var targets []pgcopy.Column
	seen := map[string]bool{}
	for _, f := range schema.Fields() {
		c, ok := columns[f.Name]
		switch {
		case !ok:
			return nil, &warehouse.Error{Kind: warehouse.KindNotFound, Err: fmt.Errorf("the table has no column %q", f.Name)}
		case seen[f.Name]:
			return nil, fmt.Errorf("two fields are named %q", f.Name)
		}
		seen[f.Name] = true
		targets = append(targets, c)
	}
	if len(targets) == 0 {
		return nil, errors.New("the rows have no columns")
	}
	return targets, nil
}
