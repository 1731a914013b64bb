package load_test

import (
	"fmt"
	"strings"
	"testing"

	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
	"elt/load"
	"elt/window"
)

// TestAWindowIsWrittenWholeWhenRowsAreReadAgain: what the table has already is
// deleted with its window, so none of it may be left out.
func TestAWindowIsWrittenWholeWhenRowsAreReadAgain(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		to := load.Target{Disposition: load.Window, Time: "at", Key: []string{"id"}, Overlap: true,
			Window: window.Window{Start: day(1), End: day(2)}}
		run(t, db, "l1", given(standard(), "["+day1+"]"), to)
		res := run(t, db, "l2", given(standard(), "["+strings.Replace(day1, "bob", "bert", 1)+"]"), to)
		same(t, "table", table(t, db, all), "1 ada; 2 bert")
		if res.Published != 2 || res.AlreadyPresent != 0 {
			t.Errorf("%+v, want 2 published", res)
		}
	})
}

// TestRowsWithoutAKeyAreAppendedOnce: a row whose key is NULL, or partly so, is
// known again by its content when an append reads it again.
func TestRowsWithoutAKeyAreAppendedOnce(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		to := load.Target{Disposition: load.Append, Key: []string{"id", "name"}, Cursor: "at", Overlap: true}
		rows := `[{"id":null,"name":"x","at":"2026-03-01T12:00:00Z"},{"id":null,"name":null,"at":"2026-03-01T12:00:00Z"},` +
			`{"id":2,"name":"y","at":"2026-03-01T12:00:00Z"}`
		for i := 1; i <= 3; i++ {
			run(t, db, fmt.Sprint("l", i), given(standard(), rows+"]"), to)
		}
		same(t, "read three times", table(t, db, `SELECT count(*) FROM shop.orders`), "3")
		run(t, db, "l4", given(standard(), rows+`,{"id":null,"name":"x","at":"2026-03-01T13:00:00Z"}]`), to)
		same(t, "with one that is new", table(t, db, `SELECT count(*) FROM shop.orders`), "4")
	})
}

// TestAWindowWithoutBoundsNeedsAFullRead: what was read behind a cursor must not
// replace the table.
func TestAWindowWithoutBoundsNeedsAFullRead(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		full := load.Target{Disposition: load.Window, Time: "at", Full: true}
		run(t, db, "l1", given(standard(), "["+day1+"]"), full)
		part := full
		part.Full = false
		for name, rows := range map[string]string{"rows": "[" + day2 + "]", "no rows": "[]"} {
			_, err := publish(db, stage(t, db, given(standard(), rows), contract("l2")), part)
			if err == nil || !strings.Contains(err.Error(), "load: window") {
				t.Errorf("%s: %v, want an error about load: window", name, err)
			}
		}
		same(t, "table", table(t, db, all), "1 ada; 2 bob")
		run(t, db, "l3", given(standard(), "["+day2+"]"), full)
		same(t, "after a full read", table(t, db, all), "2 bert; 3 cy")
	})
}
