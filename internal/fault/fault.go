// Package fault makes a warehouse driver fail, or its process die, at any chosen
// call, and a connection break at any byte, so that tests can try them all.
package fault

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow/array"

	"elt/internal/warehouse"
)

// The names of the calls that a Hook sees.
const (
	Begin    = "begin"
	Exec     = "exec"
	Query    = "query"
	Append   = "append"
	Commit   = "commit"
	Rollback = "rollback"
)

// Hook decides about one moment of a call. Calls are numbered from 1 over all
// transactions of a driver, in the order in which they begin; call and op are
// the same before and after. An error before keeps the call from reaching the
// warehouse; one after replaces the call's success, so that the caller believes
// that it failed. An error of Rollback is passed on but never keeps it from
// happening, since that would leave the transaction open. A hook may end the
// process. It must be safe for concurrent use.
type Hook func(call int, op string, before bool) error

// Driver wraps d so that hook sees each call of its transactions. Lock, Close and
// Dialect are d's own. It is as safe for concurrent use as d and hook are.
func Driver(d warehouse.Driver, hook Hook) warehouse.Driver {
	return &driver{Driver: d, hook: hook}
}

// At is a hook that fails call number n once, before or after it, with err.
func At(n int, before bool, err error) Hook {
	return func(call int, _ string, b bool) error {
		if call == n && b == before {
			return fmt.Errorf("injected at call %d: %w", n, err)
		}
		return nil
	}
}

type driver struct {
	warehouse.Driver
	hook  Hook
	calls atomic.Int64
}

// do runs one call between the two moments of the hook.
func (d *driver) do(op string, call func() error) error {
	n := int(d.calls.Add(1))
	if err := d.hook(n, op, true); err != nil {
		return err
	}
	err := call()
	if after := d.hook(n, op, false); after != nil { // also after a call that failed by itself
		return after
	}
	return err
}

// Begin implements [warehouse.Driver].
func (d *driver) Begin(ctx context.Context, readOnly bool) (warehouse.DriverTx, error) {
	var inner warehouse.DriverTx
	err := d.do(Begin, func() (err error) {
		inner, err = d.Driver.Begin(ctx, readOnly)
		return err
	})
	if err != nil {
		if inner != nil { // the caller believes that there is none
			_ = inner.Rollback(context.WithoutCancel(ctx))
		}
		return nil, err
	}
	return &tx{driver: d, inner: inner}, nil
}

type tx struct {
	driver *driver
	inner  warehouse.DriverTx
}

// Exec implements [warehouse.DriverTx].
func (t *tx) Exec(ctx context.Context, q string, args ...any) (n int64, err error) {
	err = t.driver.do(Exec, func() (err error) {
		n, err = t.inner.Exec(ctx, q, args...)
		return err
	})
	return n, err
}

// Query implements [warehouse.DriverTx].
func (t *tx) Query(ctx context.Context, q string, args ...any) (array.RecordReader, error) {
	var r array.RecordReader
	err := t.driver.do(Query, func() (err error) {
		r, err = t.inner.Query(ctx, q, args...)
		return err
	})
	if err != nil {
		if r != nil { // the caller will not release what it never got
			r.Release()
		}
		return nil, err
	}
	return r, nil
}

// Append implements [warehouse.DriverTx].
func (t *tx) Append(ctx context.Context, table warehouse.Table, r array.RecordReader) (n int64, err error) {
	err = t.driver.do(Append, func() (err error) {
		n, err = t.inner.Append(ctx, table, r)
		return err
	})
	return n, err
}

// Commit implements [warehouse.DriverTx].
func (t *tx) Commit(ctx context.Context) error {
	return t.driver.do(Commit, func() error { return t.inner.Commit(ctx) })
}

// Rollback implements [warehouse.DriverTx].
func (t *tx) Rollback(ctx context.Context) error {
	n := int(t.driver.calls.Add(1))
	before := t.driver.hook(n, Rollback, true)
	if err := t.inner.Rollback(ctx); err != nil {
		return err
	}
	if after := t.driver.hook(n, Rollback, false); before == nil {
		return after
	}
	return before
}
