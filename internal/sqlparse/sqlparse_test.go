package sqlparse_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"elt/internal/sqlparse"
)

// parsers returns the parser of each dialect.
func parsers(t testing.TB) map[string]sqlparse.Parser {
	t.Helper()
	duck, err := sqlparse.DuckDB()
	if err != nil {
		t.Fatal(err)
	}
	pg := sqlparse.Postgres()
	t.Cleanup(func() {
		if err := errors.Join(duck.Close(), pg.Close()); err != nil {
			t.Error(err)
		}
	})
	return map[string]sqlparse.Parser{"duckdb": duck, "postgres": pg}
}

// refs prints what was found as name=text pairs, so that both the name and its
// place are golden.
func refs(sql string, q sqlparse.Query) string {
	var out []string
	for _, r := range q.Refs {
		out = append(out, r.Display()+"="+sql[r.Offset:r.End])
	}
	return strings.Join(out, " | ")
}

func TestRefs(t *testing.T) {
	ps := parsers(t)
	for _, c := range []struct{ name, dialects, sql, want string }{
		{"plain", "both", `select * from shop.orders`, `shop.orders=shop.orders`},
		{"alias", "both", `select o.id from shop.orders as o`, `shop.orders=shop.orders`},
		{"no schema", "both", `select * from orders`, `orders=orders`},
		{"join", "both", `select * from a.x join b.y using (id) left join c.z on true`, `a.x=a.x | b.y=b.y | c.z=c.z`},
		{"comma", "both", `select * from a.x, b.y`, `a.x=a.x | b.y=b.y`},
		{"twice", "both", `select * from a.x p join a.x q on p.id = q.id`, `a.x=a.x | a.x=a.x`},
		{"quoted", "both", `select * from "My Schema"."Or""ders" o`, `My Schema.Or"ders="My Schema"."Or""ders"`},
		{"quoted dot", "both", `select * from s."a.b"`, `s.a.b=s."a.b"`},
		{"spaces and comments", "both", "select * from shop /* here */ . -- there\n orders x", "shop.orders=shop /* here */ . -- there\n orders"},
		{"umlauts before", "both", `select 'äöü€' as x from shop.größe`, `shop.größe=shop.größe`},
		{"string is no ref", "both", `select 'from shop.orders' as x, $$ from a.b $$ as y from c.d -- from e.f`, `c.d=c.d`},
		{"cte", "both", `with o as (select * from shop.orders) select * from o`, `shop.orders=shop.orders`},
		{"cte name with schema is a table", "both", `with o as (select 1 as a) select * from o, s.o`, `s.o=s.o`},
		{"cte chain", "both", `with a as (select * from s.t), b as (select * from a) select * from b join a on true`, `s.t=s.t`},
		{"cte is not seen before it", "both", `with b as (select * from a), a as (select 1 as x) select * from b, a`, `a=a`},
		{"cte named like its table", "both", `with orders as (select * from orders) select * from orders`, `orders=orders`},
		{"nested cte ends with its query", "both", `select * from (with x as (select 1 as a) select * from x) q join x on true`, `x=x`},
		{"nested cte sees outer", "both", `with o as (select 1 as a) select * from (with i as (select * from o) select * from i) q`, ``},
		{"recursive", "both", `with recursive r as (select id from s.t union all select r.id from r join s.u on true) select * from r`, `s.t=s.t | s.u=s.u`},
		{"quoted cte", "both", `with "A b" as (select 1 as x) select * from "A b"`, ``},
		{"subqueries", "both", `select (select max(x) from a.m) as k from b.n where exists (select 1 from c.o) and id in (select id from d.p)`, `a.m=a.m | b.n=b.n | c.o=c.o | d.p=d.p`},
		{"set operations", "both", `with c as (select 1 as a) select a from c union all (select a from s.t except select a from s.u)`, `s.t=s.t | s.u=s.u`},
		{"lateral", "both", `select * from s.t, lateral (select * from s.u where u.id = t.id) l`, `s.t=s.t | s.u=s.u`},
		{"series", "both", `select * from generate_series(1, 3) g(i), s.t`, `s.t=s.t`},
		{"window and order", "both", `select row_number() over (partition by (select 1 from s.w) order by id) from s.t order by (select 2 from s.o)`, `s.w=s.w | s.t=s.t | s.o=s.o`},
		{"semicolon and comment", "both", "select * from s.t; -- end", `s.t=s.t`},
		{"values", "both", `select * from (values (1), (2)) v(x)`, ``},

		{"folds no case", "duckdb", `select * from Shop.Orders`, `Shop.Orders=Shop.Orders`},
		{"cte without case", "duckdb", `with Orders as (select 1 as a) select * from ORDERS`, ``},
		{"from first", "duckdb", `from shop.orders select id`, `shop.orders=shop.orders`},
		{"exclude and qualify", "duckdb", `select * exclude (a) from s.t qualify row_number() over (order by id) = 1`, `s.t=s.t`},
		{"pivot", "duckdb", `select * from (pivot s.t on y in (1, 2) using sum(p))`, `s.t=s.t`},
		{"asof and unnest", "duckdb", `select unnest(l) from s.t asof join s.p on t.at >= p.at`, `s.t=s.t | s.p=s.p`},
		{"lambda", "duckdb", `select list_transform(l, lambda x: x + 1) from s.t`, `s.t=s.t`},
		{"union by name", "duckdb", `select * from s.t union by name select * from s.u`, `s.t=s.t | s.u=s.u`},

		{"folds case", "postgres", `select * from Shop."Orders"`, `shop.Orders=Shop."Orders"`},
		{"recursive sees later", "postgres", `with recursive b as (select * from a), a as (select 1 as x) select * from b`, ``},
		{"only", "postgres", `select * from only s.t`, `s.t=s.t`},
		{"tablesample", "postgres", `select * from s.t tablesample system (1)`, `s.t=s.t`},
		{"filter and grouping sets", "postgres", `select count(*) filter (where x > (select 1 from s.f)) from s.t group by grouping sets ((a), ())`, `s.f=s.f | s.t=s.t`},
		{"materialized", "postgres", `with c as materialized (select * from s.t) select * from c`, `s.t=s.t`},
	} {
		for dialect, p := range ps {
			if c.dialects != "both" && c.dialects != dialect {
				continue
			}
			t.Run(dialect+"/"+c.name, func(t *testing.T) {
				q, err := p.Parse(c.sql)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, refs(c.sql, q)); diff != "" {
					t.Errorf("refs of %s (-want +got):\n%s", c.sql, diff)
				}
			})
		}
	}
}

func TestRefused(t *testing.T) {
	ps := parsers(t)
	for _, c := range []struct{ dialects, sql, want string }{
		{"both", `selec 1`, `1:1: syntax error at or near "selec"`},
		{"both", "select 'é',\n 'ü' as x from from y", `2:16: syntax error at or near "from"`},
		{"both", ``, `1:1: no SQL; write one SELECT`},
		{"both", "-- nothing\n", `no SQL; write one SELECT`},
		{"both", `select 1; select 2`, `more than one statement`},
		{"both", `insert into s.t values (1)`, `1:1: only a SELECT is allowed here, and this is INSERT`},
		{"both", `drop table s.t`, `1:1: only a SELECT is allowed here, and this is DROP`},
		{"both", `delete from s.t`, `1:1: only a SELECT is allowed here, and this is DELETE`},
		{"both", `copy (select 1) to '/tmp/x'`, `only a SELECT is allowed here`},
		{"both", `select * from db.s.t`, `1:15: db.s.t names another database; write schema.table`},
		{"both", "select 1\x00", `1:9: a NUL byte; remove it`},
		{"duckdb", `select * from read_csv('/etc/passwd')`, `1:15: table function read_csv is not allowed; allowed: generate_series`},
		{"duckdb", `with a as (select * from glob('*')) select * from a, read_text('x')`, "glob is not allowed"},
		{"duckdb", `select * from 'x.parquet'`, `1:15: "x.parquet" is a file, not a table`},
		{"duckdb", `select * from "/data/x.csv"`, `is a file, not a table`},
		{"duckdb", `describe s.t`, `DESCRIBE, SHOW and SUMMARIZE are not allowed`},
		{"duckdb", `pivot s.t on y using sum(p)`, `only a SELECT is allowed here; a PIVOT needs its values`},
		{"duckdb", `attach 'x' as y`, `only a SELECT`},
		{"postgres", `select * from pg_ls_dir('/')`, `1:15: table function pg_ls_dir is not allowed`},
		{"postgres", `select pg_read_file('/etc/passwd')`, `1:8: function pg_read_file is not allowed here`},
		{"postgres", `select ts_stat('select to_tsvector(email) from s.t')`, `1:8: function ts_stat is not allowed here`},
		{"postgres", `with x as (delete from s.t returning *) select * from x`, `a SELECT that writes is not allowed here`},
		{"postgres", `select 1 as a into s.t`, `SELECT INTO is not allowed here`},
		{"postgres", `select * from s.t for update`, `FOR UPDATE`},
	} {
		for dialect, p := range ps {
			if c.dialects != "both" && c.dialects != dialect {
				continue
			}
			t.Run(dialect+"/"+c.sql, func(t *testing.T) {
				_, err := p.Parse(c.sql)
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("got %v, want %q", err, c.want)
				}
			})
		}
	}
}

func TestRewrite(t *testing.T) {
	sql := `with orders as (select 'shop.orders' as s from shop.orders) select shop.orders.id, orders.s from orders join "shop" . "orders" on true join lone.t on true`
	want := `with orders as (select 'shop.orders' as s from "dev_shop"."orders") select "dev_shop"."orders".id, orders.s from orders join "dev_shop"."orders" on true join lone.t on true`
	for dialect, p := range parsers(t) {
		t.Run(dialect, func(t *testing.T) {
			q, err := p.Parse(sql)
			if err != nil {
				t.Fatal(err)
			}
			place := func(r sqlparse.Ref) string {
				if r.Schema != "shop" {
					return ""
				}
				return `"dev_shop"."` + r.Name + `"`
			}
			got := sqlparse.Rewrite(sql, q, place)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatal(diff)
			}
			edits := sqlparse.Edits(q, place)
			at := strings.Index(got, "lone.t")
			if o := sqlparse.Original(edits, at); sql[o:o+6] != "lone.t" {
				t.Errorf("offset %d after the edits is %d before them: %q", at, o, sql[o:])
			}
			if o := sqlparse.Original(edits, strings.Index(got, `"dev_shop"`)+3); sql[o:o+4] != "shop" {
				t.Errorf("inside a replacement: %q", sql[o:])
			}
		})
	}
}

// A column may name its table with its schema: that moves with the table, and
// with nothing else that is spelled alike.
func TestColumnsInFullAreRewritten(t *testing.T) {
	for _, c := range []struct{ dialects, sql, want string }{
		{"both", `select shop.orders.id from shop.orders`, `select @.id from @`},
		{"both", `select "shop" . /* c */ "orders".id, count(shop.orders.b) from shop.orders where shop.orders.b between 1 and 2 group by shop.orders.id order by shop.orders.id`,
			`select @.id, count(@.b) from @ where @.b between 1 and 2 group by @.id order by @.id`},
		{"both", `select 1 from lone.t where exists (select 1 from shop.orders where shop.orders.id = lone.t.id)`,
			`select 1 from lone.t where exists (select 1 from @ where @.id = lone.t.id)`},
		{"both", `select sum(shop.orders.b) over (partition by shop.orders.id) from shop.orders join lone.t on shop.orders.id = lone.t.id`,
			`select sum(@.b) over (partition by @.id) from @ join lone.t on @.id = lone.t.id`},
		{"both", `select 'shop.orders.id' as "shop.orders.id" from shop.orders -- shop.orders.id`, `select 'shop.orders.id' as "shop.orders.id" from @`},
		{"both", `select o.id, orders.id from lone.orders, shop.orders as o`, `select o.id, orders.id from lone.orders, @ as o`},
		{"duckdb", `select SHOP.Orders.s.a from shop.orders`, `select @.s.a from @`},
		{"duckdb", `select shop.orders.a from lone.t as shop`, `select shop.orders.a from lone.t as shop`},
		{"postgres", `select shop.orders.*, (shop.orders.c).x from shop.orders`, `select @.*, (@.c).x from @`},
	} {
		for dialect, p := range parsers(t) {
			if c.dialects != "both" && c.dialects != dialect {
				continue
			}
			t.Run(dialect+"/"+c.sql, func(t *testing.T) {
				q, err := p.Parse(c.sql)
				if err != nil {
					t.Fatal(err)
				}
				got := sqlparse.Rewrite(c.sql, q, func(r sqlparse.Ref) string {
					if strings.EqualFold(r.Display(), "shop.orders") {
						return "@"
					}
					return ""
				})
				if diff := cmp.Diff(c.want, strings.TrimSuffix(got, " -- shop.orders.id")); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

func TestEnd(t *testing.T) {
	for _, c := range []struct{ sql, want string }{
		{"select 1", "select 1"},
		{"select 1 ; -- x", "select 1"},
		{"select ';' /* ; */ from s.t ;", "select ';' /* ; */ from s.t"},
		{"select 1 -- no semicolon", "select 1"},
	} {
		for dialect, p := range parsers(t) {
			q, err := p.Parse(c.sql)
			if err != nil {
				t.Fatal(dialect, err)
			}
			if got := c.sql[:q.End]; got != c.want {
				t.Errorf("%s: end of %q: got %q", dialect, c.sql, got)
			}
		}
	}
}

func FuzzTokens(f *testing.F) {
	for _, s := range []string{"select 'a''b', \"x\"\"y\" -- c\n/* /* */ */ $$x$$ $a$b$a$ E'\\'' 1.5", "'", `"`, "/*", "$a", "$$", "é€"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		at := 0
		for tok := range sqlparse.Tokens(sql) {
			if tok.Offset < at || tok.End <= tok.Offset || tok.End > len(sql) || sql[tok.Offset:tok.End] != tok.Text {
				t.Fatalf("token %+v after byte %d of %q", tok, at, sql)
			}
			if blank := strings.Trim(sql[at:tok.Offset], " \t\r\n\f\v"); blank != "" {
				t.Fatalf("%q was skipped", blank)
			}
			_ = tok.Value()
			at = tok.End
		}
	})
}

func FuzzParse(f *testing.F) {
	duck, err := sqlparse.DuckDB()
	if err != nil {
		f.Fatal(err)
	}
	defer func() {
		if err := duck.Close(); err != nil {
			panic(err)
		}
	}()
	for _, s := range []string{"select * from a.b", "with a as (select 1) select * from a, \"b\".c", "from 'x'", "select 1;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		for _, p := range []sqlparse.Parser{duck, sqlparse.Postgres()} {
			q, err := p.Parse(sql)
			if err != nil {
				continue
			}
			_ = sqlparse.Rewrite(sql, q, func(sqlparse.Ref) string { return "x" })
			if q.End > len(sql) {
				t.Fatalf("end %d of %q", q.End, sql)
			}
		}
	})
}
