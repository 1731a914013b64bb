package load_test

import (
	"fmt"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"elt/internal/scan"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
	"elt/load"
)

// A source whose key becomes a UUID still finds its rows in a table that keeps the
// key as text, and so does a lookback.
func TestKeyIsComparedAsTheTableKeepsIt(t *testing.T) {
	uuid := arrow.Field{Name: "id", Type: text, Nullable: true, Metadata: arrow.NewMetadata([]string{scan.TypeKey}, []string{scan.TypeUUID})}
	const one, two = "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b811-9dad-11d1-80b4-00c04fd430c8"
	row := func(id, name string) string { return fmt.Sprintf(`{"id":%q,"name":%q}`, id, name) }
	for name, to := range map[string]load.Target{
		"merge":    {Disposition: load.Merge, Key: []string{"id"}},
		"lookback": {Disposition: load.Merge, Key: []string{"id"}, Overlap: true},
		"append":   {Disposition: load.Append, Key: []string{"id"}, Overlap: true},
	} {
		t.Run(name, func(t *testing.T) {
			warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
				run(t, db, "l1", given(schema(field("id", text), field("name", text)), `[`+row(one, "ada")+`,`+row(two, "bob")+`]`), to)
				res := run(t, db, "l2", given(schema(uuid, field("name", text)), `[`+row(one, "ada")+`,`+row(two, "bert")+`]`), to)
				want := one + " ada; " + two + " bert"
				if to.Disposition == load.Append {
					want += "; " + two + " bob"
				}
				same(t, "table", table(t, db, `SELECT id, name FROM shop.orders ORDER BY id, name`), want)
				if to.Overlap && res.AlreadyPresent != 1 {
					t.Errorf("%+v", res)
				}
			})
		})
	}
}
