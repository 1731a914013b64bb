package load_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
	"elt/load"
)

// A row that an engine cannot store is set aside, wherever in a batch it stands,
// and the rows around it land. Only Postgres has such rows.
func TestRowsThatTheWarehouseCannotStore(t *testing.T) {
	t.Parallel()
	schema := arrow.NewSchema([]arrow.Field{field("id", bigint), field("name", text)}, nil)
	for _, bad := range [][]int{{0}, {2}, {4}, {0, 1}, {1, 3}, {3, 4}, {0, 1, 2, 3, 4}, {}} {
		warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
			var rows []string
			for i := range 5 {
				rows = append(rows, fmt.Sprintf(`{"id": %d, "name": "n"}`, i))
			}
			for _, i := range bad {
				rows[i] = fmt.Sprintf(`{"id": %d, "name": "a\u0000b"}`, i)
			}
			s := &fakeScan{schema: schema, parts: [][]string{{"[" + strings.Join(rows, ",") + "]", `[{"id": 9, "name": "n"}]`}}, counted: 6, known: true}
			c := contract("l1")
			c.Key = []string{"id"}
			st := stage(t, db, s, c)
			res, err := publish(db, st, load.Target{Disposition: load.Merge, Key: c.Key})
			if err != nil {
				t.Fatal(err)
			}
			balanced(t, res)
			aside := len(bad)
			if db.Dialect().Name == "duckdb" {
				aside = 0
			}
			if res.Read != 6 || res.Quarantined != int64(aside) || res.Published != int64(6-aside) {
				t.Errorf("%v bad: %+v", bad, res)
			}
			for i, r := range st.Rejects.Rows() {
				want := fmt.Sprintf(`id=%d column "name": text with a NUL byte, which PostgreSQL cannot store {"id":%d,"name":"a\u0000b"}`, bad[i], bad[i])
				same(t, "reject", r.Locator+" "+r.Reason+" "+r.Payload, want)
			}
		})
	}
}

func TestMoreColumnsThanATableHolds(t *testing.T) {
	t.Parallel()
	fields := make([]arrow.Field, 2000)
	for i := range fields {
		fields[i] = field(fmt.Sprintf("c%d", i), bigint)
	}
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		_, err := load.Stage(t.Context(), db, given(arrow.NewSchema(fields, nil), `[]`), contract("l1"))
		if db.Dialect().MaxColumns == 0 {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		if err == nil || !strings.Contains(err.Error(), "the source has 2000 columns, and a table on postgres holds at most 1600") {
			t.Errorf("got %v", err)
		}
	})
}
