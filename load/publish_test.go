package load_test

import (
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"elt/internal/testdb"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
	"elt/load"
	"elt/window"
)

func TestMain(m *testing.M) {
	// Each check is several loads on both engines; -rapid.checks asks for more.
	if err := flag.Set("rapid.checks", "20"); err != nil {
		panic(err)
	}
	os.Exit(testdb.Run(m))
}

const (
	day1 = `{"id":1,"name":"ada","at":"2026-03-01T10:00:00Z"},{"id":2,"name":"bob","at":"2026-03-01T11:00:00Z"}`
	day2 = `{"id":2,"name":"bert","at":"2026-03-02T11:00:00Z"},{"id":3,"name":"cy","at":"2026-03-02T12:00:00Z"}`
	all  = `SELECT id, name FROM shop.orders ORDER BY id, name`
)

func day(d int) time.Time { return time.Date(2026, 3, d, 0, 0, 0, 0, time.UTC) }

func TestDispositions(t *testing.T) {
	second := window.Window{Start: day(2), End: day(3)}
	tests := map[string]struct {
		to                 load.Target
		want               string
		published, deleted int64
	}{
		"append":  {load.Target{Disposition: load.Append}, "1 ada; 2 bert; 2 bob; 3 cy", 2, 0},
		"replace": {load.Target{Disposition: load.Replace}, "2 bert; 3 cy", 2, 2},
		"merge":   {load.Target{Disposition: load.Merge, Key: []string{"id"}}, "1 ada; 2 bert; 3 cy", 2, 1},
		"window":  {load.Target{Disposition: load.Window, Time: "at", Window: second}, "1 ada; 2 bert; 2 bob; 3 cy", 2, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
				to := tt.to
				to.Window, to.Full = window.Window{}, true
				run(t, db, "l1", given(standard(), "["+day1+"]"), to)
				res := run(t, db, "l2", given(standard(), "["+day2+"]"), tt.to)
				same(t, "table", table(t, db, all), tt.want)
				if res.Published != tt.published || res.Deleted != tt.deleted {
					t.Errorf("published %d, deleted %d; want %d, %d", res.Published, res.Deleted, tt.published, tt.deleted)
				}
				if res.Checksum == "" || res.Checksum == "0" {
					t.Errorf("checksum %q", res.Checksum)
				}
				same(t, "load ids of the last load", table(t, db,
					`SELECT count(*), min(_elt_loaded_at) = '2026-03-01T02:00:00Z' FROM shop.orders WHERE _elt_load_id = 'l2'`), "2 true")
			})
		})
	}
}

func TestInvariant3_PublishingTwiceEqualsOnce(t *testing.T) {
	targets := map[string]load.Target{
		"append":          {Disposition: load.Append},
		"replace":         {Disposition: load.Replace},
		"merge":           {Disposition: load.Merge, Key: []string{"id"}, Cursor: "at"},
		"merge, overlap":  {Disposition: load.Merge, Key: []string{"id"}, Cursor: "at", Overlap: true},
		"append, overlap": {Disposition: load.Append, Key: []string{"id"}, Overlap: true},
		"window":          {Disposition: load.Window, Time: "at", Window: window.Window{Start: day(1), End: day(4)}},
	}
	for name, to := range targets {
		for _, before := range []string{"", day1} {
			title := name + ", first load"
			if before != "" {
				title = name + ", into a table"
			}
			t.Run(title, func(t *testing.T) {
				warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
					if before != "" {
						run(t, db, "l0", given(standard(), "["+before+"]"), to)
					}
					c := contract("l1")
					st := stage(t, db, given(standard(), "["+day1+","+day2+"]"), c)
					first, err := publish(db, st, to)
					if err != nil {
						t.Fatal(err)
					}
					once := table(t, db, all)
					for range 2 {
						again, err := publish(db, st, to)
						if err != nil {
							t.Fatal(err)
						}
						balanced(t, again)
						if first.Published > 0 && again.Published != 0 {
							t.Errorf("published %d again", again.Published)
						}
						same(t, "table", table(t, db, all), once)
					}
					// The same load staged anew, as after a crash.
					st = stage(t, db, given(standard(), "["+day1+","+day2+"]"), c)
					again, err := publish(db, st, to)
					if err != nil {
						t.Fatal(err)
					}
					balanced(t, again)
					same(t, "table", table(t, db, all), once)
				})
			})
		}
	}
}

func TestMergeKeepsTheHighestCursor(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		to := load.Target{Disposition: load.Merge, Key: []string{"id"}, Cursor: "at"}
		rows := `[{"id":1,"name":"new","at":"2026-03-03T00:00:00Z"},{"id":1,"name":"old","at":"2026-03-02T00:00:00Z"},{"id":1,"name":"none"}]`
		for i, id := range []string{"l1", "l2"} {
			res := run(t, db, id, given(standard(), rows), to)
			if res.Superseded != 2 || res.Published != 1 || res.Deleted != int64(i) {
				t.Errorf("%+v", res)
			}
			same(t, "table", table(t, db, all), "1 new")
		}
		same(t, "left aside", aside(t, db), "")
	})
}

func TestOverlapLeavesUnchangedRowsAlone(t *testing.T) {
	for _, disposition := range []string{load.Merge, load.Append} {
		t.Run(disposition, func(t *testing.T) {
			warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
				to := load.Target{Disposition: disposition, Key: []string{"id"}, Cursor: "at", Overlap: true}
				run(t, db, "l1", given(standard(), "["+day1+"]"), to)
				res := run(t, db, "l2", given(standard(), `[`+day1+`,{"id":3,"name":null,"at":"2026-03-02T12:00:00Z"}]`), to)
				if res.Published != 1 || res.AlreadyPresent != 2 || res.Deleted != 0 {
					t.Errorf("%+v", res)
				}
				res = run(t, db, "l3", given(standard(), `[{"id":3,"name":"","at":"2026-03-02T12:00:00Z"}]`), to)
				if res.Published != 1 {
					t.Errorf("an empty text is no NULL: %+v", res)
				}
				same(t, "loads", table(t, db, `SELECT _elt_load_id, count(*) FROM shop.orders WHERE id < 3 GROUP BY 1`), "l1 2")
			})
		})
	}
}

func TestInvariant5_EmptySourceNeverEmptiesATable(t *testing.T) {
	for _, to := range []load.Target{{Disposition: load.Replace}, {Disposition: load.Window, Time: "at", Full: true}} {
		t.Run(to.Disposition, func(t *testing.T) {
			warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
				to := to
				run(t, db, "l1", given(standard(), "["+day1+"]"), to)
				_, err := publish(db, stage(t, db, given(standard(), "[]"), contract("l2")), to)
				if !errors.Is(err, load.ErrEmpty) || !strings.Contains(err.Error(), "on_empty") {
					t.Errorf("error %v", err)
				}
				same(t, "table", table(t, db, all), "1 ada; 2 bob")
				to.OnEmpty = load.EmptyKeep
				run(t, db, "l3", given(standard(), "[]"), to)
				same(t, "table", table(t, db, all), "1 ada; 2 bob")
				to.OnEmpty = load.EmptyReplace
				res := run(t, db, "l4", given(standard(), "[]"), to)
				same(t, "table", table(t, db, all), "")
				if res.Deleted != 2 {
					t.Errorf("%+v", res)
				}
			})
		})
	}
}

func TestEmptyFirstLoadMakesTheTable(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		to := load.Target{Disposition: load.Replace}
		run(t, db, "l1", &fakeScan{schema: standard()}, to)
		same(t, "table", table(t, db, `SELECT count(*) FROM shop.orders`), "0")
		run(t, db, "l2", &fakeScan{schema: standard()}, to)
		run(t, db, "l3", given(standard(), "["+day1+"]"), to)
		same(t, "table", table(t, db, all), "1 ada; 2 bob")
	})
}

func TestWindowDeletesHalfOpenAndRefusesOutsiders(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		edges := `[{"id":1,"name":"in","at":"2026-03-01T00:00:00Z"},{"id":2,"name":"out","at":"2026-03-02T00:00:00Z"}]`
		run(t, db, "l1", given(standard(), edges), load.Target{Disposition: load.Append})
		first := load.Target{Disposition: load.Window, Time: "at", Window: window.Window{Start: day(1), End: day(2)}}
		res := run(t, db, "l2", given(standard(), "[]"), first)
		same(t, "table", table(t, db, all), "2 out")
		if res.Deleted != 1 {
			t.Errorf("%+v", res)
		}
		_, err := publish(db, stage(t, db, given(standard(), edges), contract("l3")), first)
		if !errors.Is(err, load.ErrContract) {
			t.Errorf("error %v", err)
		}
		same(t, "table", table(t, db, all), "2 out")
	})
}
