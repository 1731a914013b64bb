package warehousetest

import (
	"context"
	"errors"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"

	"elt/internal/rows"
	"elt/internal/warehouse"
)

// TestAsideIsReadByUpdate writes a table aside, by Append and by statements, and
// reads it in the transaction that publishes it, also after one that failed.
func TestAsideIsReadByUpdate(t *testing.T) {
	Each(t, func(t *testing.T, db *warehouse.DB) {
		ctx := context.Background()
		create(t, db)
		aside := warehouse.Table{Schema: target.Schema, Name: "aside"}
		if scratch := db.Dialect().Scratch; scratch != "" {
			aside.Schema = scratch
		}
		write := func(batches int, end error) error {
			return db.Aside(ctx, aside, func(ctx context.Context, tx *warehouse.Tx) error {
				if _, err := tx.Exec(ctx, `DROP TABLE IF EXISTS `+aside.String()); err != nil {
					return err
				}
				if _, err := tx.Exec(ctx, `CREATE TABLE `+aside.String()+` (text text, id bigint)`); err != nil {
					return err
				}
				_, err := tx.Append(ctx, aside, &numbers{mem: memory.DefaultAllocator, batches: batches, err: end})
				return err
			})
		}
		if err := write(2, nil); err != nil {
			t.Fatal(err)
		}
		broken := errors.New("the source is gone")
		if err := write(3, broken); !errors.Is(err, broken) {
			t.Fatalf("a failing reader gives %v", err)
		}
		update(t, db, func(ctx context.Context, tx *warehouse.Tx) error {
			cols, err := tx.Schema(ctx, aside)
			if err != nil {
				return err
			}
			if len(cols) != 2 || cols[1].Name != "id" {
				t.Errorf("the columns of the table aside are %v", cols)
			}
			_, err = tx.Exec(ctx, `INSERT INTO `+target.String()+` (text, id) SELECT text, id FROM `+aside.String())
			return err
		})
		if n := count(t, db); n != 2000 {
			t.Errorf("%d rows arrived, want the 2000 of the write that committed", n)
		}
		err := db.Aside(ctx, aside, func(ctx context.Context, tx *warehouse.Tx) error {
			_, err := tx.Exec(ctx, `DROP TABLE `+aside.String())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		err = warehouse.Each(ctx, db, `SELECT count(*) FROM `+aside.String(), func(rows.Row) error { return nil })
		if err == nil {
			t.Error("the table aside can be read after it was dropped")
		}
	})
}
