package load_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"elt/internal/scan"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
	"elt/load"
	"elt/window"
)

// divide stages s for windows, publishes each of them, in the order given, and
// returns the account of all of it.
func divide(ctx context.Context, db *warehouse.DB, at warehouse.Table, id string, s scan.Scan, to load.Target, windows, order []window.Window) (total load.Result, err error) {
	c := contract(id)
	c.Table, c.Divided, c.Key, c.Cursor = at, true, to.Key, to.Cursor
	for _, p := range s.Parts() {
		c.Files = c.Files || p.Files != nil
	}
	st, err := load.Stage(ctx, db, s, c)
	if err != nil {
		return total, err
	}
	defer func() { err = warehouse.Also(err, st.Drop(ctx)) }()
	d, err := st.Divide(ctx, to, windows)
	if err != nil {
		return total, err
	}
	total = d.Result()
	for _, w := range order {
		err := db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
			res, err := d.Publish(ctx, tx, w)
			total.Published += res.Published
			total.Deleted += res.Deleted
			return err
		})
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func days(of ...int) (ws []window.Window) {
	for _, d := range of {
		ws = append(ws, window.Window{Start: day(d), End: day(d + 1)})
	}
	return ws
}

func TestDivideMakesItsTable(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		ws := days(1, 2, 4)
		total, err := divide(t.Context(), db, orders, "l1", given(standard(), "["+day1+","+day2+`,{"id":9,"name":"out","at":"2026-03-03T00:00:00Z"},{"id":8,"name":"never","at":null}]`),
			load.Target{Time: "at"}, ws, ws)
		if err != nil {
			t.Fatal(err)
		}
		balanced(t, total)
		same(t, "table", table(t, db, all), "1 ada; 2 bert; 2 bob; 3 cy")
		if total.Read != 4 || total.Published != 4 {
			t.Errorf("%+v", total)
		}
		same(t, "left behind", aside(t, db), "")
	})
}

// What a source gives for windows is what they hold afterwards, and rows outside
// of them stay, whatever was there, in whatever order the windows come, with rows
// whose time has moved into, out of and between them.
func TestWindowsBecomeTheirSource(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		n := 0
		rapid.Check(t, func(rt *rapid.T) {
			n++
			at := warehouse.Table{Schema: "shop", Name: fmt.Sprint("t", n)}
			keyed := rapid.Bool().Draw(rt, "keyed")
			unique := func(label string) []row {
				list := rapid.SliceOfN(randomRow(), 0, 6).Draw(rt, label)
				seen := map[int]bool{}
				return slices.DeleteFunc(list, func(r row) bool { twice := seen[r.id]; seen[r.id] = true; return twice && keyed })
			}
			have, source := unique("table"), unique("source")
			if len(have) > 0 {
				if _, err := divide(context.Background(), db, at, "a", given(standard(), jsonOf(have)), load.Target{Time: "at"}, days(1, 2, 3, 4, 5, 6, 7, 8, 9), days(1, 2, 3, 4, 5, 6, 7, 8, 9)); err != nil {
					rt.Fatal(err)
				}
			}
			of := slices.Sorted(slices.Values(rapid.SliceOfNDistinct(rapid.IntRange(1, 9), 1, 5, rapid.ID[int]).Draw(rt, "days")))
			to := load.Target{Time: "at"}
			if keyed {
				to.Key, to.Cursor = []string{"id"}, "at"
			}
			order := rapid.Permutation(days(of...)).Draw(rt, "order")
			total, err := divide(context.Background(), db, at, "b", given(standard(), jsonOf(source)), to, days(of...), order)
			if err != nil {
				rt.Fatal(err)
			}
			if total.Read != total.Staged+total.Quarantined || total.Staged != total.Published+total.Superseded {
				rt.Fatalf("%+v does not balance", total)
			}
			in := func(r row) bool { return slices.Contains(of, r.day) }
			var want []row
			for _, r := range source {
				if in(r) {
					want = append(want, r)
				}
			}
			now := slices.Clone(want)
			for _, r := range have {
				if !in(r) && !(keyed && slices.ContainsFunc(now, func(s row) bool { return s.id == r.id })) {
					want = append(want, r)
				}
			}
			if len(have) == 0 && total.Staged == 0 {
				return // nothing has made the table
			}
			if got := readModel(rt, db, at); got != sorted(want) {
				rt.Fatalf("table %s\nwant  %s", got, sorted(want))
			}
		})
	})
}

func jsonOf(list []row) string {
	texts := make([]string, len(list))
	for i, r := range list {
		texts[i] = r.json()
	}
	return "[" + strings.Join(texts, ",") + "]"
}

// A file that is gone says nothing about its rows: they stay, also in the
// windows, unless a file that is there has a newer version; and a version that it
// had stays the newest if it is.
func TestWindowsKeepTheRowsOfFilesThatAreGone(t *testing.T) {
	dir := t.TempDir()
	eachReading(t, dir, func(t *testing.T, db *warehouse.DB) {
		write := func(name, text string) scan.File {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return scan.File{Path: path, Name: name}
		}
		old := write("old.csv", "id,at,ver,name\n1,2026-03-01T10:00:00Z,1,gone\n2,2026-03-01T10:00:00Z,9,newest\n3,2026-03-01T10:00:00Z,1,older\n4,2026-03-02T10:00:00Z,1,moved\n")
		now := write("now.csv", "id,at,ver,name\n2,2026-03-01T11:00:00Z,2,old\n3,2026-03-01T10:00:00Z,2,now\n4,2026-03-01T12:00:00Z,2,now\n5,2026-03-01T12:00:00Z,1,first\n5,2026-03-09T12:00:00Z,2,elsewhere\n")
		files := func(list ...scan.File) scan.Scan {
			return sniffedScan{filesScan{list}}
		}
		to := load.Target{Time: "at", Key: []string{"id"}, Cursor: "ver"}
		ws := days(1, 2)
		if _, err := divide(t.Context(), db, orders, "l1", files(old), to, ws, ws); err != nil {
			t.Fatal(err)
		}
		total, err := divide(t.Context(), db, orders, "l2", files(now), to, ws, ws)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "table", table(t, db, all), "1 gone; 2 newest; 3 now; 4 now")
		if total.Read != 4 || total.Published != 2 || total.Superseded != 2 {
			t.Errorf("%+v", total)
		}
	})
}

// sniffedScan is a filesScan whose columns are those of the files.
type sniffedScan struct{ filesScan }

func (s sniffedScan) Parts() []scan.Part {
	return []scan.Part{{Files: &scan.Files{Format: scan.CSV, Paths: s.files}}}
}
