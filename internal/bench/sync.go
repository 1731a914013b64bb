package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"elt/activate"
	"elt/internal/rows"
	"elt/internal/state"
	"elt/internal/warehouse"
	"elt/internal/warehouse/duckdb"
)

// synced is a sync of a model with five columns.
func synced() activate.Sync {
	return activate.Sync{
		Name: "crm", Model: warehouse.Table{Schema: "bench", Name: "customers"}, Object: "contacts", Mode: activate.ModeUpsert,
		Key: []string{"id"}, TargetFP: activate.Fingerprint("bench"), RunID: "run",
		Fields: []activate.Field{
			{Theirs: "email", Column: "email"}, {Theirs: "ltv", Column: "ltv"},
			{Theirs: "risk", Column: "risk"}, {Theirs: "segment", Column: "segment"},
		},
	}
}

// modelRows is how many rows of the model go with so many of the table: 5 to 6 million.
func modelRows(rows int64) int64 { return rows / 6 * 5 }

func modelSQL(n int64) string {
	return fmt.Sprintf(`CREATE TABLE bench.customers AS SELECT i AS id, 'customer' || i || '@example.com' AS email,
		((hash(i) %% 1000000) / 100)::DECIMAL(12,2) AS ltv, (hash(i + 1) %% 1000) / 1000.0::DOUBLE AS risk,
		['new', 'loyal', 'at risk', 'lost'][(hash(i + 2) %% 4)::INTEGER + 1] AS segment FROM range(%d) AS r(i)`, n)
}

func openState(ctx context.Context, file string) (*warehouse.DB, *state.Store, error) {
	drv, err := duckdb.Open(ctx, duckdb.Options{Path: file, Memory: memoryLimit})
	if err != nil {
		return nil, nil, err
	}
	db, err := warehouse.Open(ctx, drv)
	if err != nil {
		return nil, nil, err
	}
	st, err := state.Open(ctx, db, "bench", "dev")
	return db, st, err
}

// prepareSync makes a warehouse in which all rows of the model are acknowledged,
// as a push would leave it, out of the plan of a first sync.
func prepareSync(ctx context.Context, dir string, n int64) (err error) {
	db, st, err := openState(ctx, filepath.Join(dir, "sync.duckdb"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		if _, err := tx.Exec(ctx, `CREATE SCHEMA bench`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, modelSQL(n))
		return err
	})
	if err != nil {
		return err
	}
	p, err := activate.NewPlan(ctx, db, st, synced())
	if err != nil {
		return err
	}
	err = db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		var plan string
		err := warehouse.Each(ctx, tx, `SELECT table_name FROM duckdb_tables() WHERE starts_with(table_name, '_elt_plan_')`, func(r rows.Row) error {
			plan = r.String(0)
			return nil
		})
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO `+state.Ledger+` (project, target, sync, target_fp, key_hash, key_json, dest_id, acked_hash,
				stable_hash, acked_at, acked_run, ownership, status)
			SELECT 'bench', 'dev', 'crm', $1, key_hash, key_json, '', payload_hash, stable_hash, now(), 'first', 'created', 'live'
			FROM `+warehouse.Table{Schema: tx.Dialect().Scratch, Name: plan}.String(), synced().TargetFP)
		return err
	})
	return errors.Join(err, p.Close(ctx))
}

// diff plans and pushes a sync of which nothing has changed.
func diff(ctx context.Context, file string, n int64) (took time.Duration, err error) {
	db, st, err := openState(ctx, file)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	start := time.Now()
	p, err := activate.NewPlan(ctx, db, st, synced())
	if err != nil {
		return 0, err
	}
	res, err := p.Push(ctx, activate.Connector{Destination: nowhere{}}, activate.Options{})
	if err == nil && res.Unchanged != n {
		err = fmt.Errorf("%d of %d rows were found unchanged", res.Unchanged, n)
	}
	err = errors.Join(err, p.Close(ctx))
	return time.Since(start), err
}

// bareDiff joins the model with what was acknowledged, by the same hashes, and
// wants so many rows changed.
func bareDiff(ctx context.Context, file string, want int64) (took time.Duration, err error) {
	db, _, err := openState(ctx, file)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	d := db.Dialect()
	start := time.Now()
	var changed int64
	err = warehouse.Each(ctx, db, `SELECT count(*) FROM (SELECT left(`+d.StableHash([]warehouse.Column{{Name: "id", Type: "BIGINT"}})+`, 32) AS k,
			`+d.RowHash([]string{"email", "ltv", "risk", "segment"})+` || '.' || (SELECT any_value(split_part(acked_hash, '.', 2)) FROM `+state.Ledger+`) AS h
			FROM bench.customers) AS m LEFT JOIN `+state.Ledger+` AS l ON l.key_hash = m.k WHERE l.acked_hash IS DISTINCT FROM m.h`,
		func(r rows.Row) error {
			changed = r.Int(0)
			return nil
		})
	if err == nil && changed != want {
		err = fmt.Errorf("the bare join finds %d rows changed, want %d", changed, want)
	}
	return time.Since(start), err
}

// nowhere is a destination that nothing may reach.
type nowhere struct{}

func (nowhere) Limits() activate.Limits {
	return activate.Limits{BatchRows: 1000, Replay: activate.Idempotent, Modes: []string{activate.ModeUpsert}}
}

func (nowhere) Push(context.Context, activate.Batch) ([]activate.Outcome, error) {
	return nil, errors.New("nothing has changed, and yet something is pushed")
}

func (nowhere) Close() error { return nil }
