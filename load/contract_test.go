package load_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
	"elt/load"
)

func schema(fields ...arrow.Field) *arrow.Schema { return arrow.NewSchema(fields, nil) }

// attempt loads once with the policies of c and says how it ended.
func attempt(t *testing.T, db *warehouse.DB, c load.Contract, s *fakeScan, to load.Target) (load.Result, *load.Staged, error) {
	t.Helper()
	st, err := load.Stage(t.Context(), db, s, c)
	if err != nil {
		same(t, "left aside", aside(t, db), "")
		return load.Result{}, nil, err
	}
	t.Cleanup(func() { _ = st.Drop(t.Context()) })
	res, err := publish(db, st, to)
	if err == nil {
		balanced(t, res)
	}
	return res, st, err
}

func TestNewColumn(t *testing.T) {
	wide := schema(field("id", bigint), field("name", text), field("vip", text))
	rows := `[{"id":3,"name":"cy","vip":"yes"},{"id":4,"name":"di"}]`
	after := `SELECT * FROM (SELECT id, name FROM shop.orders) AS x ORDER BY id`
	for _, disposition := range []string{load.Append, load.Replace, load.Merge} {
		for policy, want := range map[string]string{
			load.Evolve: "3 cy; 4 di", load.Freeze: "", load.Quarantine: "4 di", load.Discard: "3 cy; 4 di",
		} {
			t.Run(disposition+" "+policy, func(t *testing.T) {
				warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
					to := load.Target{Disposition: disposition, Key: []string{"id"}}
					run(t, db, "l1", given(schema(field("id", bigint), field("name", text)), `[{"id":1,"name":"ada"}]`), to)
					c := contract("l2")
					c.Columns, c.Key = policy, []string{"id"}
					res, st, err := attempt(t, db, c, given(wide, rows), to)
					if policy == load.Freeze {
						if !errors.Is(err, load.ErrContract) || !strings.Contains(err.Error(), `"vip"`) {
							t.Errorf("error %v", err)
						}
						same(t, "table", table(t, db, after), "1 ada")
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					kept := ""
					if disposition != load.Replace {
						kept = "1 ada; "
					}
					same(t, "table", table(t, db, after), kept+want)
					if policy == load.Evolve {
						same(t, "changes", strings.ToLower(strings.Join(res.Changes, "; ")), "added column vip "+strings.ToLower(typeOf(t, db, "vip")))
						same(t, "vip", table(t, db, `SELECT vip FROM shop.orders WHERE id >= 3 ORDER BY id`), "yes; -")
						return
					}
					same(t, "columns", typeOf(t, db, "vip"), "")
					if policy == load.Quarantine {
						rejects := st.Rejects.Rows()
						if res.Quarantined != 1 || len(rejects) != 1 || rejects[0].Locator != "id=3" ||
							!strings.Contains(rejects[0].Reason, "vip") || !strings.Contains(rejects[0].Payload, `"cy"`) {
							t.Errorf("%+v %+v", res, rejects)
						}
					}
				})
			})
		}
	}
}

// typeOf is the type of a column of the orders, "" when there is none.
func typeOf(t *testing.T, db *warehouse.DB, col string) string {
	t.Helper()
	return table(t, db, `SELECT data_type FROM information_schema.columns WHERE table_schema = 'shop' AND table_name = 'orders' AND column_name = '`+col+`'`)
}

func TestTypesWidenWithoutLoss(t *testing.T) {
	narrow, wide := schema(field("id", bigint), field("n", integer)), schema(field("id", bigint), field("n", bigint))
	for _, disposition := range []string{load.Append, load.Replace, load.Merge} {
		t.Run(disposition, func(t *testing.T) {
			warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
				to := load.Target{Disposition: disposition, Key: []string{"id"}}
				run(t, db, "l1", given(narrow, `[{"id":1,"n":1}]`), to)
				res := run(t, db, "l2", given(wide, `[{"id":2,"n":5000000000}]`), to)
				if len(res.Changes) != 1 || !strings.Contains(strings.ToLower(res.Changes[0]), "widened n from int") {
					t.Errorf("changes %q", res.Changes)
				}
				// A narrower column fits into what the table has.
				res = run(t, db, "l3", given(narrow, `[{"id":3,"n":3}]`), to)
				if len(res.Changes) != 0 {
					t.Errorf("changes %q", res.Changes)
				}
				same(t, "type", strings.ToLower(typeOf(t, db, "n")), "bigint")
				want := "1; 5000000000; 3"
				if disposition == load.Replace {
					want = "3"
				}
				same(t, "values", table(t, db, `SELECT n FROM shop.orders ORDER BY id`), want)
				same(t, "picks left aside", fmt.Sprint(strings.Count(aside(t, db), "pick")), "0")
			})
		})
	}
}

func TestTypePolicies(t *testing.T) {
	numbers, texts := schema(field("id", bigint), field("n", bigint)), schema(field("id", bigint), field("n", text))
	rows := `[{"id":2,"n":"12"},{"id":3,"n":"12,50"},{"id":4}]`
	for policy, want := range map[string]string{
		load.Evolve: "", load.Freeze: "", load.Quarantine: "1 1; 2 12; 4 -", load.Discard: "1 1; 2 12; 4 -",
	} {
		t.Run(policy, func(t *testing.T) {
			warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
				to := load.Target{Disposition: load.Append}
				run(t, db, "l1", given(numbers, `[{"id":1,"n":1}]`), to)
				c := contract("l2")
				c.Types, c.Key = policy, []string{"id"}
				res, st, err := attempt(t, db, c, given(texts, rows), to)
				if want == "" {
					if !errors.Is(err, load.ErrContract) || !strings.Contains(err.Error(), `"n"`) || !strings.Contains(err.Error(), "quarantine") {
						t.Errorf("error %v", err)
					}
					same(t, "table", table(t, db, `SELECT id, n FROM shop.orders ORDER BY id`), "1 1")
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				same(t, "table", table(t, db, `SELECT id, n FROM shop.orders ORDER BY id`), want)
				if res.Quarantined+res.Discarded != 1 || res.Published != 2 {
					t.Errorf("%+v", res)
				}
				if policy == load.Quarantine && !strings.Contains(st.Rejects.Rows()[0].Payload, "12,50") {
					t.Errorf("rejects %+v", st.Rejects.Rows())
				}
			})
		})
	}
}

func TestColumnsThatTheSourceLostStay(t *testing.T) {
	for _, disposition := range []string{load.Append, load.Replace, load.Merge} {
		t.Run(disposition, func(t *testing.T) {
			warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
				to := load.Target{Disposition: disposition, Key: []string{"id"}}
				run(t, db, "l1", given(standard(), "["+day1+"]"), to)
				run(t, db, "l2", given(schema(field("id", bigint)), `[{"id":9}]`), to)
				same(t, "row", table(t, db, `SELECT id, name FROM shop.orders WHERE id = 9`), "9 -")
			})
		})
	}
}

func TestTablePolicies(t *testing.T) {
	for _, policy := range []string{load.Freeze, load.Quarantine, load.Discard} {
		t.Run(policy, func(t *testing.T) {
			warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
				c := contract("l1")
				c.Tables = policy
				res, _, err := attempt(t, db, c, given(standard(), "["+day1+"]"), load.Target{Disposition: load.Append})
				if (err != nil) != (policy == load.Freeze) {
					t.Errorf("error %v", err)
				}
				if policy == load.Quarantine && res.Quarantined != 2 || policy == load.Discard && res.Discarded != 2 {
					t.Errorf("%+v", res)
				}
				same(t, "columns", typeOf(t, db, "id"), "")
			})
		})
	}
}

func TestRowsWithoutKeyAreQuarantined(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		to := load.Target{Disposition: load.Merge, Key: []string{"id", "name"}}
		res := run(t, db, "l1", given(standard(), `[{"id":1,"name":"ada"},{"id":1},{"name":"x"}]`), to)
		if res.Quarantined != 2 || res.Published != 1 {
			t.Errorf("%+v", res)
		}
		// Without the key in its contract the load is refused when it is published.
		st := stage(t, db, given(standard(), `[{"id":1}]`), contract("l2"))
		if _, err := publish(db, st, to); !errors.Is(err, load.ErrContract) || !strings.Contains(err.Error(), "NULL") {
			t.Errorf("error %v", err)
		}
	})
}

func TestNamesMeetWhateverTheirCase(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		to := load.Target{Disposition: load.Merge, Key: []string{"id"}}
		run(t, db, "l1", given(schema(field("id", bigint), field("Name", text)), `[{"id":1,"Name":"ada"}]`), to)
		to.Key = []string{"ID"}
		res := run(t, db, "l2", given(schema(field("ID", bigint), field("name", text)), `[{"ID":1,"name":"eve"},{"ID":1,"name":"eve"}]`), to)
		if len(res.Changes) != 0 || res.Superseded != 1 {
			t.Errorf("%+v", res)
		}
		same(t, "table", table(t, db, `SELECT id, "Name" FROM shop.orders`), "1 eve")
	})
}
