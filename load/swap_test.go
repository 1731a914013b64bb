package load_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"elt/internal/rows"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
	"elt/load"
)

func exec(t *testing.T, db *warehouse.DB, statements ...string) {
	t.Helper()
	err := db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
		for _, q := range statements {
			if _, err := tx.Exec(ctx, q); err != nil {
				return fmt.Errorf("%s: %w", q, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestReplaceKeepsViewsAlive(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		to := load.Target{Disposition: load.Replace}
		run(t, db, "l1", given(standard(), "["+day1+"]"), to)
		exec(t, db, `CREATE VIEW shop.names AS SELECT name FROM shop.orders`)
		res := run(t, db, "l2", given(standard(), "["+day2+"]"), to)
		same(t, "view", table(t, db, `SELECT name FROM shop.names ORDER BY name`), "bert; cy")
		if res.Deleted != 2 || res.Published != 2 {
			t.Errorf("%+v", res)
		}
	})
}

func TestReplaceKeepsWhatBelongsToTheTable(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		to := load.Target{Disposition: load.Replace}
		run(t, db, "l1", given(standard(), "["+day1+"]"), to)
		exec(t, db, `CREATE INDEX by_name ON shop.orders (name)`)
		postgres := db.Dialect().Name == "postgres"
		if postgres {
			exec(t, db, `COMMENT ON TABLE shop.orders IS 'it''s ours'`, `COMMENT ON COLUMN shop.orders.name IS 'who'`,
				`GRANT SELECT ON shop.orders TO PUBLIC`)
		}
		run(t, db, "l2", given(standard(), "["+day2+"]"), to)
		same(t, "table", table(t, db, all), "2 bert; 3 cy")
		if postgres {
			same(t, "kept", table(t, db, `SELECT obj_description('shop.orders'::regclass), col_description('shop.orders'::regclass, 2),
				(SELECT count(*) FROM pg_index WHERE indexrelid = 'shop.by_name'::regclass AND indrelid = 'shop.orders'::regclass),
				array_to_string(relacl, ' ') LIKE '%=r/%', relpersistence::text FROM pg_class WHERE oid = 'shop.orders'::regclass`),
				"it's ours who 1 true p")
			return
		}
		same(t, "index", table(t, db, `SELECT index_name FROM duckdb_indexes() WHERE table_name = 'orders'`), "by_name")
	})
}

func TestWideningUnderAViewSaysWhatToDo(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		if db.Dialect().Name != "postgres" {
			return // DuckDB widens under a view
		}
		to := load.Target{Disposition: load.Append}
		run(t, db, "l1", given(schema(field("n", integer)), `[{"n":1}]`), to)
		exec(t, db, `CREATE VIEW shop.numbers AS SELECT n FROM shop.orders`)
		_, err := publish(db, stage(t, db, given(schema(field("n", bigint)), `[{"n":2}]`), contract("l2")), to)
		if err == nil || !strings.Contains(err.Error(), "shop.numbers") || !strings.Contains(err.Error(), "drop the view") {
			t.Errorf("error %v", err)
		}
		same(t, "table", table(t, db, `SELECT n FROM shop.orders`), "1")
	})
}

func TestInvariant7_ReadersSeeAllOldOrAllNew(t *testing.T) {
	const size = 200
	for _, to := range []load.Target{
		{Disposition: load.Replace},
		{Disposition: load.Merge, Key: []string{"id"}},
	} {
		t.Run(to.Disposition, func(t *testing.T) {
			warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
				batch := func(name string) *fakeScan {
					var cells []string
					for i := range size {
						cells = append(cells, fmt.Sprintf(`{"id":%d,"name":%q}`, i, name))
					}
					return given(standard(), "["+strings.Join(cells, ",")+"]")
				}
				run(t, db, "l0", batch("v0"), to)
				stop := make(chan struct{})
				var g errgroup.Group
				g.Go(func() error {
					for {
						select {
						case <-stop:
							return nil
						default:
						}
						got := table(t, db, `SELECT count(*), count(DISTINCT name) FROM shop.orders`)
						if got != "200 1" {
							return errors.New("a reader saw " + got)
						}
					}
				})
				for i := 1; i <= 5; i++ {
					run(t, db, fmt.Sprint("l", i), batch(fmt.Sprint("v", i)), to)
				}
				close(stop)
				if err := g.Wait(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestInvariant7_OlderSnapshotsKeepTheirRows(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		to := load.Target{Disposition: load.Replace}
		run(t, db, "l1", given(standard(), "["+day1+"]"), to)
		exec(t, db, `CREATE TABLE shop.other (n bigint)`)
		read := func(tx *warehouse.Tx, q string) (out string) {
			err := warehouse.Each(t.Context(), tx, q, func(r rows.Row) error { out += r.String(0); return nil })
			if err != nil {
				t.Error(err)
			}
			return out
		}
		err := db.View(t.Context(), func(_ context.Context, tx *warehouse.Tx) error {
			read(tx, `SELECT count(*) FROM shop.other`) // takes the snapshot, without a lock on the orders
			run(t, db, "l2", given(standard(), "["+day2+"]"), to)
			same(t, "older snapshot", read(tx, `SELECT name FROM shop.orders ORDER BY name`), "adabob")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "table", table(t, db, all), "2 bert; 3 cy")
	})
}

func TestPublishRollsBackWhole(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		for _, d := range []string{load.Replace, load.Append} {
			to := load.Target{Disposition: d}
			if d == load.Replace {
				run(t, db, "l0", given(standard(), "["+day1+"]"), to)
			}
			st := stage(t, db, given(standard(), "["+day2+"]"), contract("l1"))
			no := errors.New("a check said no")
			err := db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
				if _, err := st.Publish(ctx, tx, to); err != nil {
					return err
				}
				return no
			})
			if !errors.Is(err, no) {
				t.Errorf("error %v", err)
			}
			same(t, "table", table(t, db, all), "1 ada; 2 bob")
			if res, err := publish(db, st, load.Target{Disposition: load.Append}); err != nil || res.Published != 2 {
				t.Errorf("published after the rollback: %+v, %v", res, err)
			}
			exec(t, db, `DELETE FROM shop.orders WHERE _elt_load_id = 'l1'`)
			if err := st.Drop(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}
