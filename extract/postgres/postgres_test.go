package postgres_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"elt/extract"
	"elt/extract/extracttest"
	"elt/extract/postgres"
	"elt/internal/rows"
	"elt/internal/scan"
	"elt/internal/secret"
	"elt/internal/testdb"
	"elt/window"
)

func TestMain(m *testing.M) { os.Exit(testdb.Run(m)) }

// batchRows is where the source ends a batch of small rows.
const batchRows = 32768

// world implements [extracttest.World].
type world struct{ url string }

func (w world) exec(t testing.TB, statements ...string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, w.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }() // of a database that goes away
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func (w world) Open(ctx context.Context, alloc memory.Allocator, streams ...extract.StreamConfig) (extract.Source, error) {
	return postgres.Kind().Open(ctx, extract.Config{
		Connection: &postgres.Connection{URL: secret.New(w.url)}, Streams: streams, Allocator: alloc,
	})
}

func (w world) Put(t testing.TB, all []extracttest.Row) {
	t.Helper()
	w.exec(t, "DROP VIEW IF EXISTS items", "DROP TABLE IF EXISTS held",
		"CREATE TABLE held (id bigint PRIMARY KEY, name text, updated timestamp, price numeric(10,2))",
		"CREATE VIEW items AS SELECT * FROM held")
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, w.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }() // of a database that goes away
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"held"}, []string{"id", "name", "updated", "price"},
		pgx.CopyFromSlice(len(all), func(i int) ([]any, error) {
			price := 1.25
			if all[i].Bad {
				price = math.NaN()
			}
			return []any{all[i].ID, all[i].Name, all[i].Updated, price}, nil
		}))
	if err != nil {
		t.Fatal(err)
	}
}

func (w world) Widen(t testing.TB) {
	w.exec(t, "DROP VIEW items", "ALTER TABLE held ADD COLUMN extra integer", "CREATE VIEW items AS SELECT * FROM held")
}

// Break divides by zero at row n, in a column that counting does not look at.
func (w world) Break(t testing.TB, n int) {
	w.exec(t, "DROP VIEW items", fmt.Sprintf("CREATE VIEW items AS SELECT id + 0 * (1 / (id - %d)) AS id, name, updated, price FROM held", n+1))
}

func TestConformance(t *testing.T) {
	extracttest.Run(t, extracttest.Properties{Cursors: true, Rejects: true, BatchRows: batchRows},
		func(t *testing.T) extracttest.World { return world{url: testdb.URL(t)} })
}

// read reads one stream to its end, as text per row.
func read(t *testing.T, w world, c extract.StreamConfig, r extract.Request) ([]string, scan.Scan, error) {
	t.Helper()
	source, err := w.Open(t.Context(), memory.DefaultAllocator, c)
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() {
		if err := source.Close(); err != nil {
			t.Error(err)
		}
	})
	streams, err := source.Streams(t.Context(), c.Name)
	if err != nil {
		return nil, nil, err
	}
	sc, err := streams[0].Open(t.Context(), r)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = sc.Close() }() // its snapshot holds a lock that the next statement of a test waits for
	var out []string
	for _, p := range sc.Parts() {
		reader, err := p.Open(t.Context())
		if err != nil {
			return nil, nil, err
		}
		err = rows.Each(reader, func(r rows.Row) error {
			var values []string
			for i := range r.Len() {
				v := r.String(i)
				if r.Null(i) {
					v = "NULL"
				}
				values = append(values, v)
			}
			out = append(out, strings.Join(values, "|"))
			return nil
		})
		if err != nil {
			return out, sc, err
		}
	}
	return out, sc, nil
}

func TestEveryTypeArrivesWithoutLoss(t *testing.T) {
	w := world{url: testdb.URL(t)}
	w.exec(t, "CREATE TYPE mood AS ENUM ('sad', 'ok')", "CREATE DOMAIN cents AS numeric(12,2)", "CREATE DOMAIN pence AS cents",
		"CREATE TYPE pair AS (a int, b text)")
	for _, test := range []struct{ typ, value, arrow, want string }{
		{"smallint", "-32768", "int16", "-32768"},
		{"integer", "2147483647", "int32", "2147483647"},
		{"bigint", "-9223372036854775808", "int64", "-9223372036854775808"},
		{"real", "1.5", "float32", "1.5"},
		{"double precision", "NaN", "float64", "NaN"},
		{"boolean", "true", "bool", "true"},
		{"text", "Grüße 'x' \\", "utf8", "Grüße 'x' \\"},
		{"char(4)", "ab", "utf8", "ab  "},
		{"varchar(9)", "", "utf8", ""},
		{"numeric(10,2)", "-12345678.91", "decimal(10, 2)", "-12345678.91"},
		{"numeric(38,37)", "9.9999999999999999999999999999999999999", "decimal(38, 37)", "9.9999999999999999999999999999999999999"},
		{"numeric(38,0)", "-99999999999999999999999999999999999999", "decimal(38, 0)", "-99999999999999999999999999999999999999"},
		{"numeric(4,-2)", "123456", "decimal(6, 0)", "123500"},
		{"numeric(2,5)", "0.00012", "decimal(5, 5)", "0.00012"},
		{"numeric(40,2)", "12345678901234567890123456789012345678.25", "utf8", "12345678901234567890123456789012345678.25"},
		{"numeric", "1.10", "utf8", "1.10"},
		{"numeric", "NaN", "utf8", "NaN"},
		{"date", "0044-03-15 BC", "date32", "-0043-03-15"},
		{"time", "23:59:59.999999", "time64[us]", "23:59:59.999999"},
		{"timestamp", "2026-03-29 02:30:00.123456", "timestamp[us]", "2026-03-29T02:30:00.123456"},
		{"timestamptz", "2026-03-29 02:30:00+02", "timestamp[us, tz=UTC]", "2026-03-29T00:30:00Z"},
		{"interval", "1 mon -2 days 00:00:03", "month_day_nano_interval", `{"months":1,"days":-2,"nanoseconds":3000000000}`},
		{"uuid", "00112233-4455-6677-8899-aabbccddeeff", "utf8", "00112233-4455-6677-8899-aabbccddeeff"},
		{"json", `{"b": 1,  "b": 1.10}`, "utf8", `{"b": 1,  "b": 1.10}`},
		{"jsonb", `{"n": 12345678901234567890.10}`, "utf8", `{"n": 12345678901234567890.10}`},
		{"bytea", `\x00ff`, "binary", "\x00\xff"},
		{"int8[]", "{9007199254740993,NULL}", "utf8", "[9007199254740993,null]"},
		{"numeric[]", "{{1.10},{2}}", "utf8", "[[1.10],[2]]"},
		{"mood", "ok", "utf8", "ok"},
		{"pence", "1.25", "decimal(12, 2)", "1.25"},
		{"pair", "(1,x)", "utf8", "(1,x)"},
		{"timetz", "12:00:00+02", "utf8", "12:00:00+02"},
		{"inet", "10.0.0.1/8", "utf8", "10.0.0.1/8"},
		{"int4range", "[1,5)", "utf8", "[1,5)"},
		{"point", "(1,2)", "utf8", "(1,2)"},
		{"bit(3)", "101", "utf8", "101"},
		{"tsvector", "a b", "utf8", "'a' 'b'"},
		{"oid", "4294967295", "utf8", "4294967295"},
		{"money", "$1.50", "utf8", "$1.50"},
	} {
		w.exec(t, "DROP TABLE IF EXISTS v", "CREATE TABLE v (x "+test.typ+", y int)",
			"INSERT INTO v VALUES ('"+strings.ReplaceAll(test.value, "'", "''")+"', 7), (NULL, 8)")
		got, sc, err := read(t, w, extract.StreamConfig{Name: "v"}, extract.Request{})
		if err != nil {
			t.Errorf("%s: %v", test.typ, err)
			continue
		}
		if typ := sc.Schema().Field(0).Type.String(); typ != test.arrow {
			t.Errorf("%s is %s, want %s", test.typ, typ, test.arrow)
		}
		if diff := cmp.Diff([]string{test.want + "|7", "NULL|8"}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.typ, diff)
		}
	}
}

func TestMistakesAreToldWithTheirRemedy(t *testing.T) {
	w := world{url: testdb.URL(t)}
	w.exec(t, "CREATE TABLE orders (id int PRIMARY KEY, total text, updated_at timestamptz)", "INSERT INTO orders VALUES (1, '', NULL)")
	for _, test := range []struct {
		name string
		c    extract.StreamConfig
		from scan.Cursor
		want []string
	}{
		{"missing table", extract.StreamConfig{Name: "order"}, "", []string{"public.order", "did you mean orders?"}},
		{"missing column", extract.StreamConfig{Name: "orders", Cursor: "updatd_at"}, "", []string{"orders.updatd_at", "updated_at?"}},
		{"null cursor", extract.StreamConfig{Name: "orders", Cursor: "updated_at"}, "", []string{"1 rows have no updated_at", "null_cursor:"}},
		{"old cursor", extract.StreamConfig{Name: "orders", Cursor: "id"}, `{"v":1,"column":"x"}`, []string{`"x"`, "elt run --full-refresh orders"}},
		{"future cursor", extract.StreamConfig{Name: "orders", Cursor: "id"}, `{"v":9,"column":"id"}`, []string{"version 9", "--full-refresh"}},
		{"broken cursor", extract.StreamConfig{Name: "orders", Cursor: "id"}, `{`, []string{"unusable", "--full-refresh"}},
		{"lookback", extract.StreamConfig{Name: "orders", Cursor: "id", Lookback: time.Hour}, "", []string{"lookback", "expected a date or timestamp"}},
		{"where", extract.StreamConfig{Name: "orders", Options: &postgres.StreamOptions{Where: "totl = ''"}}, "", []string{"totl", "orders"}},
	} {
		_, _, err := read(t, w, test.c, extract.Request{From: test.from})
		for _, want := range test.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want an error with %q", test.name, err, want)
			}
		}
	}
}

func TestWindowColumnsLimitAndWhere(t *testing.T) {
	w := world{url: testdb.URL(t)}
	w.exec(t, `CREATE TABLE e (id int, "at" timestamptz, n int)`,
		`INSERT INTO e SELECT i, timestamptz '2026-03-01 00:00Z' + i * interval '1 day', i FROM generate_series(0, 9) i`)
	c := extract.StreamConfig{Name: "e", Time: "at", Cursor: "at", Options: &postgres.StreamOptions{Where: "e.id <> 3 -- not that one"}}
	day := func(n int) time.Time { return time.Date(2026, 3, n, 0, 0, 0, 0, time.UTC) }
	got, sc, err := read(t, w, c, extract.Request{From: "ignored", Window: window.Window{Start: day(3), End: day(6)}, Columns: []string{"id"}})
	if diff := cmp.Diff([]string{"2", "4"}, got); err != nil || diff != "" {
		t.Errorf("window: %v (-want +got):\n%s", err, diff)
	}
	if n, _ := sc.Counted(); n != 2 || sc.Cursor() != "" {
		t.Errorf("window: counted %d, cursor %q, want 2 and none", n, sc.Cursor())
	}
	got, sc, err = read(t, w, c, extract.Request{Limit: 4})
	if n, _ := sc.Counted(); err != nil || n != 4 || len(got) != 4 || sc.Cursor() != "" {
		t.Errorf("limit: %v, counted %d, %d rows, cursor %q", err, n, len(got), sc.Cursor())
	}
}

func TestLookbackReadsAgainAndNeverGoesBack(t *testing.T) {
	w := world{url: testdb.URL(t)}
	w.exec(t, "CREATE TABLE o (id int PRIMARY KEY, u timestamptz)",
		"INSERT INTO o SELECT i, timestamptz '2026-03-01 00:00Z' + i * interval '1 hour' FROM generate_series(0, 9) i")
	c := extract.StreamConfig{Name: "o", Cursor: "u", Lookback: 2 * time.Hour}
	_, sc, err := read(t, w, c, extract.Request{})
	if err != nil {
		t.Fatal(err)
	}
	w.exec(t, "DELETE FROM o WHERE id = 9", "INSERT INTO o VALUES (20, '2026-03-01 08:30Z')")
	got, again, err := read(t, w, c, extract.Request{From: sc.Cursor(), Columns: []string{"id"}})
	if diff := cmp.Diff([]string{"7", "8", "20"}, got); err != nil || diff != "" {
		t.Errorf("lookback: %v (-want +got):\n%s", err, diff)
	}
	if !strings.Contains(string(again.Cursor()), "09:00:00") {
		t.Errorf("the cursor went back: %s", again.Cursor())
	}
}

func TestManyTiesAreReadAgain(t *testing.T) {
	w := world{url: testdb.URL(t)}
	w.exec(t, "CREATE TABLE o (id int PRIMARY KEY, d date)", "INSERT INTO o SELECT i, '2026-03-01' FROM generate_series(1, 1500) i")
	c := extract.StreamConfig{Name: "o", Cursor: "d"}
	_, sc, err := read(t, w, c, extract.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := read(t, w, c, extract.Request{From: sc.Cursor()}); err != nil || len(got) != 1500 {
		t.Errorf("%d rows, %v, want all 1500 again", len(got), err)
	}
	w.exec(t, "ALTER TABLE o DROP CONSTRAINT o_pkey", "INSERT INTO o SELECT i, '2026-03-01' FROM generate_series(1, 9000) i")
	if _, _, err := read(t, w, c, extract.Request{}); err == nil || !strings.Contains(err.Error(), "add key:") {
		t.Errorf("10500 ties without a key: %v", err)
	}
}

func TestSpecialValuesFollowThePolicy(t *testing.T) {
	w := world{url: testdb.URL(t)}
	w.exec(t, "CREATE TABLE s (id int PRIMARY KEY, p numeric(10,2), d date, t timestamptz)",
		"INSERT INTO s VALUES (1, 'NaN', '2026-01-01', now()), (2, 1, '-infinity', now()), (3, 1, '2026-01-01', 'infinity'), (4, 1, '2026-01-01', '2026-01-01Z'), (5, 1, '2026-01-01', '294276-01-01Z')")
	var rejects []string
	got, sc, err := read(t, w, extract.StreamConfig{Name: "s", Cursor: "t"}, extract.Request{Columns: []string{"id", "p", "d", "t"}, Reject: func(r scan.Reject) error {
		rejects = append(rejects, r.Locator+": "+r.Payload)
		return nil
	}})
	if err != nil || len(got) != 1 || len(rejects) != 4 {
		t.Fatalf("%v: rows %v, rejects %v", err, got, rejects)
	}
	if n, _ := sc.Counted(); n != 5 {
		t.Errorf("counted %d, want 5", n)
	}
	for i, want := range []string{`"NaN"`, `"-infinity"`, `"infinity"`} {
		if !strings.HasPrefix(rejects[i], fmt.Sprintf("s id=%d: ", i+1)) || !strings.Contains(rejects[i], want) {
			t.Errorf("reject %d is %s, want its key and %s", i+1, rejects[i], want)
		}
	}
	if strings.Contains(string(sc.Cursor()), "infinity") {
		t.Errorf("the cursor is %s", sc.Cursor())
	}
	w.exec(t, "DELETE FROM s WHERE id = 5")
	got, _, err = read(t, w, extract.StreamConfig{Name: "s", Options: &postgres.StreamOptions{NaN: "null", Infinity: "null"}}, extract.Request{Columns: []string{"id", "p", "d"}})
	if err != nil || len(got) != 4 || got[0] != "1|NULL|2026-01-01" || got[1] != "2|1.00|NULL" {
		t.Errorf("nan: null, infinity: null: %v, %v", got, err)
	}
}
