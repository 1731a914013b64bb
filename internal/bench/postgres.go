package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"elt/extract"
	"elt/extract/postgres"
	"elt/internal/secret"
	"elt/load"
)

// urlVariable hands the address of the throw-away PostgreSQL to the children.
const urlVariable = "ELT_BENCH_POSTGRES"

// onPostgres runs fn on a connection.
func onPostgres(ctx context.Context, fn func(*pgconn.PgConn) error) (err error) {
	conn, err := pgconn.Connect(ctx, os.Getenv(urlVariable))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	return fn(conn)
}

// preparePostgres fills the table that is read.
func preparePostgres(ctx context.Context, dir string) error {
	return onPostgres(ctx, func(conn *pgconn.PgConn) (err error) {
		if _, err := conn.Exec(ctx, `CREATE TABLE lineitem (`+declared(" ", "")+`)`).ReadAll(); err != nil {
			return err
		}
		f, err := os.Open(filepath.Join(dir, "all.csv"))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		if _, err := conn.CopyFrom(ctx, f, `COPY lineitem FROM STDIN (FORMAT csv, HEADER)`); err != nil {
			return fmt.Errorf("fill the table: %w", err)
		}
		_, err = conn.Exec(ctx, `VACUUM (FREEZE, ANALYZE) lineitem`).ReadAll()
		return err
	})
}

// drain copies the table to nowhere.
func drain(ctx context.Context) (took time.Duration, err error) {
	err = onPostgres(ctx, func(conn *pgconn.PgConn) error {
		start := time.Now()
		_, err := conn.CopyTo(ctx, io.Discard, `COPY lineitem TO STDOUT (FORMAT binary)`)
		took = time.Since(start)
		return err
	})
	return took, err
}

// fromPostgres loads the table as a first run does.
func fromPostgres(ctx context.Context, file, dir string, rows int64) (took time.Duration, err error) {
	src, err := postgres.Kind().Open(ctx, extract.Config{
		Connection: &postgres.Connection{URL: secret.New(os.Getenv(urlVariable))},
		Streams:    []extract.StreamConfig{{Name: "lineitem"}},
	})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	db, err := openLoad(ctx, file, dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	start := time.Now()
	streams, err := src.Streams(ctx, "lineitem")
	if err != nil {
		return 0, err
	}
	c := contract(load.Replace)
	sc, err := streams[0].Open(ctx, extract.Request{Reject: c.Rejects.Add})
	if err != nil {
		return 0, err
	}
	res, err := publish(ctx, db, sc, c, load.Target{Disposition: load.Replace})
	took = time.Since(start)
	if err == nil && res.Published != rows {
		err = fmt.Errorf("%d of %d rows were published", res.Published, rows)
	}
	return took, errors.Join(err, sc.Close())
}
