package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"elt/internal/scan"
	"elt/internal/warehouse"
	"elt/load"
	"elt/window"
)

// pastDays are the days over which the rows of a backfill are spread, in the order in which they came.
const pastDays = 30

func pastStart() time.Time { return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC) }

// preparePast makes a file of rows with times, and a warehouse that has loaded it.
func preparePast(ctx context.Context, dir string, rows int64) (err error) {
	data, err := bareDB(ctx, "", fmt.Sprintf(`COPY (SELECT *, TIMESTAMPTZ '2026-03-01 00:00:00+00' + to_microseconds(((row_number() OVER () - 1)::HUGEINT * %d // %d)::BIGINT) AS l_at
		FROM read_parquet('%s/all.parquet')) TO '%s/past.csv' (HEADER)`, (pastDays*24*time.Hour).Microseconds(), rows, dir, dir))
	if err != nil {
		return err
	}
	if err := data.Close(); err != nil {
		return err
	}
	_, err = loadPast(ctx, filepath.Join(dir, "past.duckdb"), dir)
	return err
}

// pastScan is the file of preparePast.
func pastScan(dir string) (scan.Scan, error) {
	path := filepath.Join(dir, "past.csv")
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	f := scan.Files{Format: scan.CSV, Paths: []scan.File{{Path: path, Name: filepath.Base(path), Size: info.Size(), Modified: info.ModTime()}}}
	for _, col := range columns() {
		f.Columns = append(f.Columns, scan.Column{Name: col[0], Type: col[1]})
	}
	f.Columns = append(f.Columns, scan.Column{Name: "l_at", Type: "TIMESTAMPTZ"})
	return fileScan{f}, nil
}

// loadPast loads the file once, in place of the rows that are there.
func loadPast(ctx context.Context, file, dir string) (took time.Duration, err error) {
	db, err := openLoad(ctx, file, dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	sc, err := pastScan(dir)
	if err != nil {
		return 0, err
	}
	c := contract(load.File)
	c.Files = true
	c.LoadID += time.Now().String()
	start := time.Now()
	_, err = publish(ctx, db, sc, c, load.Target{Disposition: load.File})
	return time.Since(start), err
}

// backfill loads the file day by day, as a backfill of 30 days does.
func backfill(ctx context.Context, file, dir string, rows int64) (took time.Duration, err error) {
	db, err := openLoad(ctx, file, dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	sc, err := pastScan(dir)
	if err != nil {
		return 0, err
	}
	end := pastStart().AddDate(0, 0, pastDays)
	windows := window.Span{N: 1, Unit: "d"}.Cut(window.Window{Start: pastStart(), End: end}, time.UTC)
	c := contract("backfill")
	c.Files, c.Divided = true, true
	start := time.Now()
	staged, err := load.Stage(ctx, db, sc, c)
	if err != nil {
		return 0, err
	}
	divided, err := staged.Divide(ctx, load.Target{Time: "l_at"}, windows)
	if err != nil {
		return 0, err
	}
	var published int64
	for _, ws := range divided.Groups(windows) {
		w := window.Window{Start: ws[0].Start, End: ws[len(ws)-1].End}
		err := db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
			res, err := divided.Publish(ctx, tx, w)
			published += res.Published
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	err = staged.Drop(ctx)
	took = time.Since(start)
	if err == nil && published != rows {
		err = fmt.Errorf("%d of %d rows were published", published, rows)
	}
	return took, err
}
