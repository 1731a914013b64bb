package selector_test

import (
	"slices"
	"strings"
	"testing"

	"elt/internal/selector"
)

func nodes() []selector.Node {
	return []selector.Node{
		{Name: "shop.customers", Kind: "extract", Tags: []string{"pii"}},
		{Name: "shop.orders", Kind: "extract"},
		{Name: "web.events", Kind: "extract"},
		{Name: "staging.orders", Kind: "model", Path: "models/staging/orders.sql", Needs: []string{"shop.orders"}, Tags: []string{"daily"}},
		{Name: "staging.events", Kind: "model", Path: "models/staging/events.sql", Needs: []string{"web.events"}},
		{Name: "marts.customers", Kind: "model", Path: "models/marts/customers.sql", Needs: []string{"shop.customers", "staging.orders"}, Tags: []string{"pii", "daily"}},
		{Name: "marts.revenue", Kind: "model", Path: "models/marts/revenue.sql", Needs: []string{"staging.orders"}},
		{Name: "crm_contacts", Kind: "sync", Needs: []string{"marts.customers"}, Tags: []string{"pii"}},
	}
}

func TestSelect(t *testing.T) {
	for _, c := range []struct{ include, exclude, want string }{
		{"", "", "shop.customers shop.orders web.events staging.orders staging.events marts.customers marts.revenue crm_contacts"},
		{"all", "kind:extract", "staging.orders staging.events marts.customers marts.revenue crm_contacts"},
		{"staging.orders", "", "staging.orders"},
		{"STAGING.Orders", "", "staging.orders"},
		{"orders", "", "shop.orders staging.orders"},
		{"marts", "", "marts.customers marts.revenue"},
		{"marts.*", "", "marts.customers marts.revenue"},
		{"+staging.orders", "", "shop.orders staging.orders"},
		{"staging.orders+", "", "staging.orders marts.customers marts.revenue crm_contacts"},
		{"staging.orders+1", "", "staging.orders marts.customers marts.revenue"},
		{"2+crm_contacts", "", "shop.customers staging.orders marts.customers crm_contacts"},
		{"0+crm_contacts", "", "crm_contacts"},
		{"+marts.customers+", "", "shop.customers shop.orders staging.orders marts.customers crm_contacts"},
		{"tag:daily", "", "staging.orders marts.customers"},
		{"tag:daily,tag:pii", "", "marts.customers"},
		{"tag:daily tag:pii", "", "shop.customers staging.orders marts.customers crm_contacts"},
		{"path:models/staging", "", "staging.orders staging.events"},
		{"path:./models/staging/", "", "staging.orders staging.events"},
		{"path:models/*/orders.sql", "", "staging.orders"},
		{"source:shop", "", "shop.customers shop.orders"},
		{"source:shop.orders+", "marts", "shop.orders staging.orders crm_contacts"},
		{"sync:crm_contacts", "", "crm_contacts"},
		{"+sync:*", "+staging.orders", "shop.customers marts.customers crm_contacts"},
		{"model:orders", "", "staging.orders"},
	} {
		got, err := selector.Select(nodes(), []string{c.include}, []string{c.exclude})
		if err != nil {
			t.Errorf("%q: %v", c.include, err)
			continue
		}
		var names []string
		for _, n := range got {
			names = append(names, n.Name)
		}
		if s := strings.Join(names, " "); s != c.want {
			t.Errorf("%q without %q:\n got %s\nwant %s", c.include, c.exclude, s, c.want)
		}
	}
}

func TestSelectErrors(t *testing.T) {
	for sel, want := range map[string]string{
		"staging.order":    `there is no name "staging.order"; did you mean "staging.orders"?`,
		"tag:dayly":        `there is no tag "dayly"; did you mean "daily"?`,
		"tags:daily":       `unknown method "tags"; did you mean "tag"?`,
		"tag:":             `a value is missing`,
		"+":                `a plus sign stands before or after a name`,
		"a+b":              `a plus sign stands before or after a name`,
		"99999999999+a":    `99999999999 steps are too many`,
		"sync:x":           `syncs: crm_contacts`,
		"[":                `the pattern is wrong`,
		"tag:daily,web":    `nothing is in all of its parts`,
		"path:models/mart": `did you mean "models/marts"?`,
	} {
		_, err := selector.Select(nodes(), []string{sel}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", sel, err, want)
		}
	}
}

func FuzzSelect(f *testing.F) {
	for _, s := range []string{"a", "+a+", "2+tag:x+3", "a,b c", "path:x/*", "[", "+", ",", ":", "source:shop.orders+"} {
		f.Add(s)
	}
	all := nodes()
	f.Fuzz(func(t *testing.T, s string) {
		got, err := selector.Select(all, []string{s}, nil)
		if err == nil && len(got) == 0 {
			t.Fatalf("%q finds nothing and is no error", s)
		}
		at := -1
		for _, n := range got {
			i := slices.IndexFunc(all, func(o selector.Node) bool { return o.Name == n.Name })
			if i <= at {
				t.Fatalf("%q is out of order", s)
			}
			at = i
		}
	})
}
