package warehousetest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"elt/internal/fault"
	"elt/internal/retry"
	"elt/internal/rows"
	"elt/internal/warehouse"
)

var errCut = errors.New("the connection was cut")

// commitFails opens a warehouse whose first COMMIT after arm fails, before or
// after it has happened.
func commitFails(t *testing.T, engine string, before bool) (db *warehouse.DB, arm func()) {
	t.Helper()
	var armed atomic.Bool
	d := fault.Driver(Open(t, engine), func(_ int, op string, b bool) error {
		if op == fault.Commit && b == before && armed.CompareAndSwap(true, false) {
			return errCut
		}
		return nil
	})
	db, err := warehouse.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db, func() { armed.Store(true) }
}

func TestInvariant6AFailedCommitIsLookedInto(t *testing.T) {
	for _, engine := range []string{"duckdb", "postgres"} {
		for _, before := range []bool{true, false} {
			db, arm := commitFails(t, engine, before)
			create(t, db)
			arm()
			err := db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
				_, err := tx.Exec(ctx, "INSERT INTO "+target.String()+" VALUES (1, 'a')")
				return err
			})
			class, _ := retry.Of(err)
			if before && (!errors.Is(err, warehouse.ErrNotCommitted) || !errors.Is(err, errCut) || class != retry.Transient) {
				t.Errorf("%s: a COMMIT that did not happen returns %v", engine, err)
			}
			if !before && err != nil {
				t.Errorf("%s: a COMMIT that happened returns %v", engine, err)
			}
			if n := count(t, db); (n == 0) != before {
				t.Errorf("%s: %d rows (fault before: %t)", engine, n, before)
			}
		}
	}
}

// An early end is an error, wherever it is.
func TestInvariant5AnErrorMidBatchLeavesNothing(t *testing.T) {
	Each(t, func(t *testing.T, db *warehouse.DB) {
		create(t, db)
		err := db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
			_, err := tx.Append(ctx, target, &failing{numbers: numbers{mem: memory.DefaultAllocator, batches: 9}, after: 2})
			return err
		})
		if !errors.Is(err, errCut) {
			t.Errorf("Update returned %v", err)
		}
		if n := count(t, db); n != 0 {
			t.Errorf("%d rows stayed", n)
		}
	})
}

// failing is a reader that ends early, with an error and without a last batch.
type failing struct {
	numbers
	after int
	err   error
}

var _ array.RecordReader = (*failing)(nil)

func (f *failing) Next() bool {
	if f.at == f.after {
		f.drop()
		f.err = errCut
		return false
	}
	return f.numbers.Next()
}

func (f *failing) Err() error { return f.err }

func TestInvariant7AReaderSeesOldOrNew(t *testing.T) {
	Each(t, func(t *testing.T, db *warehouse.DB) {
		create(t, db)
		update(t, db, func(ctx context.Context, tx *warehouse.Tx) error {
			_, err := tx.Exec(ctx, "INSERT INTO "+target.String()+" VALUES (1, 'old')")
			return err
		})
		err := db.View(t.Context(), func(ctx context.Context, view *warehouse.Tx) error {
			if see(ctx, t, view) != "old" {
				t.Error("the view does not begin with what is there")
			}
			update(t, db, func(ctx context.Context, tx *warehouse.Tx) error {
				if _, err := tx.Exec(ctx, "DELETE FROM "+target.String()); err != nil {
					return err
				}
				if got := see(ctx, t, db); got != "old" {
					t.Errorf("a reader sees %q while a table is half written", got)
				}
				_, err := tx.Exec(ctx, "INSERT INTO "+target.String()+" VALUES (1, 'new')")
				return err
			})
			if got := see(ctx, t, view); got != "old" {
				t.Errorf("a view sees %q after another transaction committed", got)
			}
			return nil
		})
		if got := see(t.Context(), t, db); err != nil || got != "new" {
			t.Errorf("afterwards a reader sees %q: %v", got, err)
		}
	})
}

// see is the one text in the table, joined if there were several.
func see(ctx context.Context, t *testing.T, q warehouse.Querier) (text string) {
	t.Helper()
	if err := warehouse.Each(ctx, q, "SELECT text FROM "+target.String(), func(r rows.Row) error { text += r.String(0); return nil }); err != nil {
		t.Error(err)
	}
	return text
}

func TestAPanicInUpdateRollsBack(t *testing.T) {
	Each(t, func(t *testing.T, db *warehouse.DB) {
		create(t, db)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic is lost")
				}
			}()
			_ = db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
				if _, err := tx.Exec(ctx, "INSERT INTO "+target.String()+" VALUES (1, 'a')"); err != nil {
					t.Error(err)
				}
				panic("ouch")
			})
		}()
		if n := count(t, db); n != 0 {
			t.Errorf("%d rows stayed", n)
		}
	})
}

func TestLocksExcludeAndAreGivenBack(t *testing.T) {
	Each(t, func(t *testing.T, db *warehouse.DB) {
		held, release, err := db.Lock(t.Context(), "a name")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := db.Lock(t.Context(), "a name"); warehouse.KindOf(err) != warehouse.KindLocked {
			t.Errorf("the second lock: %v", err)
		}
		_, other, err := db.Lock(t.Context(), "another name")
		if err != nil {
			t.Fatal(err)
		}
		other()
		if held.Err() != nil {
			t.Error("the lock is lost")
		}
		release()
		release()
		if held.Err() == nil {
			t.Error("the context outlives the lock")
		}
		_, again, err := db.Lock(t.Context(), "a name")
		if err != nil {
			t.Fatalf("a lock that was given back: %v", err)
		}
		again()
	})
}

// A session zone is the project's, on every connection.
func TestTheSessionHasTheZoneOfTheProject(t *testing.T) {
	Each(t, func(t *testing.T, db *warehouse.DB) {
		got := ""
		err := warehouse.Each(t.Context(), db, "SELECT CAST(CAST(CAST('2026-07-01 00:00:00+00' AS timestamp with time zone) AS timestamp) AS text)", func(r rows.Row) error { got = r.String(0); return nil })
		if err != nil || got != "2026-07-01 02:00:00" {
			t.Errorf("midnight UTC is %q in %s: %v", got, TimeZone, err)
		}
	})
}
