package load_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"elt/internal/scan"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
	"elt/load"
)

func TestInvariant4_AccountingMismatchFailsTheLoad(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		s := given(standard(), "["+day1+"]")
		s.counted, s.known = 3, true
		_, err := load.Stage(t.Context(), db, s, contract("l1"))
		if !errors.Is(err, load.ErrAccounting) || !strings.Contains(err.Error(), "3 rows") || !strings.Contains(err.Error(), "2 were read") {
			t.Errorf("error %v", err)
		}
		same(t, "left aside", aside(t, db), "")

		c := contract("l2")
		c.Rejects = load.NewRejects(10)
		if err := c.Rejects.Add(scan.Reject{Locator: "a.csv:3", Reason: "no number", Payload: "x"}); err != nil {
			t.Fatal(err)
		}
		res, err := publish(db, stage(t, db, s, c), load.Target{Disposition: load.Append})
		if err != nil {
			t.Fatal(err)
		}
		balanced(t, res)
		if res.Read != 3 || res.Quarantined != 1 || res.Published != 2 {
			t.Errorf("%+v", res)
		}
	})
}

func TestInvariant5_ReaderErrorAtAnyBatchLeavesNothing(t *testing.T) {
	broken := errors.New("connection reset by the source")
	one := `[{"id":1,"name":"ada"}]`
	for n := range 4 {
		t.Run(fmt.Sprintf("after %d batches", n), func(t *testing.T) {
			warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
				run(t, db, "l0", given(standard(), one), load.Target{Disposition: load.Replace})
				s := &fakeScan{schema: standard(), err: broken, parts: [][]string{{}}}
				for range n {
					s.parts[0] = append(s.parts[0], one)
				}
				_, err := load.Stage(t.Context(), db, s, contract("l1"))
				if !errors.Is(err, broken) && !(err != nil && strings.Contains(err.Error(), broken.Error())) {
					t.Errorf("error %v", err)
				}
				same(t, "left aside", aside(t, db), "")
				same(t, "table", table(t, db, all), "1 ada")
			})
		})
	}
}

func TestInvariant4_EveryPartIsCounted(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		s := &fakeScan{schema: standard(), known: true}
		for p := range 5 {
			s.parts = append(s.parts, nil)
			for b := range p {
				s.parts[p] = append(s.parts[p], fmt.Sprintf(`[{"id":%d,"name":"p%d"}]`, s.counted, p))
				s.counted++
				_ = b
			}
		}
		c := contract("l1")
		var heard atomic.Int64
		c.Progress = func(n int64) { heard.Store(max(heard.Load(), n)) }
		st := stage(t, db, s, c)
		if st.Rows() != 10 || st.Read() != 10 || heard.Load() != 10 {
			t.Errorf("staged %d, read %d, heard %d; want 10", st.Rows(), st.Read(), heard.Load())
		}
		same(t, "stage", table(t, db, `SELECT count(*), count(DISTINCT id) FROM `+st.Relation().String()), "10 10")
		if _, err := publish(db, st, load.Target{Disposition: load.Append}); err != nil {
			t.Fatal(err)
		}
		same(t, "table", table(t, db, `SELECT count(DISTINCT id) FROM shop.orders`), "10")
	})
}

func TestSchemaUnknownUntilOpened(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		wide := arrow.NewSchema(append(standard().Fields(), field("extra", text)), nil)
		s := blindScan{parts: []scan.Part{
			{Open: func(context.Context) (array.RecordReader, error) {
				return given(standard(), "["+day1+"]").open([]string{"[" + day1 + "]"})
			}},
		}}
		run(t, db, "l1", s, load.Target{Disposition: load.Append})
		s.parts = []scan.Part{{Open: func(context.Context) (array.RecordReader, error) {
			return given(wide, "").open([]string{`[{"id":3,"name":"cy","extra":"x"}]`})
		}}}
		run(t, db, "l2", s, load.Target{Disposition: load.Append})
		same(t, "table", table(t, db, `SELECT id, extra FROM shop.orders ORDER BY id`), "1 -; 2 -; 3 x")
		// No parts and no schema: nothing happened, and nothing is made.
		res := run(t, db, "l3", blindScan{}, load.Target{Disposition: load.Append})
		if res.Read != 0 {
			t.Errorf("%+v", res)
		}
	})
}

// blindScan does not know its schema before its parts are opened.
type blindScan struct{ parts []scan.Part }

func (s blindScan) Schema() *arrow.Schema  { return nil }
func (s blindScan) Parts() []scan.Part     { return s.parts }
func (s blindScan) Cursor() scan.Cursor    { return "" }
func (s blindScan) Counted() (int64, bool) { return 0, false }
func (s blindScan) Close() error           { return nil }

func TestNames(t *testing.T) {
	long := strings.Repeat("n", 64)
	tests := map[string]struct {
		names []string
		want  string // "" means that they are fine
	}{
		"quotes, spaces and capitals": {[]string{`a"b`, "Order ID", "select", "ü", `x;--`}, ""},
		"differ in case only":         {[]string{"id", "ID"}, `"id" and "ID" would be the same column`},
		"empty":                       {[]string{"id", ""}, "column 2 has no name"},
		"NUL byte":                    {[]string{"a\x00b"}, "NUL byte"},
		"reserved":                    {[]string{"_elt_load_id"}, "reserved"},
		"all mistakes at once":        {[]string{"", "_elt_x"}, "reserved"},
		"long on Postgres":            {[]string{long}, "64 bytes"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
				var fields []arrow.Field
				for _, n := range tt.names {
					fields = append(fields, field(n, text))
				}
				want := tt.want
				if name == "long on Postgres" && db.Dialect().MaxName == 0 {
					want = ""
				}
				st, err := load.Stage(t.Context(), db, given(arrow.NewSchema(fields, nil), `[{}]`), contract("l1"))
				if want != "" {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("error %v; want %q", err, want)
					}
					same(t, "left aside", aside(t, db), "")
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				for range 2 {
					if _, err := publish(db, st, load.Target{Disposition: load.Merge, Key: nil}); err == nil {
						t.Error("a merge without a key went through")
					}
				}
				if _, err := publish(db, st, load.Target{Disposition: load.Append}); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestOddTableNames(t *testing.T) {
	odd := []string{`o"rders; drop table x`, strings.Repeat("bestellung_", 5), "日本語の注文テーブルとその他の長い名前"}
	for _, name := range odd {
		t.Run(name, func(t *testing.T) {
			warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
				c := contract("l1")
				c.Table = warehouse.Table{Schema: `sh"op`, Name: name}
				for _, id := range []string{"l1", "l2"} {
					c.LoadID = id
					st := stage(t, db, given(standard(), "["+day1+"]"), c)
					if _, err := publish(db, st, load.Target{Disposition: load.Merge, Key: []string{"id"}}); err != nil {
						t.Fatal(err)
					}
				}
				same(t, "rows", table(t, db, `SELECT count(*) FROM `+c.Table.String()), "2")
			})
		})
	}
}

func TestCancellationLeavesNothing(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		ctx, cancel := context.WithCancelCause(t.Context())
		c := contract("l1")
		stop := errors.New("told to stop")
		c.Progress = func(int64) { cancel(stop) }
		_, err := load.Stage(ctx, db, given(standard(), "["+day1+"]"), c)
		if err == nil {
			t.Error("staged after it was told to stop")
		}
		same(t, "left aside", aside(t, db), "")
	})
}

func TestSweepDropsWhatACrashLeft(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		if _, err := load.Stage(t.Context(), db, given(standard(), "["+day1+"]"), contract("l1")); err != nil {
			t.Fatal(err)
		}
		run(t, db, "l2", given(standard(), "["+day1+"]"), load.Target{Disposition: load.Append})
		if err := load.Sweep(t.Context(), db, []string{"elsewhere"}); err != nil {
			t.Fatal(err)
		}
		if aside(t, db) == "" {
			t.Error("swept a schema that was not named")
		}
		if err := load.Sweep(t.Context(), db, nil); err != nil { // a project without sources
			t.Fatal(err)
		}
		if aside(t, db) == "" {
			t.Error("swept without the name of a schema")
		}
		if err := load.Sweep(t.Context(), db, []string{"shop"}); err != nil {
			t.Fatal(err)
		}
		same(t, "left aside", aside(t, db), "")
		same(t, "table", table(t, db, all), "1 ada; 2 bob")
	})
}

func TestRejectsHaveAHardCap(t *testing.T) {
	r := load.NewRejects(2)
	for i := range 3 {
		err := r.Add(scan.Reject{Locator: fmt.Sprintf("a.csv:%d", i), Reason: "no number"})
		if (err != nil) != (i == 2) {
			t.Errorf("row %d: %v", i, err)
		}
	}
	if r.Len() != 2 || len(r.Rows()) != 2 {
		t.Errorf("%d rows", r.Len())
	}
}
