package load_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
	"elt/load"
)

// An older version of a row that comes later never takes the table back.
func TestMergeKeepsTheHighestCursorAcrossLoads(t *testing.T) {
	for _, overlap := range []bool{false, true} {
		warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
			to := load.Target{Disposition: load.Merge, Key: []string{"id"}, Cursor: "at", Overlap: overlap}
			run(t, db, "l1", given(standard(), "["+day1+","+day2+`,{"id":4,"name":"none"},{"id":5,"name":"some","at":"2026-03-02T12:00:00Z"}]`), to)
			c := contract("l2")
			c.Key, c.Cursor = to.Key, to.Cursor
			late := `[{"id":1,"name":"older","at":"2026-02-01T00:00:00Z"},{"id":2,"name":"tie","at":"2026-03-02T11:00:00Z"},
				{"id":3,"name":"newer","at":"2026-03-05T12:00:00Z"},{"id":3,"name":"within","at":"2026-03-04T12:00:00Z"},
				{"id":4,"name":"still none"},{"id":5,"name":"lost"},{"id":6,"name":"first"}]`
			st := stage(t, db, given(standard(), late), c)
			for i := range 2 {
				res, err := publish(db, st, to)
				if err != nil {
					t.Fatal(err)
				}
				balanced(t, res)
				if i == 0 && (res.Published != 4 || res.Superseded != 3 || res.Deleted != 3) {
					t.Errorf("%+v", res)
				}
				same(t, "table", table(t, db, all), "1 ada; 2 tie; 3 newer; 4 still none; 5 some; 6 first")
			}
			res := run(t, db, "l3", given(standard(), `[{"id":1,"name":"older","at":"2026-02-01T00:00:00Z"}]`), to)
			if res.Superseded != 1 || res.Published != 0 {
				t.Errorf("%+v", res)
			}
		})
	}
}

// A column that the source has no more is told of, with what that costs, once.
func TestColumnsThatAreGoneAreTold(t *testing.T) {
	narrow := schema(field("id", bigint), field("at", instant))
	rows := `[{"id":2,"at":"2026-03-02T11:00:00Z"},{"id":3,"at":"2026-03-02T12:00:00Z"}]`
	for disposition, want := range map[string]string{
		load.Append: `the rows of this load have NULL there`, load.Merge: `1 loaded values of it made way`, load.Replace: `2 loaded values of it made way`,
	} {
		t.Run(disposition, func(t *testing.T) {
			warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
				to := load.Target{Disposition: disposition, Key: []string{"id"}, Cursor: "at"}
				run(t, db, "l1", given(standard(), "["+day1+"]"), to)
				c := contract("l2")
				c.Columns, c.Key = load.Freeze, to.Key
				if _, _, err := attempt(t, db, c, given(narrow, rows), to); !errors.Is(err, load.ErrContract) || !strings.Contains(err.Error(), `no column "name" any more`) {
					t.Errorf("frozen: %v", err)
				}
				same(t, "table", table(t, db, all), "1 ada; 2 bob")
				res := run(t, db, "l3", given(narrow, rows), to)
				if len(res.Gone) != 1 || !strings.Contains(res.Gone[0], want) {
					t.Errorf("told %q, want %s", res.Gone, want)
				}
				if res = run(t, db, "l4", given(narrow, rows), to); len(res.Gone) != 0 {
					t.Errorf("told again %q", res.Gone)
				}
			})
		})
	}
}

// What a file without rows calls its columns says nothing of their types.
func TestFilesWithoutRowsHaveNoTypes(t *testing.T) {
	for _, disposition := range []string{load.Merge, load.Replace} {
		warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
			to := load.Target{Disposition: disposition, Key: []string{"id"}}
			run(t, db, "l1", given(standard(), "["+day1+"]"), to)
			c := contract("l2")
			c.Files, c.Key, c.Replaces = true, to.Key, disposition == load.Replace
			untyped := schema(field("id", arrow.BinaryTypes.String), field("name", text), field("at", text))
			_, _, err := attempt(t, db, c, &fakeScan{schema: untyped}, to)
			if disposition == load.Replace && !errors.Is(err, load.ErrEmpty) || disposition == load.Merge && err != nil {
				t.Errorf("%s: %v", disposition, err)
			}
			same(t, "table", table(t, db, all), "1 ada; 2 bob")
		})
	}
}
