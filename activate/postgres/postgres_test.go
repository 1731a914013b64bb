package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/activate/postgres"
	"elt/internal/pgserver"
	"elt/internal/retry"
	"elt/internal/secret"
	"elt/internal/testdb"
)

// TestMain sets how many histories are tried in each test; -rapid.checks=N tries more.
func TestMain(m *testing.M) { os.Exit(activatetest.Main(m, 33)) }

// world is a database to push to.
type world struct{ url string }

func newWorld(t testing.TB, statements ...string) world {
	t.Helper()
	w := world{testdb.URL(t)}
	w.exec(t, statements...)
	return w
}

func (w world) exec(t testing.TB, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), w.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, q := range statements {
		if _, err := conn.Exec(context.Background(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// read is what a query finds, a row a line.
func (w world) read(t testing.TB, q string) string {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), w.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	rows, err := conn.Query(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		values, err := row.Values()
		return strings.Trim(fmt.Sprint(values), "[]"), err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

func (w world) open(c activate.Config) (activate.Destination, error) {
	c.Connection = &pgserver.Connection{URL: secret.New(w.url)}
	conn, err := postgres.Kind().Open(context.Background(), c)
	return conn.Destination, err
}

func (w world) mustOpen(t testing.TB, c activate.Config) activate.Destination {
	t.Helper()
	d, err := w.open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

var things = activate.Config{Object: "things", Key: []string{"id"}}

// narrowed supports fewer modes.
type narrowed struct {
	activate.Destination
	modes []string
}

func (n narrowed) Limits() activate.Limits {
	l := n.Destination.Limits()
	l.Modes = n.modes
	return l
}

func TestContract(t *testing.T) {
	for name, test := range map[string]struct {
		ddl   string
		modes []string
	}{
		"table":       {`CREATE TABLE things (id int PRIMARY KEY, v numeric)`, []string{activate.ModeUpsert}},
		"insert":      {`CREATE TABLE things (id int PRIMARY KEY, v numeric)`, []string{activate.ModeInsert}},
		"append":      {`CREATE TABLE things (id int, v numeric)`, []string{activate.ModeAppend}},
		"partitioned": {`CREATE TABLE things (id int PRIMARY KEY, v numeric) PARTITION BY HASH (id); CREATE TABLE p PARTITION OF things FOR VALUES WITH (MODULUS 1, REMAINDER 0)`, []string{activate.ModeUpsert, activate.ModeInsert}},
	} {
		t.Run(name, func(t *testing.T) {
			activatetest.Run(t, func(t *testing.T) activatetest.Harness {
				w := newWorld(t, test.ddl)
				return activatetest.Harness{
					Open: func(t *testing.T) activate.Destination {
						d, err := w.open(things)
						if err != nil {
							t.Fatal(err)
						}
						return narrowed{d, test.modes}
					},
					Rows: func(t *testing.T) (rows []activatetest.Row) {
						text := w.read(t, `SELECT '{"id":' || id || '}' || ' ' || '{"id":' || id || ',"v":' || v || '}' FROM things ORDER BY id, v`)
						for line := range strings.Lines(text) {
							key, fields, _ := strings.Cut(strings.TrimSpace(line), " ")
							rows = append(rows, activatetest.Row{Key: key, Fields: fields})
						}
						return rows
					},
				}
			})
		})
	}
}

// change is one of row id with fields after it.
func change(a activate.Action, id any, fields string) activate.Change {
	key, _ := json.Marshal(id)
	c := activate.Change{
		OpID: fmt.Sprintf("%s %s %s", a, key, fields), Action: a,
		Key: json.RawMessage(fmt.Sprintf(`{"id":%s}`, key)),
	}
	if a != activate.Delete {
		c.Fields = json.RawMessage(fmt.Sprintf(`{"id":%s%s}`, key, fields))
	}
	return c
}

// push pushes and tells what became of each change, a line each.
func push(t testing.TB, d activate.Destination, changes ...activate.Change) string {
	t.Helper()
	outs, err := d.Push(context.Background(), activate.Batch{ID: "b", Object: "things", Changes: changes})
	if err != nil {
		t.Fatal(err)
	}
	if len(outs) != len(changes) {
		t.Fatalf("%d outcomes for %d changes", len(outs), len(changes))
	}
	var lines []string
	for i, o := range outs {
		if o.OpID != changes[i].OpID {
			t.Errorf("outcome %d is of %s, want %s", i, o.OpID, changes[i].OpID)
		}
		line := string(o.Status)
		if o.Created {
			line += " new"
		}
		if o.Code != "" {
			line += " " + o.Code + " " + o.Message
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func want(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n%s\nwant:\n%s", what, got, want)
	}
}

func TestEachModeDoesWhatItSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `CREATE TABLE things (id int PRIMARY KEY, v text, theirs text DEFAULT 'theirs')`, `INSERT INTO things VALUES (1, 'old', 'kept')`)
	d := w.mustOpen(t, things)
	want(t, "upsert", push(t, d, change(activate.Upsert, 1, `,"v":"a"`), change(activate.Upsert, 2, `,"v":null`)), "acked\nacked new")
	want(t, "update", push(t, d, change(activate.Update, 2, `,"v":"b"`), change(activate.Update, 3, `,"v":"b"`)),
		"acked\nrejected not_found there is no row with this key")
	want(t, "insert", push(t, d, change(activate.Create, 2, `,"v":"c"`), change(activate.Create, 4, `,"v":"c"`)),
		"rejected exists a row with this key is there already\nacked new")
	want(t, "insert again", push(t, d, change(activate.Create, 4, `,"v":"c"`), change(activate.Create, 5, `,"v":"c"`)), "acked new\nacked new")
	want(t, "what was refused leaves no evidence", push(t, d, change(activate.Create, 2, `,"v":"c"`)), "rejected exists a row with this key is there already")
	want(t, "mixed", push(t, d, change(activate.Upsert, 6, `,"v":"d"`), change(activate.Delete, 5, ``), change(activate.Delete, 99, ``)), "acked new\nacked\nacked")
	want(t, "table", w.read(t, `SELECT id, v, theirs FROM things ORDER BY id`), "1 a kept\n2 b theirs\n4 c theirs\n6 d theirs")
}

func TestValuesKeepWhatTheyAreInTheTypeOfTheColumn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `CREATE DOMAIN word AS text CHECK (VALUE <> '')`,
		`CREATE TYPE mood AS ENUM ('glad', 'sad')`,
		`CREATE TABLE things (id bigint PRIMARY KEY, n numeric, i int, f float8, b boolean, d date, ts timestamp, tz timestamptz, j jsonb, js json,
			raw bytea, a int[], aa text[][], u uuid, w word, m mood, t text, c char(3), iv interval)`)
	columns := `id, n, i, f, b, d, ts, tz, j, js::text, encode(raw, 'hex'), a::text, aa::text, u, w, m::text, t, c, iv::text`
	fields := `,"n":12345678901234567890.123456789012345678,"i":12.0,"f":1.5e-300,"b":true,"d":"2026-03-29","ts":"2026-03-29T02:30:00.000001",
		"tz":"2026-03-29T02:30:00.123456Z","j":{"a":[1.10,"x"]},"js":"\u00e4 \"q\"","raw":"AAH/","a":[1,null,3],"aa":[["a,\"b","c\\d"],["","NULL"]],
		"u":"0190163d-8694-739b-aea5-966c26f8ad91","w":"ja","m":"glad","t":"tab\tline\nback\\slash \\N \u20ac","c":"ab","iv":"1 day 02:03:04.5"`
	wanted := w.read(t, `SELECT 9007199254740993, '12345678901234567890.123456789012345678'::numeric, 12, '1.5e-300'::float8, true, '2026-03-29'::date,
		'2026-03-29 02:30:00.000001'::timestamp, '2026-03-29 02:30:00.123456Z'::timestamptz, '{"a":[1.10,"x"]}'::jsonb, '"\u00e4 \"q\""', '0001ff', '{1,NULL,3}',
		'{{"a,\"b","c\\d"},{"","NULL"}}', '0190163d-8694-739b-aea5-966c26f8ad91'::uuid, 'ja', 'glad', E'tab\tline\nback\\slash \\N €', 'ab ', '1 day 02:03:04.5'`)
	d := w.mustOpen(t, things) // empty at first, so that the first row is copied
	want(t, "copied", push(t, d, change(activate.Upsert, 9007199254740993, fields)), "acked new")
	want(t, "table", w.read(t, `SELECT `+columns+` FROM things`), wanted)
	w.exec(t, `DELETE FROM things`, `INSERT INTO things (id) VALUES (1)`)
	d = w.mustOpen(t, things)
	want(t, "staged", push(t, d, change(activate.Upsert, 9007199254740993, fields)), "acked new")
	want(t, "table", w.read(t, `SELECT `+columns+` FROM things WHERE id > 1`), wanted)
	w.exec(t, `DELETE FROM things`)
	d = w.mustOpen(t, things)
	want(t, "one by one", push(t, d, change(activate.Upsert, 9007199254740993, fields), change(activate.Upsert, 2, `,"m":"angry"`)),
		"acked new\nrejected 22P02 column m: invalid input value for enum mood: \"angry\"")
	want(t, "table", w.read(t, `SELECT `+columns+` FROM things`), wanted)
}

func TestARowThatIsRefusedHoldsNoOtherBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `CREATE TABLE towns (name text PRIMARY KEY)`, `INSERT INTO towns VALUES ('Ulm')`,
		`CREATE TABLE things (id int PRIMARY KEY, v varchar(5), n int NOT NULL DEFAULT 0 CHECK (n < 100), mail text UNIQUE,
			town text REFERENCES towns DEFERRABLE INITIALLY DEFERRED)`)
	bad := map[int]struct{ fields, told string }{
		3:    {`,"v":"too long","n":1,"mail":"3","town":"Ulm"`, "22001 column v: value too long for type character varying(5)"},
		5:    {`,"v":"x","n":100,"mail":"5","town":"Ulm"`, `23514 new row for relation "things" violates check constraint "things_n_check"`},
		7:    {`,"v":"x","n":null,"mail":"7","town":"Ulm"`, `23502 column n: null value in column "n" of relation "things" violates not-null constraint`},
		11:   {`,"v":"x","n":1,"mail":"2","town":"Ulm"`, `23505 duplicate key value violates unique constraint "things_mail_key"`},
		13:   {`,"v":"x","n":1,"mail":"13","town":"Rom"`, `23503 insert or update on table "things" violates foreign key constraint "things_town_fkey"`},
		17:   {`,"v":"x","n":99999999999,"mail":"17","town":"Ulm"`, `22003 column n: value "99999999999" is out of range for type integer`},
		19:   {`,"v":"a\u0000b","n":1,"mail":"19","town":"Ulm"`, "invalid_value a text has the character NUL, which PostgreSQL cannot store"},
		1200: {`,"v":"x","n":"many","mail":"1200","town":"Ulm"`, `22P02 column n: invalid input syntax for type integer: "many"`},
	}
	const rows = 1300
	for _, a := range []activate.Action{activate.Upsert, activate.Create, activate.Append, activate.Update} {
		w.exec(t, `TRUNCATE things`)
		accepted := "acked new"
		if a == activate.Update {
			w.exec(t, fmt.Sprintf(`INSERT INTO things (id) SELECT generate_series(1, %d)`, rows))
			accepted = "acked"
		}
		d := w.mustOpen(t, things)
		var changes []activate.Change
		var told []string
		for i := range rows {
			id := i + 1
			if b, ok := bad[id]; ok {
				changes, told = append(changes, change(a, id, b.fields)), append(told, "rejected "+b.told)
				continue
			}
			changes, told = append(changes, change(a, id, fmt.Sprintf(`,"v":"x","n":1,"mail":"%d","town":"Ulm"`, id))), append(told, accepted)
		}
		got := strings.Split(push(t, d, changes...), "\n")
		for i := range told {
			if got[i] != told[i] {
				t.Errorf("%s of row %d: %s, want %s", a, i+1, got[i], told[i])
			}
		}
		want(t, string(a)+" leaves", w.read(t, `SELECT count(*) FROM things WHERE v = 'x'`), fmt.Sprint(rows-len(bad)))
		want(t, "evidence", w.read(t, `SELECT count(*) > 1 FROM elt_pushed`), fmt.Sprint(a == activate.Create || a == activate.Append))
		w.exec(t, `TRUNCATE elt_pushed`)
	}
}

// What was done once to a table that has been dropped since was not done to the one
// that was made in its place.
func TestEvidenceIsOfOneTable(t *testing.T) {
	t.Parallel()
	const made = `CREATE TABLE things (id int PRIMARY KEY, v int)`
	for _, a := range []activate.Action{activate.Create, activate.Append} {
		w := newWorld(t, made)
		for range 2 {
			want(t, string(a), push(t, w.mustOpen(t, things), change(a, 1, `,"v":1`)), "acked new")
		}
		want(t, "table", w.read(t, `SELECT count(*) FROM things`), "1")
		w.exec(t, `DROP TABLE things`, made)
		want(t, string(a)+" after all", push(t, w.mustOpen(t, things), change(a, 1, `,"v":1`)), "acked new")
		want(t, "the new table", w.read(t, `SELECT count(*) FROM things`), "1")
	}
}

func TestKeysThatAreOneInTheTypeOfTheColumnAreBothRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `CREATE TABLE things (id numeric PRIMARY KEY, v int)`)
	d := w.mustOpen(t, things)
	const both = "rejected duplicate_key another row has the same key in the type of the table's column"
	got := push(t, d, change(activate.Upsert, "1.0", `,"v":1`), change(activate.Upsert, "2", `,"v":2`), change(activate.Upsert, "1.00", `,"v":3`))
	want(t, "outcomes", got, both+"\nacked new\n"+both)
	want(t, "table", w.read(t, `SELECT v FROM things`), "2")
}

func TestTriggersAndPoliciesThatKeepRowsOutAreNoSuccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `CREATE TABLE things (id int PRIMARY KEY, v int)`,
		`CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF TG_OP = 'DELETE' THEN IF OLD.v = 13 THEN RETURN NULL; END IF; RETURN OLD; END IF;
			IF NEW.v = 7 THEN RETURN NULL; END IF;
			IF NEW.v = 8 THEN RAISE EXCEPTION 'eight is not welcome'; END IF;
			NEW.v := NEW.v + 1; RETURN NEW; END $$`,
		`CREATE TRIGGER skip BEFORE INSERT OR UPDATE OR DELETE ON things FOR EACH ROW EXECUTE FUNCTION skip()`)
	for _, a := range []activate.Action{activate.Upsert, activate.Create, activate.Append} {
		w.exec(t, `DELETE FROM things WHERE v <> 13`)
		d := w.mustOpen(t, things)
		want(t, string(a), push(t, d, change(a, 1, `,"v":1`), change(a, 2, `,"v":7`), change(a, 3, `,"v":8`)),
			"acked new\nrejected not_written a trigger or policy of the table kept a row out\nrejected P0001 eight is not welcome")
	}
	d := w.mustOpen(t, things)
	push(t, d, change(activate.Upsert, 5, `,"v":12`))
	want(t, "delete", push(t, d, change(activate.Delete, 1, ``), change(activate.Delete, 5, ``)), "acked\nrejected not_deleted a trigger or policy of the table kept the row")
	want(t, "table", w.read(t, `SELECT id, v FROM things`), "5 13")
}

func TestWhatCannotWorkAtAllIsToldAtOpenWithWhatToType(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `CREATE TABLE things (id int PRIMARY KEY, v int, g int GENERATED ALWAYS AS (v + 1) STORED)`,
		`CREATE TABLE loose (id int, v int)`, `CREATE VIEW seen AS SELECT * FROM things`,
		`CREATE ROLE weak`+fmt.Sprint(os.Getpid())+` LOGIN PASSWORD 'weak-secret'`)
	t.Cleanup(func() {
		w.exec(t, `DROP OWNED BY weak`+fmt.Sprint(os.Getpid()), `DROP ROLE weak`+fmt.Sprint(os.Getpid()))
	})
	weak := world{strings.Replace(w.url, "elt:elt-test@", "weak"+fmt.Sprint(os.Getpid())+":weak-secret@", 1)}
	role := `"weak` + fmt.Sprint(os.Getpid()) + `"`
	config := func(object, mode string, fields ...string) activate.Config {
		return activate.Config{Object: object, Key: []string{"id"}, Mode: mode, Fields: fields}
	}
	for _, test := range []struct {
		name string
		w    world
		c    activate.Config
		code string
		want []string
	}{
		{"no table", w, config("thing", "upsert", "v"), "no_table", []string{"there is no table public.thing"}},
		{"view", w, config("seen", "upsert", "v"), "no_table", []string{"public.seen is no table"}},
		{"no column", w, config("things", "upsert", "v", "w"), "table", []string{"table public.things has no column w; it has id, v, g", `ALTER TABLE "public"."things" ADD COLUMN "w"`}},
		{"generated", w, config("things", "upsert", "g"), "table", []string{"column g of public.things is generated"}},
		{"no unique key", w, config("public.loose", "upsert", "v"), "table", []string{"no unique index on id", `CREATE UNIQUE INDEX ON "public"."loose" ("id")`}},
		{"no evidence", weak, config("loose", "append", "v"), "table", []string{"may not INSERT", "GRANT INSERT ON \"public\".\"loose\" TO " + role}},
		{"not granted", weak, config("things", "mirror", "v"), "table", []string{"may not SELECT, INSERT, UPDATE"}},
	} {
		d, err := test.w.open(test.c)
		if err == nil {
			t.Errorf("%s: no error", test.name)
			_ = d.Close()
			continue
		}
		var barred *activate.BarredError
		if !errors.As(err, &barred) || barred.Code != test.code {
			t.Errorf("%s: %v, want one that is barred with code %s", test.name, err, test.code)
			continue
		}
		text := barred.Error() + " | " + barred.Hint
		for _, part := range test.want {
			if !strings.Contains(text, part) {
				t.Errorf("%s: %s, want it with %q", test.name, text, part)
			}
		}
	}
	w.exec(t, `GRANT INSERT ON loose TO `+role)
	_, err := weak.open(config("loose", "append", "v"))
	var barred *activate.BarredError
	if !errors.As(err, &barred) || !strings.Contains(barred.Hint, `CREATE TABLE IF NOT EXISTS "public"."elt_pushed" (id uuid PRIMARY KEY, at timestamptz NOT NULL DEFAULT now()); GRANT SELECT, INSERT, DELETE ON "public"."elt_pushed" TO `+role) {
		t.Fatalf("%v, want the statements that make the table of the evidence", err)
	}
	for _, q := range strings.Split(strings.TrimPrefix(barred.Hint, "as the owner of the schema: "), "; ") {
		w.exec(t, q)
	}
	d := weak.mustOpen(t, config("loose", "append", "id", "v"))
	want(t, "append with no right but INSERT", push(t, d, change(activate.Append, 1, `,"v":1`)), "acked new")
}

func TestConnectionsThatCannotBeAreToldApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `CREATE TABLE things (id int PRIMARY KEY)`)
	for name, test := range map[string]struct{ url, code, hint string }{
		"revoked password": {strings.Replace(w.url, "elt-test", "s3cr3t", 1), "28P01", "the password of user"},
		"no database":      {strings.Replace(w.url, "/t", "/s", 1), "3D000", "a database that exists"},
		"no host":          {"postgres://u:s3cr3t@nowhere.invalid/db?connect_timeout=5", "", "name"},
		"no server":        {"postgres://u:s3cr3t@127.0.0.1:1/db?connect_timeout=2", "transient", ""},
	} {
		_, err := world{test.url}.open(things)
		var barred *activate.BarredError
		class, _ := retry.Of(err)
		switch {
		case err == nil:
			t.Errorf("%s: no error", name)
		case strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "s3cr3t"):
			t.Errorf("%s: the error holds the password: %v", name, err)
		case test.code == "transient" || test.code == "" && class == retry.Transient: // a name server that does not answer
			if class != retry.Transient {
				t.Errorf("%s: %v, want a transient error", name, err)
			}
		case !errors.As(err, &barred), test.code != "" && barred.Code != test.code, !strings.Contains(barred.Hint, test.hint):
			t.Errorf("%s: %v, want one that is barred with %s and a hint with %q", name, err, test.code, test.hint)
		}
	}
}
