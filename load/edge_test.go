package load_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"elt/internal/scan"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
	"elt/load"
	"elt/window"
)

// edges are times in each of the types that a time column has: the last before
// the second of March, its first, its last, and the first after it, in the zone
// of the warehouse.
var edges = map[string]struct {
	typ   arrow.DataType
	times []string
}{
	"instant": {instant, []string{"2026-03-01T23:59:59.999999+01:00", "2026-03-02T00:00:00+01:00", "2026-03-02T23:59:59.999999+01:00", "2026-03-03T00:00:00+01:00"}},
	"naive": {&arrow.TimestampType{Unit: arrow.Microsecond},
		[]string{"2026-03-01T23:59:59.999999", "2026-03-02T00:00:00", "2026-03-02T23:59:59.999999", "2026-03-03T00:00:00"}},
	"date": {arrow.FixedWidthTypes.Date32, []string{"2026-03-01", "2026-03-02", "2026-03-02", "2026-03-03"}},
	"text": {text, []string{"2026-03-01T23:59:59.999999+01:00", "2026-03-02T00:00:00+01:00", "2026-03-02T23:59:59.999999+01:00", "2026-03-03T00:00:00+01:00"}},
}

// local are days in the zone of the warehouse.
func local(of ...int) (ws []window.Window) {
	for _, w := range days(of...) {
		const early = -time.Hour // all winter
		ws = append(ws, window.Window{Start: w.Start.Add(early), End: w.End.Add(early)})
	}
	return ws
}

// eachEdge runs test on each engine with each type of times. rows makes a scan
// of four rows at the edges, or those of them that are given.
func eachEdge(t *testing.T, test func(t *testing.T, db *warehouse.DB, rows func(name string, of ...int) scan.Scan)) {
	for typ, e := range edges {
		t.Run(typ, func(t *testing.T) {
			warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
				schema := arrow.NewSchema([]arrow.Field{field("id", bigint), field("name", text), field("at", e.typ)}, nil)
				test(t, db, func(name string, of ...int) scan.Scan {
					var list []string
					for _, i := range of {
						list = append(list, fmt.Sprintf(`{"id":%d,"name":%q,"at":%q}`, i, name, e.times[i-1]))
					}
					return given(schema, "["+strings.Join(list, ",")+"]")
				})
			})
		})
	}
}

// Invariant 2: windows are half-open. What lies at the very end of one is left to
// the next, with a key and without: it is neither deleted, nor replaced, nor there
// twice, in whatever order the windows come.
func TestInvariant2WindowsAreHalfOpen(t *testing.T) {
	eachEdge(t, func(t *testing.T, db *warehouse.DB, rows func(string, ...int) scan.Scan) {
		for what, key := range map[string][]string{"with a key": {"id"}, "without": nil} {
			at := warehouse.Table{Schema: "shop", Name: "t" + fmt.Sprint(len(key))}
			to := load.Target{Time: "at", Key: key}
			do := func(id, name string, ws ...window.Window) load.Result {
				t.Helper()
				total, err := divide(t.Context(), db, at, id, rows(name, 1, 2, 3, 4), to, slices.SortedFunc(slices.Values(ws), func(a, b window.Window) int { return a.Start.Compare(b.Start) }), ws)
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				return total
			}
			list := `SELECT id, name FROM ` + at.String() + ` ORDER BY id, name`
			do("l1", "old", local(1, 2, 3)...)
			total := do("l2", "new", local(2)...)
			same(t, what, table(t, db, list), "1 old; 2 new; 3 new; 4 old")
			if total.Read != 2 || total.Published != 2 || total.Deleted != 2 {
				t.Errorf("%s: %+v, want 2 rows read, deleted and published", what, total)
			}
			total = do("l3", "late", local(3, 2, 1)...)
			same(t, what+", backwards", table(t, db, list), "1 late; 2 late; 3 late; 4 late")
			if total.Read != 4 || total.Published != 4 || total.Deleted != 4 {
				t.Errorf("%s: %+v, want 4 rows read, deleted and published", what, total)
			}
			do("l4", "beside", local(1, 3)...)
			same(t, what+", beside", table(t, db, list), "1 beside; 2 late; 3 late; 4 beside")
		}
	})
}

// Invariant 2: a window of which the source gives nothing deletes what the table
// has in it, and nothing beside it, whether the source gives rows of other
// windows, rows of none, no rows, or does not even know its columns.
func TestInvariant2AnEmptyWindowDeletes(t *testing.T) {
	eachEdge(t, func(t *testing.T, db *warehouse.DB, rows func(string, ...int) scan.Scan) {
		for n, c := range []struct {
			what   string
			source scan.Scan
			of     []window.Window
			want   string
		}{
			{"rows of another window", rows("new", 1), local(1, 2), "1 new; 4 old"},
			{"rows of no window", rows("new", 1, 4), local(2), "1 old; 4 old"},
			{"no rows", rows("new"), local(2), "1 old; 4 old"},
			{"no rows, all of the table", rows("new"), local(1, 2, 3), ""},
			{"no rows, beside the table", rows("new"), local(4), "1 old; 2 old; 3 old; 4 old"},
			{"no columns", blindScan{}, local(2), "1 old; 4 old"},
		} {
			for _, key := range [][]string{{"id"}, nil} {
				at := warehouse.Table{Schema: "shop", Name: fmt.Sprint("t", n, len(key))}
				to := load.Target{Time: "at", Key: key}
				if _, err := divide(t.Context(), db, at, "l1", rows("old", 1, 2, 3, 4), to, local(1, 2, 3), local(1, 2, 3)); err != nil {
					t.Fatal(err)
				}
				total, err := divide(t.Context(), db, at, "l2", c.source, to, c.of, c.of)
				if err != nil {
					t.Fatalf("%s: %v", c.what, err)
				}
				balanced(t, total)
				same(t, c.what, table(t, db, `SELECT id, name FROM `+at.String()+` ORDER BY id`), c.want)
			}
		}
	})
}

// Invariant 2: so does a load of one window, also where the source does not know
// its columns.
func TestInvariant2AnEmptyLoadOfAWindowDeletes(t *testing.T) {
	eachEdge(t, func(t *testing.T, db *warehouse.DB, rows func(string, ...int) scan.Scan) {
		to := load.Target{Disposition: load.Window, Time: "at", Window: local(2)[0]}
		for what, source := range map[string]scan.Scan{"no rows": rows("new"), "no columns": blindScan{}} {
			run(t, db, what+" 1", rows("old", 1, 2, 3, 4), load.Target{Disposition: load.Replace})
			res := run(t, db, what+" 2", source, to)
			same(t, what, table(t, db, `SELECT id, name FROM shop.orders ORDER BY id`), "1 old; 4 old")
			if res.Deleted != 2 {
				t.Errorf("%s: %+v, want 2 rows deleted", what, res)
			}
		}
	})
}
