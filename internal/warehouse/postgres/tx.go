package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"elt/internal/warehouse"
)

const (
	beginRead  = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
	beginWrite = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
)

// tx implements [warehouse.DriverTx] on one connection, which it gives back when
// it ends.
type tx struct {
	driver *Driver
	conn   *pgconn.PgConn // nil after the end
}

// Begin implements [warehouse.Driver].
func (d *Driver) Begin(ctx context.Context, readOnly bool) (warehouse.DriverTx, error) {
	select {
	case d.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, d.wrap(ctx, fmt.Errorf("wait for a connection: %w", context.Cause(ctx)))
	}
	statement := beginWrite
	if readOnly {
		statement = beginRead
	}
	conn, err := d.begin(ctx, statement)
	if err != nil {
		<-d.slots
		return nil, err
	}
	return &tx{driver: d, conn: conn}, nil
}

var errEnded = errors.New("the transaction has ended")

// Exec implements [warehouse.DriverTx].
func (t *tx) Exec(ctx context.Context, q string, args ...any) (int64, error) {
	if t.conn == nil {
		return 0, &warehouse.Error{Err: errEnded}
	}
	values, formats, err := parameters(args)
	if err != nil {
		return 0, &warehouse.Error{Err: err}
	}
	result := t.conn.ExecParams(ctx, q, values, nil, formats, nil).Read()
	if result.Err != nil {
		return 0, t.driver.wrapAt(ctx, result.Err, q)
	}
	return result.CommandTag.RowsAffected(), nil
}

// Commit implements [warehouse.DriverTx].
func (t *tx) Commit(ctx context.Context) error {
	if t.conn == nil {
		return &warehouse.Error{Err: errEnded}
	}
	result := t.conn.ExecParams(ctx, "COMMIT", nil, nil, nil, nil).Read()
	err := result.Err
	if err == nil && result.CommandTag.String() != "COMMIT" {
		// The server answers COMMIT with ROLLBACK after an error in the transaction.
		err = errors.New("a statement of the transaction had failed: nothing is committed")
	}
	err = t.driver.wrap(ctx, err)
	t.end()
	return err
}

// Rollback implements [warehouse.DriverTx].
func (t *tx) Rollback(ctx context.Context) error {
	if t.conn == nil {
		return nil
	}
	defer t.end()
	if t.conn.IsClosed() {
		return nil
	}
	if _, err := t.conn.Exec(ctx, "ROLLBACK").ReadAll(); err != nil {
		// The server rolls back when the connection ends, which it does now.
		discard(t.conn)
	}
	return nil
}

func (t *tx) end() {
	t.driver.put(t.conn)
	t.conn = nil
	<-t.driver.slots
}

// parameters encodes args in the text form, in which the server reads a value as
// whatever type the statement needs; bytes in binary, which fits bytea and text.
func parameters(args []any) (values [][]byte, formats []int16, err error) {
	const binaryFormat = 1
	for i, arg := range args {
		var value []byte
		format := int16(0)
		switch v := arg.(type) {
		case nil:
		case string:
			value = []byte(v)
		case bool:
			value = strconv.AppendBool([]byte{}, v)
		case int:
			value = strconv.AppendInt(nil, int64(v), 10)
		case int64:
			value = strconv.AppendInt(nil, v, 10)
		case float64:
			value = appendFloat(nil, v)
		case []byte:
			format, value = binaryFormat, v
			if value == nil {
				value = []byte{}
			}
		case time.Time:
			value = v.UTC().AppendFormat(nil, "2006-01-02 15:04:05.999999+00")
		default:
			return nil, nil, fmt.Errorf("parameter $%d is %T: expected string, bool, int64, float64, []byte, time.Time or nil", i+1, arg)
		}
		values, formats = append(values, value), append(formats, format)
	}
	return values, formats, nil
}

func appendFloat(dst []byte, v float64) []byte {
	switch {
	case math.IsInf(v, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(v, -1):
		return append(dst, "-Infinity"...)
	}
	return strconv.AppendFloat(dst, v, 'g', -1, 64)
}
