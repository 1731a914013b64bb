package warehousetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"elt/internal/rows"
	"elt/internal/testdb"
	"elt/internal/warehouse"
)

func TestMain(m *testing.M) { os.Exit(testdb.Run(m)) }

var pairs = arrow.NewSchema([]arrow.Field{
	{Name: "text", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "id", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
}, nil)

// numbers is a reader of batches of 1,000 rows that ends with err, panics when
// err is nil and panicAt is a batch, and counts what it holds in mem.
type numbers struct {
	mem          memory.Allocator
	batches, at  int
	err          error
	panicAt      int
	cur          arrow.RecordBatch
	beforeSecond func()
}

func (n *numbers) Retain()  {}
func (n *numbers) Release() { n.drop() }
func (n *numbers) drop() {
	if n.cur != nil {
		n.cur.Release()
		n.cur = nil
	}
}
func (n *numbers) Schema() *arrow.Schema          { return pairs }
func (n *numbers) RecordBatch() arrow.RecordBatch { return n.cur }
func (n *numbers) Record() arrow.RecordBatch      { return n.cur }
func (n *numbers) Err() error {
	if n.at >= n.batches {
		return n.err
	}
	return nil
}

func (n *numbers) Next() bool {
	n.drop()
	if n.at == n.panicAt && n.panicAt > 0 {
		panic("ouch")
	}
	if n.at == 1 && n.beforeSecond != nil {
		n.beforeSecond()
	}
	if n.at >= n.batches {
		return false
	}
	b := array.NewRecordBuilder(n.mem, pairs)
	defer b.Release()
	text, _ := b.Field(0).(*array.StringBuilder)
	id, _ := b.Field(1).(*array.Int64Builder)
	for i := range 1000 {
		text.Append(fmt.Sprintf("row %d", n.at*1000+i))
		id.Append(int64(n.at*1000 + i))
	}
	n.cur = b.NewRecordBatch()
	n.at++
	return true
}

var target = warehouse.Table{Schema: `odd "schema"`, Name: "tä ble's"}

func create(t *testing.T, db *warehouse.DB) {
	t.Helper()
	update(t, db, func(ctx context.Context, tx *warehouse.Tx) error {
		if _, err := tx.Exec(ctx, "CREATE SCHEMA "+warehouse.Quote(target.Schema)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "CREATE TABLE "+target.String()+" (id bigint, text text)")
		return err
	})
}

func update(t *testing.T, db *warehouse.DB, fn func(context.Context, *warehouse.Tx) error) {
	t.Helper()
	if err := db.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, db *warehouse.DB) (n int64) {
	t.Helper()
	err := warehouse.Each(t.Context(), db, "SELECT count(*), coalesce(sum(id), 0) FROM "+target.String(), func(r rows.Row) error { n = r.Int(0); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAppendTakesEveryRowByName(t *testing.T) {
	Each(t, func(t *testing.T, db *warehouse.DB) {
		create(t, db)
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		defer mem.AssertSize(t, 0)
		r := &numbers{mem: mem, batches: 70}
		update(t, db, func(ctx context.Context, tx *warehouse.Tx) error {
			n, err := tx.Append(ctx, target, r)
			if n != 70_000 {
				t.Errorf("appended %d rows", n)
			}
			return err
		})
		r.Release()
		if n := count(t, db); n != 70_000 {
			t.Errorf("%d rows are there", n)
		}
		err := warehouse.Each(t.Context(), db, "SELECT text FROM "+target.String()+" WHERE id = $1", func(r rows.Row) error {
			if r.String(0) != "row 69999" {
				t.Errorf("last row is %q", r.String(0))
			}
			return nil
		}, int64(69_999))
		if err != nil {
			t.Error(err)
		}
	})
}

// Invariant 5 at its root: an error at any row, also exactly at a batch edge or
// before the first row, leaves nothing.
func TestInvariant5ReaderErrorsLeaveNothing(t *testing.T) {
	boom := errors.New("boom")
	for name, r := range map[string]*numbers{
		"before the first row": {err: boom}, "at a batch edge": {batches: 3, err: boom}, "panic": {batches: 5, panicAt: 2},
	} {
		t.Run(name, func(t *testing.T) {
			Each(t, func(t *testing.T, db *warehouse.DB) {
				create(t, db)
				mine := *r
				mine.mem = memory.DefaultAllocator
				err := db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
					_, err := tx.Append(ctx, target, &mine)
					if err == nil {
						t.Error("Append says nothing")
					}
					return nil // even when the caller forgets, the transaction is poisoned
				})
				if err == nil || r.err != nil && !errors.Is(err, boom) {
					t.Errorf("Update returned %v", err)
				}
				if n := count(t, db); n != 0 {
					t.Errorf("%d rows stayed", n)
				}
			})
		})
	}
}

func TestCancelledAppendLeavesNothing(t *testing.T) {
	Each(t, func(t *testing.T, db *warehouse.DB) {
		create(t, db)
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("stop")
		err := db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
			_, err := tx.Append(ctx, target, &numbers{mem: memory.DefaultAllocator, batches: 1000, beforeSecond: func() { cancel(stop) }})
			return err
		})
		if err == nil {
			t.Error("a cancelled Update returns nil")
		}
		if n := count(t, db); n != 0 {
			t.Errorf("%d rows stayed", n)
		}
	})
}

func TestInvariant6PoisonedUpdateWritesNothing(t *testing.T) {
	Each(t, func(t *testing.T, db *warehouse.DB) {
		create(t, db)
		err := db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
			if _, err := tx.Exec(ctx, "INSERT INTO "+target.String()+" VALUES (1, 'a')"); err != nil {
				t.Error(err)
			}
			if _, err := tx.Exec(ctx, "INSERT INTO nowhere.nothing VALUES (1)"); err == nil {
				t.Error("no error for a table that does not exist")
			}
			return nil
		})
		if warehouse.KindOf(err) != warehouse.KindNotFound {
			t.Errorf("Update returned %v of kind %d", err, warehouse.KindOf(err))
		}
		if n := count(t, db); n != 0 {
			t.Errorf("%d rows stayed", n)
		}
	})
}

func TestErrorsHaveTheirKind(t *testing.T) {
	Each(t, func(t *testing.T, db *warehouse.DB) {
		update(t, db, func(ctx context.Context, tx *warehouse.Tx) error {
			_, err := tx.Exec(ctx, "CREATE TABLE _elt.keyed (id bigint PRIMARY KEY)")
			return err
		})
		for q, want := range map[string]warehouse.Kind{
			"INSERT INTO _elt.keyed VALUES (1), (1)":   warehouse.KindUnique,
			"SELECT missing FROM _elt.keyed":           warehouse.KindNotFound,
			"INSERT INTO _elt.keyed VALUES ('a word')": warehouse.KindData,
		} {
			err := db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
				_, err := tx.Exec(ctx, q)
				return err
			})
			if got := warehouse.KindOf(err); got != want {
				t.Errorf("%s: kind %d, want %d: %v", q, got, want, err)
			}
		}
		if err := db.View(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
			_, err := tx.Exec(ctx, "INSERT INTO _elt.keyed VALUES (7)")
			return err
		}); err == nil {
			t.Error("a read-only transaction writes")
		}
	})
}

func TestSchemaSeesTheTransaction(t *testing.T) {
	Each(t, func(t *testing.T, db *warehouse.DB) {
		create(t, db)
		update(t, db, func(ctx context.Context, tx *warehouse.Tx) error {
			if _, err := tx.Exec(ctx, "ALTER TABLE "+target.String()+" ADD COLUMN amount decimal(12,2)"); err != nil {
				return err
			}
			cols, err := tx.Schema(ctx, target)
			if err != nil {
				return err
			}
			if len(cols) != 3 || cols[0].Name != "id" || cols[2].Name != "amount" || !strings.Contains(cols[2].Type, "12,2") {
				t.Errorf("columns %v", cols)
			}
			none, err := tx.Schema(ctx, warehouse.Table{Schema: "no", Name: "thing"})
			if len(none) != 0 {
				t.Errorf("a table that does not exist has columns %v", none)
			}
			return err
		})
	})
}

func TestUpdatesSideBySide(t *testing.T) {
	Each(t, func(t *testing.T, db *warehouse.DB) {
		create(t, db)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				err := db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
					_, err := tx.Exec(ctx, "INSERT INTO "+target.String()+" VALUES ($1, 'x')", int64(i))
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := count(t, db); n != 8 {
			t.Errorf("%d rows of 8", n)
		}
	})
}

func TestHashesTellRowsApart(t *testing.T) {
	Each(t, func(t *testing.T, db *warehouse.DB) {
		d := db.Dialect()
		hash := d.RowHash([]string{"a", "b"})
		stable := d.StableHash([]warehouse.Column{{Name: "a", Type: "text"}, {Name: "b", Type: "text"}})
		for _, expr := range []string{hash, stable} {
			seen := map[string]string{}
			for _, v := range []string{"NULL, NULL", "'', NULL", "NULL, ''", "'', ''", "'a', 'b'", "'ab', ''", "'', 'ab'", "'a', NULL", "'2:', 'x'", "'NULL', NULL"} {
				parts := strings.SplitN(v, ", ", 2)
				err := warehouse.Each(t.Context(), db, fmt.Sprintf("SELECT %s FROM (SELECT CAST(%s AS text) AS a, CAST(%s AS text) AS b) AS v", expr, parts[0], parts[1]), func(r rows.Row) error {
					h := r.String(0)
					if other, twice := seen[h]; twice || h == "" {
						t.Errorf("(%s) and (%s) hash to %q", v, other, h)
					}
					seen[h] = v
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

func TestChecksumIgnoresOrderAndSeesDuplicates(t *testing.T) {
	Each(t, func(t *testing.T, db *warehouse.DB) {
		sum := func(values string) (out string) {
			q := "SELECT " + db.Dialect().Checksum([]string{"a"}) + " FROM (SELECT * FROM (VALUES " + values + ") AS v(a)) AS w"
			if err := warehouse.Each(t.Context(), db, q, func(r rows.Row) error { out = r.String(0); return nil }); err != nil {
				t.Fatal(err)
			}
			return out
		}
		if sum("(1), (2)") != sum("(2), (1)") {
			t.Error("order changes the checksum")
		}
		if sum("(1), (2)") == sum("(1), (2), (2)") || sum("(1)") == sum("(2)") {
			t.Error("different rows have one checksum")
		}
	})
}

func TestCanonicalForms(t *testing.T) {
	Each(t, func(t *testing.T, db *warehouse.DB) {
		for _, c := range [][3]string{
			{"CAST(12.500 AS decimal(10,3))", "DECIMAL(10,3)", "12.5"},
			{"CAST(100 AS decimal(10,2))", "DECIMAL(10,2)", "100"},
			{"CAST('2026-03-29 02:30:00+00' AS timestamp with time zone)", "TIMESTAMP WITH TIME ZONE", "2026-03-29 02:30:00.000000Z"},
			{"CAST(0.1 AS double precision)", "DOUBLE", "0.1"},
		} {
			typ := c[1]
			if db.Dialect().Name == "postgres" {
				typ = map[string]string{"DECIMAL(10,3)": "numeric(10,3)", "DECIMAL(10,2)": "numeric(10,2)", "TIMESTAMP WITH TIME ZONE": "timestamp with time zone", "DOUBLE": "double precision"}[typ]
			}
			err := warehouse.Each(t.Context(), db, "SELECT "+db.Dialect().Canonical(c[0], typ), func(r rows.Row) error {
				if r.String(0) != c[2] {
					t.Errorf("%s is %q, want %q", c[0], r.String(0), c[2])
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
}
