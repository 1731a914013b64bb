package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"elt/internal/scan"
	"elt/internal/warehouse"
	"elt/internal/warehouse/duckdb"
	"elt/load"
)

// columns are those of the made table, in DuckDB's types.
func columns() []scan.Column {
	var out []scan.Column
	for _, c := range [][2]string{
		{"id", "BIGINT"}, {"part", "BIGINT"}, {"supplier", "INTEGER"}, {"line", "INTEGER"}, {"quantity", "DECIMAL(15,2)"},
		{"price", "DECIMAL(15,2)"}, {"discount", "DECIMAL(15,2)"}, {"tax", "DECIMAL(15,2)"}, {"flag", "VARCHAR"}, {"status", "VARCHAR"},
		{"shipped", "DATE"}, {"committed", "DATE"}, {"received", "DATE"}, {"instruct", "VARCHAR"}, {"mode", "VARCHAR"}, {"comment", "VARCHAR"},
	} {
		out = append(out, scan.Column{Name: c[0], Type: c[1]})
	}
	return out
}

// makeRows writes lineitem-like rows as CSV and Parquet.
func makeRows(ctx context.Context, dir string, rows int64) error {
	db, err := open(ctx, filepath.Join(dir, "make.duckdb"), dir)
	if err != nil {
		return err
	}
	query := fmt.Sprintf(`SELECT i AS id, CAST(hash(i) %% 200000 AS BIGINT) AS part, CAST(hash(i, 1) %% 10000 AS INTEGER) AS supplier, CAST(i %% 7 AS INTEGER) AS line,
		CAST(hash(i, 2) %% 5000 AS DECIMAL(15,2)) / 100 AS quantity, CAST(hash(i, 3) %% 10000000 AS DECIMAL(15,2)) / 100 AS price,
		CAST(hash(i, 4) %% 11 AS DECIMAL(15,2)) / 100 AS discount, CAST(hash(i, 5) %% 9 AS DECIMAL(15,2)) / 100 AS tax,
		['A', 'N', 'R'][CAST(1 + hash(i, 6) %% 3 AS BIGINT)] AS flag, ['F', 'O'][CAST(1 + hash(i, 7) %% 2 AS BIGINT)] AS status,
		DATE '1992-01-01' + CAST(hash(i, 8) %% 2500 AS INTEGER) AS shipped, DATE '1992-01-01' + CAST(hash(i, 9) %% 2500 AS INTEGER) AS committed,
		DATE '1992-01-01' + CAST(hash(i, 10) %% 2500 AS INTEGER) AS received,
		['DELIVER IN PERSON', 'COLLECT COD', 'NONE', 'TAKE BACK RETURN'][CAST(1 + hash(i, 11) %% 4 AS BIGINT)] AS instruct,
		['AIR', 'RAIL', 'SHIP', 'TRUCK', 'MAIL'][CAST(1 + hash(i, 12) %% 5 AS BIGINT)] AS mode, substr(md5(CAST(i AS VARCHAR)), 1, 27) AS comment
		FROM range(%d) AS r(i)`, rows)
	for _, name := range []string{"lineitem.csv' (HEADER", "lineitem.parquet' (FORMAT parquet"} {
		err = errors.Join(err, exec1(ctx, db, "COPY ("+query+") TO '"+filepath.Join(dir, name)+")"))
	}
	return errors.Join(err, db.Close())
}

func open(ctx context.Context, path, dir string) (*warehouse.DB, error) {
	d, err := duckdb.Open(ctx, duckdb.Options{Path: path, AllowedDirs: []string{dir}})
	if err != nil {
		return nil, err
	}
	return warehouse.Open(ctx, d)
}

func exec1(ctx context.Context, db *warehouse.DB, statements ...string) error {
	return db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		for _, q := range statements {
			if _, err := tx.Exec(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
}

// filesScan is a scan of one file.
type filesScan struct{ files scan.Files }

func (s filesScan) Schema() *arrow.Schema  { return nil }
func (s filesScan) Parts() []scan.Part     { return []scan.Part{{Files: &s.files}} }
func (s filesScan) Cursor() scan.Cursor    { return "x" }
func (s filesScan) Counted() (int64, bool) { return 0, false }
func (s filesScan) Close() error           { return nil }

var target = warehouse.Table{Schema: "shop", Name: "lineitem"}

// publish loads one file the way the pipeline does.
func publish(ctx context.Context, db *warehouse.DB, f scan.Files, disposition, id string) error {
	var key []string
	if disposition == load.Merge {
		key = []string{"id"}
	}
	staged, err := load.Stage(ctx, db, filesScan{f}, load.Contract{Table: target, LoadID: id, LoadedAt: time.Now(), Key: key, Files: true, TimeZone: "UTC"})
	if err != nil {
		return err
	}
	err = db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		_, err := staged.Publish(ctx, tx, load.Target{Disposition: disposition, Key: key})
		return err
	})
	return errors.Join(err, staged.Drop(ctx))
}

func lineitem(b *data, format scan.Format, name string) scan.Files {
	return scan.Files{Format: format, Columns: columns(), Paths: []scan.File{{Path: file(b, name), Name: name}}}
}

func firstLoad(format scan.Format, name string) variant {
	return variant{run: func(ctx context.Context, b *data) error {
		db, err := open(ctx, filepath.Join(b.scratch, "wh.duckdb"), b.source)
		if err != nil {
			return err
		}
		return errors.Join(publish(ctx, db, lineitem(b, format, name), load.File, "l1"), db.Close())
	}}
}

// bareInsert is DuckDB's own INSERT from the same file.
func bareInsert(from func(b *data) string) variant {
	return variant{run: func(ctx context.Context, b *data) error {
		db, err := open(ctx, filepath.Join(b.scratch, "wh.duckdb"), b.source)
		if err != nil {
			return err
		}
		defs := ""
		for i, c := range columns() {
			if i > 0 {
				defs += ", "
			}
			defs += c.Name + " " + c.Type
		}
		return errors.Join(exec1(ctx, db, "CREATE SCHEMA shop", "CREATE TABLE "+target.String()+" ("+defs+")",
			"INSERT INTO "+target.String()+" SELECT * FROM "+from(b)), db.Close())
	}}
}

// loaded prepares a warehouse that has all rows, for what merges into it.
func loaded(ctx context.Context, b *data) error {
	db, err := open(ctx, filepath.Join(b.scratch, "wh.duckdb"), b.source)
	if err != nil {
		return err
	}
	err = publish(ctx, db, lineitem(b, scan.Parquet, "lineitem.parquet"), load.File, "l1")
	changed := fmt.Sprintf("COPY (SELECT * REPLACE (price + 1 AS price) FROM '%s' WHERE id %% 10 = 3) TO '%s' (FORMAT parquet)",
		file(b, "lineitem.parquet"), filepath.Join(b.scratch, "changed.parquet"))
	return errors.Join(err, exec1(ctx, db, changed), db.Close())
}

func changedFile(b *data) scan.Files {
	return scan.Files{Format: scan.Parquet, Columns: columns(), Paths: []scan.File{{Path: filepath.Join(b.scratch, "changed.parquet"), Name: "changed.parquet"}}}
}

func pairs() []pair {
	withDB := func(fn func(ctx context.Context, db *warehouse.DB, b *data) error) func(context.Context, *data) error {
		return func(ctx context.Context, b *data) error {
			db, err := open(ctx, filepath.Join(b.scratch, "wh.duckdb"), b.source)
			if err != nil {
				return err
			}
			return errors.Join(fn(ctx, db, b), db.Close())
		}
	}
	csv := func(b *data) string {
		types := ""
		for i, c := range columns() {
			if i > 0 {
				types += ", "
			}
			types += "'" + c.Name + "': '" + c.Type + "'"
		}
		return "read_csv('" + file(b, "lineitem.csv") + "', types={" + types + "})"
	}
	return []pair{
		{"CSV → DuckDB, first load", firstLoad(scan.CSV, "lineitem.csv"), bareInsert(csv), 1.15},
		{"Parquet → DuckDB, first load", firstLoad(scan.Parquet, "lineitem.parquet"),
			bareInsert(func(b *data) string { return "read_parquet('" + file(b, "lineitem.parquet") + "')" }), 1.15},
		{"merge of a tenth, DuckDB", variant{prepare: loaded, run: withDB(func(ctx context.Context, db *warehouse.DB, b *data) error {
			return publish(ctx, db, changedFile(b), load.Merge, "l2")
		})}, variant{prepare: loaded, run: withDB(func(ctx context.Context, db *warehouse.DB, b *data) error {
			from := "read_parquet('" + filepath.Join(b.scratch, "changed.parquet") + "')"
			return exec1(ctx, db, "CREATE TABLE shop.stage AS SELECT *, 'changed.parquet' AS _source_file, 'l2' AS _elt_load_id, now() AS _elt_loaded_at FROM "+from,
				"DELETE FROM "+target.String()+" WHERE id IN (SELECT id FROM shop.stage)", "INSERT INTO "+target.String()+" BY NAME SELECT * FROM shop.stage", "DROP TABLE shop.stage")
		})}, 1.30},
	}
}
