package load_test

import (
	"errors"
	"testing"

	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
	"elt/load"
)

func TestFileReplacesTheRowsOfItsFiles(t *testing.T) {
	s := schema(field("id", bigint), field("_source_file", text))
	to := load.Target{Disposition: load.File}
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		run(t, db, "l1", given(s, `[{"id":1,"_source_file":"a.csv"},{"id":2,"_source_file":"a.csv"},{"id":3,"_source_file":"b.csv"}]`), to)
		res := run(t, db, "l2", given(s, `[{"id":4,"_source_file":"a.csv"},{"id":5,"_source_file":"c.csv"}]`), to)
		same(t, "table", table(t, db, `SELECT _source_file, id FROM shop.orders ORDER BY 1, 2`), "a.csv 4; b.csv 3; c.csv 5")
		if res.Deleted != 2 || res.Published != 2 {
			t.Errorf("%+v", res)
		}
		st := stage(t, db, given(standard(), "["+day1+"]"), contract("l3"))
		if _, err := publish(db, st, to); !errors.Is(err, load.ErrContract) {
			t.Errorf("rows without a file: %v", err)
		}
	})
}
