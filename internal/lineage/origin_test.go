package lineage_test

import (
	"fmt"
	"testing"

	"elt/internal/lineage"
	"elt/internal/sqlparse"
)

func TestOriginsOfAColumn(t *testing.T) {
	t.Parallel()
	columns := map[string][]string{
		"shop.customers": {"id", "email"}, "shop.orders": {"id", "customer_id", "amount"}, "staging.orders": {"id", "customer_id", "amount"},
		"staging.people": {"person", "mail"},
	}
	models := map[string]string{
		"staging.orders": "select * from shop.orders where amount > 0",
		"staging.people": "select c.id as person, lower(c.email) as mail from shop.customers c",
		"marts.spend": `with paid as (select o.customer_id, sum(o.amount) as total from staging.orders o group by 1)
			select p.person, paid.total, p.mail from staging.people p left join paid on paid.customer_id = p.person`,
		"marts.both":  "select id from shop.customers union all select customer_id as id from shop.orders",
		"marts.one":   "select 1 as id, email from shop.customers",
		"marts.inner": "select q.k from (select x.customer_id as k from staging.orders x) q",
	}
	parser, err := sqlparse.DuckDB()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = parser.Close() })
	f := lineage.Follower{Models: map[string]sqlparse.Flow{}, Has: func(table, column string) bool {
		for _, c := range columns[table] {
			if c == column {
				return true
			}
		}
		return false
	}}
	for name, query := range models {
		parsed, err := parser.Parse(query)
		if err != nil {
			t.Fatal(err)
		}
		f.Models[name] = parsed.Flow
	}
	for of, want := range map[string]string{
		"marts.spend.person": "[{shop.customers id}] ",
		"marts.spend.total":  "[{shop.orders amount}] ",
		"marts.spend.mail":   "[{shop.customers email}] ",
		"marts.both.id":      "[{shop.customers id} {shop.orders id} {shop.orders customer_id}] ",
		"marts.one.id":       "[] marts.one.id",
		"marts.inner.k":      "[{shop.orders customer_id}] ",
		"shop.orders.id":     "[{shop.orders id}] ",
	} {
		var schema, table, column string
		if _, err := fmt.Sscanf(dots(of), "%s %s %s", &schema, &table, &column); err != nil {
			t.Fatal(err)
		}
		found, none := f.Origins(schema+"."+table, column)
		if got := fmt.Sprint(found) + " " + none; got != want && !(len(found) == 0 && "[] "+none == want) {
			t.Errorf("%s: %s, want %s", of, got, want)
		}
	}
}

func dots(s string) string {
	out := []byte(s)
	for i, c := range out {
		if c == '.' {
			out[i] = ' '
		}
	}
	return string(out)
}
