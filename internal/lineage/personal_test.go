package lineage_test

import (
	"slices"
	"strings"
	"testing"

	"elt/internal/lineage"
	"elt/internal/sqlparse"
)

// Each query reads shop.customers (email and name are personal), shop.orders
// (nothing is) and crm.people (the column p is). Personal are the columns after
// the arrow, of those before it; ALL is a query that cannot be followed.
var queries = []struct {
	name, sql, columns, want string
	duckOnly, pgOnly         bool
}{
	{name: "a column keeps its mark", sql: "select id, email from shop.customers", columns: "id email", want: "email"},
	{name: "under another name", sql: "select id, email as contact from shop.customers", columns: "id contact email", want: "contact"},
	{name: "inside a function", sql: "select lower(trim(email)) as e, length(name) + 1 as n, id from shop.customers", columns: "e n id", want: "e n"},
	{name: "in a case", sql: "select case when id = 1 then name else 'x' end as label from shop.customers", columns: "label", want: "label"},
	{name: "how many tells nothing", sql: "select count(email) as n, count(distinct name) as d, email is null as none from shop.customers group by 3", columns: "n d none", want: ""},
	{name: "the largest is one of them", sql: "select max(email) as m from shop.customers", columns: "m", want: "m"},
	{name: "all columns", sql: "select * from shop.customers", columns: "id email name", want: "email name"},
	{name: "all columns of one table", sql: "select o.*, c.id as cid from shop.orders o join shop.customers c on c.id = o.customer_id", columns: "id name cid", want: ""},
	{name: "a qualifier narrows", sql: "select o.name, c.id from shop.orders o join shop.customers c on c.id = o.customer_id", columns: "name id", want: ""},
	{name: "without one, any table may be meant", sql: "select email, sku from shop.orders o join shop.customers c using (id)", columns: "email sku", want: "email"},
	{name: "schema and table", sql: "select shop.customers.email as a, shop.customers.id as b from shop.customers", columns: "a b", want: "a"},
	{name: "through a CTE", sql: "with c as (select id, email as x from shop.customers) select c.id, upper(c.x) as y from c", columns: "id y", want: "y"},
	{name: "a CTE with names", sql: "with c(a, b) as (select id, email from shop.customers) select b as z from c", columns: "z", want: "z"},
	{name: "a CTE that counts", sql: "with c as (select id, count(*) as n from shop.customers group by id) select c.id, c.n, o.name from c join shop.orders o on o.id = c.id", columns: "id n", want: ""},
	{name: "through a query in FROM", sql: "select t.v from (select email as v, id from shop.customers) t", columns: "v", want: "v"},
	{name: "all of a query in FROM", sql: "select * from (select email as v, id from shop.customers) t", columns: "v id", want: "v"},
	{name: "a list behind an alias", sql: "select b from (select id, email from shop.customers) t(a, b)", columns: "b", want: "b"},
	{name: "a scalar query", sql: "select o.id, (select max(c.email) from shop.customers c where c.id = o.customer_id) as m from shop.orders o", columns: "id m", want: "m"},
	{name: "whether there is one", sql: "select o.id, exists (select * from shop.customers c where c.email is not null) as e from shop.orders o", columns: "id e", want: ""},
	{name: "a union by position", sql: "select id as a, sku as b from shop.orders union all select id, email from shop.customers", columns: "a b", want: "b"},
	{name: "a union of stars", sql: "select * from crm.people union all select * from (select id, sku from shop.orders) t", columns: "x", want: "x"},
	{name: "a whole row", sql: "select id, to_json(c) as doc from shop.customers c", columns: "id doc", want: "doc"},
	{name: "a whole row of a query", sql: "select to_json(t) as doc from (select email as e from shop.customers) t", columns: "doc", want: "doc"},
	{name: "no name of its own", sql: "select id, upper(email) from shop.customers", columns: "id upper", want: "id upper"},
	{name: "no name of its own, below", sql: "select * from (select id, upper(email) from shop.customers) t", columns: "id upper", want: "id upper"},
	{name: "what is joined and filtered by", sql: "select o.id from shop.orders o join shop.customers c on c.email = o.sku where c.name = 'x'", columns: "id", want: ""},
	{name: "a window", sql: "select id, first_value(email) over (partition by id) as f, row_number() over (order by id) as r from shop.customers", columns: "id f r", want: "f"},
	{name: "capitals", sql: `select c.EMAIL as "Mail" from shop.customers c`, columns: "mail", want: "mail"},
	{name: "an alias that is a marked column may be meant as that", sql: "select p.sku from shop.orders p join crm.people q on q.id = p.id", columns: "sku", want: "sku"},
	{name: "a recursion", sql: "with recursive r as (select id, email as e from shop.customers union all select id + 1, e from r where id < 3) select e as x from r", columns: "x", want: "x"},
	{name: "a set-returning function", sql: "select u.v from shop.customers c, unnest(string_to_array(c.email, '@')) u(v)", columns: "v", want: "v"},
	{name: "a star without a column", sql: "select * exclude (email) from shop.customers", columns: "id name", want: "name", duckOnly: true},
	{name: "a star with another column", sql: "select * replace (email as id) from shop.customers", columns: "id", want: "id", duckOnly: true},
	{name: "a column beside it", sql: "select email as x, upper(x) as y, id as z from shop.customers", columns: "x y z", want: "x y", duckOnly: true},
	{name: "columns by pattern", sql: "select columns('.*') from shop.customers", columns: "id", want: "id", duckOnly: true},
	{name: "a union by name", sql: "select id, sku from shop.orders union by name select email, id from shop.customers", columns: "id sku email", want: "email", duckOnly: true},
	{name: "a pivot", sql: "select * from (unpivot shop.customers on email, name into name k value v)", columns: "v", want: "v", duckOnly: true},
	{name: "from first", sql: "from shop.customers", columns: "id email", want: "email", duckOnly: true},
	{name: "a method", sql: "select id, email.lower() as l, c.email.upper() as u from shop.customers c", columns: "id l u", want: "l u", duckOnly: true},
	{name: "by position", sql: "select #2 as x from shop.customers", columns: "x", want: "x", duckOnly: true},
	{name: "a renaming star", sql: "select * rename (email as e) from shop.customers", columns: "e", want: "e", duckOnly: true},
	{name: "a name in front", sql: "select e: upper(email), i: id from shop.customers", columns: "e i", want: "e", duckOnly: true},
	{name: "a list comprehension", sql: "select [x for x in list_value(email)] as l, id from shop.customers", columns: "l id", want: "l", duckOnly: true},
	{name: "a joined table of its own name", sql: "select j.email as e, to_json(j) as d from (shop.customers c join shop.orders o using (id)) as j", columns: "e d", want: "e d", pgOnly: true},
	{name: "a function as a column", sql: "select c.to_json as d, c.id from shop.customers c", columns: "d id", want: "d", pgOnly: true},
	{name: "rows from a value", sql: "select v from shop.customers c, unnest(string_to_array(c.email, '@')) v", columns: "v", want: "v", pgOnly: true},
	{name: "a field of a row", sql: "select (c).email as e from shop.customers c", columns: "e", want: "e", pgOnly: true},
	{name: "a column as a function", sql: "select email(c) as e from shop.customers c", columns: "e", want: "e", pgOnly: true},
	{name: "all fields of a row", sql: "select (c).* from shop.customers c", columns: "anything", want: "anything", pgOnly: true},
}

// Where a table without a schema is found depends on the session.
func TestATableThatMayBeAnyIsPersonal(t *testing.T) {
	t.Parallel()
	for engine, p := range parsers(t) {
		for _, sql := range []string{
			"select mail from customers", "select (select x from customers t(x)) as mail", "select mail from shop.orders, customers",
			"select t.most_common_vals as mail from pg_catalog.pg_stats t", "select most_common_vals::text as mail from pg_stats",
		} {
			tables := marked()
			tables.Trace(lineage.Model{Name: "marts.x", Flow: flow(t, p, sql)})
			if tables.Of("marts.x").Origin("mail") == "" {
				t.Errorf("%s: counts as free\n%s", engine, sql)
			}
		}
	}
}

func parsers(t *testing.T) map[string]sqlparse.Parser {
	t.Helper()
	duck, err := sqlparse.DuckDB()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := duck.Close(); err != nil {
			t.Error(err)
		}
	})
	return map[string]sqlparse.Parser{"duckdb": duck, "postgres": sqlparse.Postgres()}
}

func flow(t *testing.T, p sqlparse.Parser, sql string) sqlparse.Flow {
	t.Helper()
	q, err := p.Parse(sql)
	if err != nil {
		t.Fatal(err)
	}
	return q.Flow
}

func marked() lineage.Tables {
	t := lineage.Tables{}
	t.Mark("shop.customers", "email", "Name")
	t.Mark("crm.people", "p")
	return t
}

func TestPersonalColumnsAreFollowed(t *testing.T) {
	t.Parallel()
	for engine, p := range parsers(t) {
		for _, q := range queries {
			if q.duckOnly && engine != "duckdb" || q.pgOnly && engine != "postgres" {
				continue
			}
			tables := marked()
			tables.Trace(lineage.Model{Name: "marts.x", Flow: flow(t, p, q.sql)})
			var got []string
			for _, c := range strings.Fields(q.columns) {
				if tables.Of("Marts.X").Origin(c) != "" {
					got = append(got, c)
				}
			}
			if want := strings.Fields(q.want); !slices.Equal(got, want) {
				t.Errorf("%s, %s: personal are %v, want %v\n%s", engine, q.name, got, want, q.sql)
			}
		}
	}
}

// A mark goes through any number of models, and tells where it began.
func TestPersonalColumnsAreFollowedThroughModels(t *testing.T) {
	t.Parallel()
	for engine, p := range parsers(t) {
		tables := marked()
		tables.Trace(
			lineage.Model{Name: "staging.c", Flow: flow(t, p, "select id, lower(email) as mail from shop.customers")},
			lineage.Model{Name: "marts.c", Flow: flow(t, p, "select c.*, o.sku from staging.c c join shop.orders o on o.id = c.id")},
			lineage.Model{Name: "marts.n", Flow: flow(t, p, "select count(*) as n from marts.c")},
		)
		if got := tables.Of("marts.c").Origin("mail"); got != "shop.customers.email" {
			t.Errorf("%s: mail comes from %q", engine, got)
		}
		if got := tables.Of("marts.c").Origin("id") + tables.Of("marts.c").Origin("sku"); got != "" {
			t.Errorf("%s: a free column comes from %q", engine, got)
		}
		if got := tables.Of("marts.n").Any(); got != "" {
			t.Errorf("%s: a count comes from %q", engine, got)
		}
	}
}

// A second column of a name is as personal as the first in all models after it;
// where none can be, such a name is the table's own.
func TestASecondColumnOfANameIsFollowed(t *testing.T) {
	t.Parallel()
	p := parsers(t)["duckdb"]
	tables := marked()
	tables.Trace(
		lineage.Model{Name: "marts.twice", Flow: flow(t, p, "select * from shop.orders o join shop.customers c on c.id = o.customer_id")},
		lineage.Model{Name: "marts.again", Flow: flow(t, p, "select a.name_1 as x, a.sku from marts.twice a")},
		lineage.Model{Name: "marts.all", Flow: flow(t, p, "select * from marts.twice")},
		lineage.Model{Name: "marts.once", Flow: flow(t, p, "select * from shop.customers")},
		lineage.Model{Name: "marts.named", Flow: flow(t, p, "select email, id as email_2 from shop.customers")},
	)
	for column, want := range map[string]bool{
		"twice.name": true, "twice.name_1": true, "twice.sku": false, "again.x": true, "again.sku": false, "all.name_1": true, "all.Name_12": true,
		"once.name": true, "once.name_1": false, "named.email": true, "named.email_2": false,
	} {
		model, name, _ := strings.Cut(column, ".")
		if got := tables.Of("marts."+model).Origin(name) != ""; got != want {
			t.Errorf("%s: personal is %t", column, got)
		}
	}
}
