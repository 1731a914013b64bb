package warehouse

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/array"

	"elt/internal/rows"
)

// Tx is the transaction of one Update or View; not safe for concurrent use.
// After a statement failed it runs nothing more.
type Tx struct {
	driver  DriverTx
	dialect *Dialect
	poison  error
}

// Dialect describes the engine.
func (tx *Tx) Dialect() *Dialect { return tx.dialect }

// Exec is [DriverTx.Exec].
func (tx *Tx) Exec(ctx context.Context, q string, args ...any) (int64, error) {
	if tx.poison != nil {
		return 0, tx.poison
	}
	n, err := tx.driver.Exec(ctx, q, args...)
	return n, tx.check(err)
}

// Query is [DriverTx.Query].
func (tx *Tx) Query(ctx context.Context, q string, args ...any) (array.RecordReader, error) {
	if tx.poison != nil {
		return nil, tx.poison
	}
	r, err := tx.driver.Query(ctx, q, args...)
	if tx.check(err) != nil {
		return nil, err
	}
	return &watchedReader{RecordReader: r, tx: tx}, nil
}

// Append is [DriverTx.Append].
func (tx *Tx) Append(ctx context.Context, t Table, r array.RecordReader) (int64, error) {
	if tx.poison != nil {
		return 0, tx.poison
	}
	n, err := tx.driver.Append(ctx, t, r)
	return n, tx.check(err)
}

// Schema returns the columns of t in their order, none when t does not exist.
// It sees what the transaction has made so far.
func (tx *Tx) Schema(ctx context.Context, t Table) ([]Column, error) {
	cols, err := tx.describe(ctx, t)
	if len(cols) == 0 && err == nil {
		err = Each(ctx, tx, tx.dialect.schemaQuery(), func(r rows.Row) error {
			cols = append(cols, Column{Name: r.String(0), Type: r.String(1), NotNull: r.Bool(2)})
			return nil
		}, t.Schema, t.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("columns of %s: %w", t.Display(), err)
	}
	return cols, nil
}

// describe asks DuckDB for the one table: the list of all columns is made anew for
// every query of it, at ten times the cost. It returns none where it cannot
// tell, such as for a table that does not exist, or for a view that no longer fits
// what it reads; DuckDB's transaction goes on after that.
func (tx *Tx) describe(ctx context.Context, t Table) ([]Column, error) {
	if tx.dialect.Name != "duckdb" || tx.poison != nil {
		return nil, tx.poison
	}
	r, err := tx.driver.Query(ctx, `DESCRIBE `+t.String())
	if KindOf(err) == KindNotFound {
		return nil, nil
	}
	if tx.check(err) != nil {
		return nil, err
	}
	var cols []Column
	err = rows.Each(&watchedReader{RecordReader: r, tx: tx}, func(r rows.Row) error {
		cols = append(cols, Column{Name: r.String(0), Type: r.String(1), NotNull: r.String(2) == "NO"})
		return nil
	})
	return cols, err
}

func (tx *Tx) check(err error) error {
	if err != nil && tx.poison == nil {
		tx.poison = err
	}
	return err
}

// watchedReader poisons the transaction when reading fails.
type watchedReader struct {
	array.RecordReader
	tx *Tx
}

func (r *watchedReader) Next() bool {
	ok := r.RecordReader.Next()
	if !ok {
		_ = r.tx.check(r.Err())
	}
	return ok
}

// schemaQuery lists the columns of one table: name, type, not null.
func (d *Dialect) schemaQuery() string {
	if d.Name == "postgres" {
		return `SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull
			FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`
	}
	// The scratch schema is a database of its own.
	return `SELECT column_name, data_type, NOT is_nullable FROM duckdb_columns()
		WHERE CASE WHEN $1 = ` + Literal(d.Scratch) + ` THEN database_name = $1 AND schema_name = 'main'
			ELSE database_name = current_database() AND schema_name = $1 END AND table_name = $2 ORDER BY column_index`
}
