package main

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"

	"elt/internal/warehouse"
)

// cutting is a driver that ends the connection of its source in the middle of
// what is appended to the stage of shop.orders.
type cutting struct {
	warehouse.Driver
	cut   func() error
	times *atomic.Int64
}

func (d cutting) Begin(ctx context.Context, readOnly bool) (warehouse.DriverTx, error) {
	tx, err := d.Driver.Begin(ctx, readOnly)
	if err != nil {
		return nil, err
	}
	return cuttingTx{DriverTx: tx, driver: d}, nil
}

type cuttingTx struct {
	warehouse.DriverTx
	driver cutting
}

func (tx cuttingTx) Append(ctx context.Context, t warehouse.Table, r array.RecordReader) (int64, error) {
	return tx.DriverTx.Append(ctx, t, &cuttingReader{RecordReader: r, driver: tx.driver})
}

// cuttingReader cuts after its first batch.
type cuttingReader struct {
	array.RecordReader
	driver cutting
	begun  bool
	err    error
}

func (r *cuttingReader) Next() bool {
	if r.err != nil || !r.RecordReader.Next() {
		return false
	}
	if !r.begun {
		r.begun = true
		r.driver.times.Add(1)
		r.err = r.driver.cut()
	}
	return r.err == nil
}

func (r *cuttingReader) Err() error {
	if r.err != nil {
		return r.err
	}
	return r.RecordReader.Err()
}

// A source that is cut off in the middle of a COPY, again at each try, fails the
// load: readers see what was there, and the next run reads each row once.
func TestSourceCutInMidCopyPublishesNothing(t *testing.T) {
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			s := newSourced(t, engine, shopProject)
			dir, addr, exec := s.dir, s.addr, s.exec
			exec(`CREATE TABLE orders (id bigint PRIMARY KEY, note text, updated_at timestamptz NOT NULL)`)
			exec(`INSERT INTO orders VALUES (0, 'the first', '2026-03-08')`)
			mustRun(t, dir, addr)
			before := dump(t, dir, addr, "shop.orders")
			// Far more than what fits the buffers between the server and the stage.
			exec(`INSERT INTO orders SELECT i, repeat('x', 8000), '2026-03-09' FROM generate_series(1, 12000) i`)

			times := &atomic.Int64{}
			wrap := func(d warehouse.Driver) warehouse.Driver {
				return cutting{Driver: d, times: times, cut: func() error {
					var n int
					return s.conn.QueryRow(context.WithoutCancel(t.Context()), `SELECT count(pg_terminate_backend(pid, 20000)) FROM pg_stat_activity
						WHERE datname = current_database() AND state = 'active' AND query LIKE 'COPY%'`).Scan(&n)
				}}
			}
			var stderr bytes.Buffer
			code, out := elt(t, dir, addr, &stderr, wrap, "run")
			if code != exitTryAgain || !strings.Contains(stderr.String()+out, "read orders: connection db (elt.yaml:6:3): PostgreSQL at ") || times.Load() == 0 {
				t.Fatalf("exit %d after %d cuts, want 75\n%s\n%s", code, times.Load(), out, &stderr)
			}
			if after := dump(t, dir, addr, "shop.orders"); after != before {
				t.Errorf("the table changed: %s", firstDifference(before, after))
			}
			mustRun(t, dir, addr)
			if n := strings.Count(dump(t, dir, addr, "shop.orders"), "\n"); n != 12002 {
				t.Errorf("%d lines, want a heading and 12,001 rows", n)
			}
		})
	}
}
