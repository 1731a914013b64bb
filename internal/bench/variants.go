package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	_ "github.com/duckdb/duckdb-go/v2" // the limits speak to DuckDB directly

	"elt/internal/scan"
	"elt/internal/warehouse"
	"elt/internal/warehouse/duckdb"
	"elt/load"
)

// columns are those of TPC-H's lineitem, by name, type and the expression over i.
func columns() [][3]string {
	return [][3]string{
		{"l_orderkey", "BIGINT", "i // 4"}, {"l_linenumber", "INTEGER", "i % 4 + 1"},
		{"l_partkey", "BIGINT", "hash(i) % 200000"}, {"l_suppkey", "BIGINT", "hash(i + 1) % 10000"},
		{"l_quantity", "DECIMAL(15,2)", "hash(i + 2) % 50 + 1"},
		{"l_extendedprice", "DECIMAL(15,2)", "(hash(i + 3) % 10000000) / 100"},
		{"l_discount", "DECIMAL(15,2)", "(hash(i + 4) % 11) / 100"}, {"l_tax", "DECIMAL(15,2)", "(hash(i + 5) % 9) / 100"},
		{"l_returnflag", "VARCHAR", "substr('ANR', (hash(i + 6) % 3)::INTEGER + 1, 1)"},
		{"l_linestatus", "VARCHAR", "substr('FO', (hash(i + 7) % 2)::INTEGER + 1, 1)"},
		{"l_shipdate", "DATE", "DATE '1992-01-01' + (hash(i + 8) % 2500)::INTEGER"},
		{"l_commitdate", "DATE", "DATE '1992-01-01' + (hash(i + 9) % 2500)::INTEGER"},
		{"l_receiptdate", "DATE", "DATE '1992-01-01' + (hash(i + 10) % 2500)::INTEGER"},
		{"l_shipinstruct", "VARCHAR", "['DELIVER IN PERSON', 'COLLECT COD', 'NONE', 'TAKE BACK RETURN'][(hash(i + 11) % 4)::INTEGER + 1]"},
		{"l_shipmode", "VARCHAR", "['AIR', 'RAIL', 'SHIP', 'TRUCK', 'MAIL'][(hash(i + 12) % 5)::INTEGER + 1]"},
		{"l_comment", "VARCHAR", "substr(md5(i::VARCHAR) || md5((i + 1)::VARCHAR), 1, 10 + (hash(i + 13) % 34)::INTEGER)"},
	}
}

// memoryLimit is DuckDB's own, for paths and limits alike.
const memoryLimit = "1GiB"

func target() warehouse.Table { return warehouse.Table{Schema: "bench", Name: "lineitem"} }

// runChild runs one variant and prints its time as JSON.
func runChild(ctx context.Context, variant, dir string, rows int64) error {
	file := filepath.Join(dir, "run.duckdb")
	for _, f := range []string{file, file + ".wal"} {
		if err := os.RemoveAll(f); err != nil {
			return err
		}
	}
	if strings.HasPrefix(variant, "diff") || strings.HasPrefix(variant, "changes") {
		if err := copyFile(filepath.Join(dir, "sync.duckdb"), file); err != nil {
			return fmt.Errorf("copy the synced warehouse: %w", err)
		}
	}
	if strings.HasPrefix(variant, "backfill") {
		if err := copyFile(filepath.Join(dir, "past.duckdb"), file); err != nil {
			return fmt.Errorf("copy the loaded warehouse: %w", err)
		}
	}
	if variant == "push" {
		if err := copyFile(filepath.Join(dir, "push.duckdb"), file); err != nil {
			return fmt.Errorf("copy the model to push: %w", err)
		}
	}
	if strings.HasPrefix(variant, "merge") {
		data, err := bareDB(ctx, "", fmt.Sprintf(`ATTACH '%s/base.duckdb' AS base (READ_ONLY); ATTACH '%s' AS run; COPY FROM DATABASE base TO run`, dir, file))
		if err != nil {
			return fmt.Errorf("copy the base: %w", err)
		}
		if err := data.Close(); err != nil {
			return err
		}
	}
	took, err := run(ctx, variant, dir, file, rows)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(sample{Seconds: took.Seconds()})
}

func run(ctx context.Context, variant, dir, file string, rows int64) (time.Duration, error) {
	csv, parquet, delta := filepath.Join(dir, "all.csv"), filepath.Join(dir, "all.parquet"), filepath.Join(dir, "delta.parquet")
	switch variant {
	case "prepare":
		return prepare(ctx, dir, rows)
	case "csv":
		return elt(ctx, file, dir, csv, scan.CSV, load.Replace)
	case "parquet":
		return elt(ctx, file, dir, parquet, scan.Parquet, load.Replace)
	case "merge":
		return elt(ctx, file, dir, delta, scan.Parquet, load.Merge)
	case "backfill":
		return backfill(ctx, file, dir, rows)
	case "backfill-limit":
		return loadPast(ctx, file, dir)
	case "postgres":
		return fromPostgres(ctx, file, dir, rows)
	case "postgres-limit":
		return drain(ctx)
	case "http":
		return pushHTTP(ctx)
	case "http-limit":
		return bareHTTP(ctx)
	case "push":
		return push(ctx, file, pushedRows(rows))
	case "push-limit":
		return copyBinary(ctx, dir, pushedRows(rows))
	case "changes":
		return pushChanges(ctx, file, modelRows(rows))
	case "changes-limit":
		return bareChanges(ctx, file, dir, modelRows(rows))
	case "diff":
		return diff(ctx, file, modelRows(rows))
	case "diff-limit":
		return bareDiff(ctx, file, 0)
	case "csv-limit":
		return bare(ctx, file, true, `INSERT INTO bench.lineitem SELECT * FROM read_csv('`+csv+`', header=true, columns={`+declared(": '", "'")+`})`)
	case "parquet-limit":
		return bare(ctx, file, true, `INSERT INTO bench.lineitem SELECT * FROM read_parquet('`+parquet+`')`)
	case "merge-limit":
		return bare(ctx, file, false, `BEGIN; DELETE FROM bench.lineitem AS t USING read_parquet('`+delta+`') AS d
			WHERE t.l_orderkey = d.l_orderkey AND t.l_linenumber = d.l_linenumber;
			INSERT INTO bench.lineitem BY NAME SELECT *, 'bare' AS _elt_load_id, now() AS _elt_loaded_at FROM read_parquet('`+delta+`'); COMMIT`)
	}
	return 0, fmt.Errorf("no variant is called %q", variant)
}

// declared lists the columns with their types.
func declared(between, after string) string {
	var list []string
	for _, c := range columns() {
		list = append(list, c[0]+between+c[1]+after)
	}
	return strings.Join(list, ", ")
}

func bareDB(ctx context.Context, file, q string) (*sql.DB, error) {
	db, err := sql.Open("duckdb", file)
	if err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, q); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// prepare makes the files, and the warehouse that merges begin with.
func prepare(ctx context.Context, dir string, rows int64) (time.Duration, error) {
	var list []string
	for _, c := range columns() {
		list = append(list, "("+c[2]+")::"+c[1]+" AS "+c[0])
	}
	query := func(step int64) string {
		return fmt.Sprintf(`(SELECT %s FROM (SELECT range * %d AS i FROM range(%d)))`, strings.Join(list, ", "), step, rows/step)
	}
	db, err := bareDB(ctx, "", `COPY `+query(1)+` TO '`+dir+`/all.parquet'; COPY `+query(1)+` TO '`+dir+`/all.csv' (HEADER);
		COPY `+query(10)+` TO '`+dir+`/delta.parquet'`)
	if err != nil {
		return 0, fmt.Errorf("make the data: %w", err)
	}
	if err := db.Close(); err != nil {
		return 0, err
	}
	if err := prepareSync(ctx, dir, modelRows(rows)); err != nil {
		return 0, fmt.Errorf("make the synced warehouse: %w", err)
	}
	if err := preparePast(ctx, dir, rows); err != nil {
		return 0, fmt.Errorf("make the past: %w", err)
	}
	if err := errors.Join(preparePush(ctx, dir, pushedRows(rows)), prepareChanges(ctx, dir)); err != nil {
		return 0, fmt.Errorf("make the rows to push: %w", err)
	}
	if err := preparePostgres(ctx, dir); err != nil {
		return 0, fmt.Errorf("fill PostgreSQL: %w", err)
	}
	return elt(ctx, filepath.Join(dir, "base.duckdb"), dir, filepath.Join(dir, "all.parquet"), scan.Parquet, load.Replace)
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// bare runs a statement on DuckDB alone.
func bare(ctx context.Context, file string, create bool, q string) (took time.Duration, err error) {
	setup := `SET preserve_insertion_order = false; SET memory_limit = '` + memoryLimit + `'`
	if create {
		setup += `; CREATE SCHEMA bench; CREATE TABLE bench.lineitem (` + declared(" ", "") + `)`
	}
	db, err := bareDB(ctx, file, setup)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	start := time.Now()
	_, err = db.ExecContext(ctx, q)
	return time.Since(start), err
}

func openLoad(ctx context.Context, file, dir string) (*warehouse.DB, error) {
	drv, err := duckdb.Open(ctx, duckdb.Options{Path: file, Memory: memoryLimit, AllowedDirs: []string{dir}})
	if err != nil {
		return nil, err
	}
	return warehouse.Open(ctx, drv)
}

// contract is that of a load without a key.
func contract(disposition string) load.Contract {
	return load.Contract{
		Table: target(), LoadID: "load-" + disposition, LoadedAt: time.Now().UTC(),
		Replaces: disposition == load.Replace, Rejects: load.NewRejects(0),
	}
}

// publish stages and publishes sc, as a run does.
func publish(ctx context.Context, db *warehouse.DB, sc scan.Scan, c load.Contract, to load.Target) (res load.Result, err error) {
	st, err := load.Stage(ctx, db, sc, c)
	if err != nil {
		return res, err
	}
	err = db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) (err error) {
		res, err = st.Publish(ctx, tx, to)
		return err
	})
	return res, errors.Join(err, st.Drop(ctx))
}

// elt loads a file as a run does: stage, then publish.
func elt(ctx context.Context, file, dir, path string, format scan.Format, disposition string) (took time.Duration, err error) {
	db, err := openLoad(ctx, file, dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	to := load.Target{Disposition: disposition, Key: []string{"l_orderkey", "l_linenumber"}}
	c := contract(disposition)
	if disposition == load.Merge {
		c.Key = to.Key
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	f := scan.Files{Format: format, Paths: []scan.File{{Path: path, Name: filepath.Base(path), Size: info.Size(), Modified: info.ModTime()}}}
	for _, col := range columns() {
		f.Columns = append(f.Columns, scan.Column{Name: col[0], Type: col[1]})
	}
	start := time.Now()
	_, err = publish(ctx, db, fileScan{f}, c, to)
	return time.Since(start), err
}

// fileScan is a scan of one part that is a file.
type fileScan struct{ files scan.Files }

func (s fileScan) Schema() *arrow.Schema  { return nil }
func (s fileScan) Parts() []scan.Part     { return []scan.Part{{Files: &s.files}} }
func (s fileScan) Cursor() scan.Cursor    { return "" }
func (s fileScan) Counted() (int64, bool) { return 0, false }
func (s fileScan) Close() error           { return nil }
