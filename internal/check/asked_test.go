package check_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"elt/internal/check"
	"elt/internal/testdb"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

func TestMain(m *testing.M) { os.Exit(testdb.Run(m)) }

// Every kind of check on rows that pass and rows that do not, on both engines.
func TestAskedChecks(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		rel := prepare(t, db)
		for _, c := range []struct {
			spec   check.Spec
			failed int64
			sample string
		}{
			{check.Spec{Kind: "not_null", Columns: []string{"id"}}, 0, ""},
			{check.Spec{Kind: "not_null", Columns: []string{"city"}}, 1, `"id":4`},
			{check.Spec{Kind: "unique", Columns: []string{"id"}}, 0, ""},
			{check.Spec{Kind: "unique", Columns: []string{"city"}}, 2, `"city":"Köln"`},
			{check.Spec{Kind: "accepted_values", Columns: []string{"city"}, Values: []string{"Köln", "O'Hare"}}, 0, ""},
			{check.Spec{Kind: "accepted_values", Columns: []string{"city"}, Values: []string{"Köln"}}, 1, "O'Hare"},
			{check.Spec{Kind: "range", Columns: []string{"n"}, Min: "0", Max: "10"}, 1, `"n":-1`},
			{check.Spec{Kind: "range", Columns: []string{"day"}, Min: "2026-01-01"}, 1, "2025-12-31"},
			{check.Spec{Kind: "expression", SQL: "n < 100"}, 0, ""},
			{check.Spec{Kind: "expression", SQL: "n > 0", Where: "id > 1"}, 1, `"n":-1`},
			{check.Spec{Kind: "relationships", Columns: []string{"parent"}, To: "s.t.id"}, 1, `"parent":9`},
			{check.Spec{Kind: "sql", SQL: "select id from s.t where n < 0;"}, 1, `"id":3`},
		} {
			chk, err := check.New(c.spec)
			if err != nil {
				t.Fatal(err)
			}
			f, err := chk.Eval(t.Context(), db, rel, time.Now())
			if err != nil {
				t.Errorf("%s: %v", chk.Name(), err)
				continue
			}
			if f.Failed != c.failed || f.OK != (c.failed == 0) || f.Severity != check.Error {
				t.Errorf("%s: %+v, want %d failed", chk.Name(), f, c.failed)
			}
			samples := strings.ReplaceAll(strings.Join(f.Samples, " "), ": ", ":")
			if !strings.Contains(samples, c.sample) {
				t.Errorf("%s: samples %s, want %s among them", chk.Name(), samples, c.sample)
			}
		}
	})
}

func prepare(t *testing.T, db *warehouse.DB) check.Relation {
	t.Helper()
	err := db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
		for _, q := range []string{
			`CREATE SCHEMA s`,
			`CREATE TABLE s.t (id bigint, city text, n bigint, day date, parent bigint)`,
			`INSERT INTO s.t VALUES (1, 'Köln', 1, '2026-01-01', NULL), (2, 'Köln', 2, '2026-01-02', 1), (3, 'O''Hare', -1, '2026-01-03', 9), (4, NULL, 3, '2025-12-31', 4)`,
		} {
			if _, err := tx.Exec(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return check.Relation{SQL: warehouse.Table{Schema: "s", Name: "t"}.String(), Name: "s.t", Dialect: db.Dialect().Name}
}

func TestChecksThatCannotBeMade(t *testing.T) {
	t.Parallel()
	for _, spec := range []check.Spec{{Kind: "unique"}, {Kind: "range", Columns: []string{"n"}}, {Kind: "accepted_values", Columns: []string{"n"}},
		{Kind: "relationships", Columns: []string{"n"}, To: "t.id"}, {Kind: "sorted", Columns: []string{"n"}}} {
		if _, err := check.New(spec); err == nil {
			t.Errorf("%+v makes a check", spec)
		}
	}
}
