package load_test

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"elt/internal/rows"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
	"elt/load"
	"elt/window"
)

// row is a row of the model of a table: a key, a text and a day of March.
type row struct {
	id, day int
	name    string
}

func (r row) json() string {
	return fmt.Sprintf(`{"id":%d,"name":%q,"at":"2026-03-%02dT12:00:00Z"}`, r.id, r.name, r.day)
}

func randomRow() *rapid.Generator[row] {
	return rapid.Custom(func(t *rapid.T) row {
		return row{
			id:   rapid.IntRange(1, 6).Draw(t, "id"),
			day:  rapid.IntRange(1, 9).Draw(t, "day"),
			name: rapid.SampledFrom([]string{"", "a", "b", "ü", "'", `x"y`}).Draw(t, "name"),
		}
	})
}

// distinctCursors drops rows whose key and cursor were there before, among which
// a merge may choose freely.
func distinctCursors(rows []row) []row {
	seen := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(rows), func(r row) bool {
		k := fmt.Sprint(r.id, " ", r.day)
		defer func() { seen[k] = true }()
		return seen[k]
	})
}

// apply is what a load does to the model.
func apply(have, staged []row, to load.Target) []row {
	switch to.Disposition {
	case load.Replace:
		return staged
	case load.Window:
		have = slices.DeleteFunc(slices.Clone(have), func(r row) bool { return to.Window.Contains(day(r.day).Add(noon)) })
		return append(have, staged...)
	case load.Append:
		out := slices.Clone(have)
		for _, s := range staged {
			if !to.Overlap || !slices.Contains(have, s) {
				out = append(out, s)
			}
		}
		return out
	}
	best := map[int]row{}
	for _, s := range staged {
		if b, ok := best[s.id]; !ok || s.day > b.day {
			best[s.id] = s
		}
	}
	for _, h := range have {
		if b, ok := best[h.id]; ok && h.day > b.day { // the table is newer
			delete(best, h.id)
		}
	}
	have = slices.DeleteFunc(slices.Clone(have), func(r row) bool { _, ok := best[r.id]; return ok })
	for _, b := range best {
		have = append(have, b)
	}
	return have
}

const noon = 12 * 3600 * 1e9

func (r row) String() string { return fmt.Sprintf("%d %s %d", r.id, r.name, r.day) }

func sorted(rows []row) string {
	texts := make([]string, len(rows))
	for i, r := range rows {
		texts[i] = r.String()
	}
	sort.Strings(texts)
	return strings.Join(texts, "; ")
}

func randomTarget(t *rapid.T) load.Target {
	to := load.Target{
		Disposition: rapid.SampledFrom([]string{load.Append, load.Replace, load.Merge, load.Window}).Draw(t, "disposition"),
		OnEmpty:     load.EmptyReplace,
	}
	switch to.Disposition {
	case load.Append, load.Merge:
		to.Key, to.Cursor = []string{"id"}, "at"
		to.Overlap = rapid.Bool().Draw(t, "overlap")
	case load.Window:
		first := rapid.IntRange(1, 9).Draw(t, "first day")
		to.Time, to.Window = "at", window.Window{Start: day(first), End: day(rapid.IntRange(first, 9).Draw(t, "last day") + 1)}
	}
	return to
}

func TestRandomLoadsMatchAModel(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		tables := 0
		rapid.Check(t, func(rt *rapid.T) {
			tables++
			c := contract("")
			c.Table = warehouse.Table{Schema: "shop", Name: fmt.Sprint("t", tables)}
			var model []row
			for i := range rapid.IntRange(1, 4).Draw(rt, "loads") {
				to := randomTarget(rt)
				staged := rapid.SliceOfN(randomRow(), 0, 8).Draw(rt, "rows")
				if to.Disposition == load.Merge {
					staged = distinctCursors(staged)
				}
				if to.Disposition == load.Window {
					staged = slices.DeleteFunc(staged, func(r row) bool { return !to.Window.Contains(day(r.day).Add(noon)) })
				}
				c.LoadID = fmt.Sprint("load", i)
				model = apply(model, staged, to)
				once(rt, db, c, staged, to)
				got := readModel(rt, db, c.Table)
				if want := sorted(model); got != want {
					rt.Fatalf("after load %d (%s, overlap %v):\n got %s\nwant %s", i, to.Disposition, to.Overlap, got, want)
				}
			}
		})
	})
}

// once loads rows and publishes them twice, which must equal once.
func once(t *rapid.T, db *warehouse.DB, c load.Contract, rows []row, to load.Target) {
	cells := make([]string, len(rows))
	for i, r := range rows {
		cells[i] = r.json()
	}
	half := len(cells) / 2
	s := &fakeScan{schema: standard(), counted: int64(len(rows)), known: true, parts: [][]string{
		{"[" + strings.Join(cells[:half], ",") + "]"}, {"[" + strings.Join(cells[half:], ",") + "]"},
	}}
	st, err := load.Stage(context.Background(), db, s, c)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		res, err := publish(db, st, to)
		if err != nil {
			t.Fatal(err)
		}
		if res.Read != int64(len(rows)) || res.Staged != res.Published+res.Superseded+res.AlreadyPresent {
			t.Fatalf("the counts do not balance: %+v", res)
		}
	}
	if err := st.Drop(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// readModel reads the table as the model prints it.
func readModel(t *rapid.T, db *warehouse.DB, table warehouse.Table) string {
	var got []row
	err := warehouse.Each(context.Background(), db, `SELECT id, name, "at" FROM `+table.String(), func(r rows.Row) error {
		got = append(got, row{id: int(r.Int(0)), name: r.String(1), day: r.Time(2).Day()})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sorted(got)
}
