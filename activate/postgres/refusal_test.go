package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"elt/activate"
	"elt/internal/retry"
)

// as is the same database for a role that owns nothing in it.
func (w world) as(t testing.TB, name string) (role string, other world) {
	t.Helper()
	role = fmt.Sprint(name, os.Getpid())
	w.exec(t, `CREATE ROLE `+role+` LOGIN PASSWORD 'other-secret'`)
	t.Cleanup(func() { w.exec(t, `DROP OWNED BY `+role, `DROP ROLE `+role) })
	return role, world{strings.Replace(w.url, "elt:elt-test@", role+":other-secret@", 1)}
}

const evidence = `CREATE TABLE elt_pushed (id uuid PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())`

// mustBar wants a push to end the sync with a code, and returns what to do about it.
func mustBar(t testing.TB, d activate.Destination, code string, changes ...activate.Change) (hint string) {
	t.Helper()
	outs, err := d.Push(context.Background(), activate.Batch{ID: "b", Object: "things", Changes: changes})
	var barred *activate.BarredError
	if !errors.As(err, &barred) || barred.Code != code {
		t.Fatalf("%+v, %v; want one that is barred with %s", outs, err, code)
	}
	return barred.Hint
}

func TestARowThatAPolicyRefusesHoldsNoOtherBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, evidence, `CREATE TABLE things (id int PRIMARY KEY, v int)`, `ALTER TABLE things ENABLE ROW LEVEL SECURITY`,
		`CREATE POLICY seen ON things USING (true) WITH CHECK (v < 100)`)
	role, other := w.as(t, "tenant")
	w.exec(t, `GRANT SELECT, INSERT, UPDATE, DELETE ON things, elt_pushed TO `+role)
	const refused = `rejected 42501 new row violates row-level security policy for table "things"`
	for _, a := range []activate.Action{activate.Upsert, activate.Create, activate.Append, activate.Update} {
		w.exec(t, `TRUNCATE things`)
		accepted := "acked new"
		if a == activate.Update {
			w.exec(t, `INSERT INTO things SELECT generate_series(1, 4)`)
			accepted = "acked"
		}
		d := other.mustOpen(t, things)
		want(t, string(a), push(t, d, change(a, 1, `,"v":1`), change(a, 2, `,"v":100`), change(a, 3, `,"v":3`)), accepted+"\n"+refused+"\n"+accepted)
		want(t, "nothing but bad rows", push(t, d, change(a, 4, `,"v":101`)), refused)
		want(t, "table", w.read(t, `SELECT id, v FROM things WHERE v > 0 ORDER BY id`), "1 1\n3 3")
	}
}

// What a trigger raises is about the row, whatever the code, also one of those that
// the server has for what no row can do better.
func TestWhatTriggersRaiseIsAboutTheRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `CREATE TABLE things (id int PRIMARY KEY, v text)`,
		`CREATE FUNCTION check_thing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			ASSERT NEW.v <> 'P0004', 'asserted';
			IF NEW.v <> 'good' THEN RAISE EXCEPTION '% is not welcome', NEW.v USING ERRCODE = NEW.v; END IF;
			RETURN NEW; END $$`,
		`CREATE TRIGGER check_thing BEFORE INSERT OR UPDATE ON things FOR EACH ROW EXECUTE FUNCTION check_thing()`)
	for _, code := range []string{"XY123", "55000", "42501", "0A000", "38001", "P0001", "P0004"} {
		d := w.mustOpen(t, things)
		refused := "rejected " + code + " " + code + " is not welcome"
		if code == "P0004" {
			refused = "rejected P0004 asserted"
		}
		bad := fmt.Sprintf(`,"v":%q`, code)
		want(t, code+" alone", push(t, d, change(activate.Upsert, 2, bad)), refused)
		want(t, code, push(t, d, change(activate.Upsert, 1, `,"v":"good"`), change(activate.Upsert, 2, bad)), "acked new\n"+refused)
		w.exec(t, `DELETE FROM things`)
	}
	d := w.mustOpen(t, things)
	_, err := d.Push(context.Background(), activate.Batch{Changes: []activate.Change{change(activate.Upsert, 1, `,"v":"40001"`)}})
	if class, _ := retry.Of(err); class != retry.Transient {
		t.Errorf("%v, want a transient error", err)
	}
}

func TestAnErrorOfSomeRowsAloneIsAboutThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `CREATE TABLE things (id int PRIMARY KEY, v text)`,
		`CREATE FUNCTION check_thing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF NEW.v = 'bad' THEN PERFORM 1 FROM nowhere; END IF; RETURN NEW; END $$`,
		`CREATE TRIGGER check_thing BEFORE INSERT OR UPDATE ON things FOR EACH ROW EXECUTE FUNCTION check_thing()`)
	d := w.mustOpen(t, things)
	want(t, "outcomes", push(t, d, change(activate.Upsert, 1, `,"v":"good"`), change(activate.Upsert, 2, `,"v":"bad"`)),
		"acked new\nrejected 42P01 relation \"nowhere\" does not exist")
	mustBar(t, d, "42P01", change(activate.Upsert, 3, `,"v":"bad"`), change(activate.Upsert, 4, `,"v":"bad"`))
	want(t, "table", w.read(t, `SELECT id FROM things`), "1")
}

func TestARightThatIsRevokedEndsTheSync(t *testing.T) {
	t.Parallel()
	w := newWorld(t, evidence, `CREATE TABLE things (id int PRIMARY KEY, v int)`)
	role, other := w.as(t, "revoked")
	w.exec(t, `GRANT SELECT, INSERT, UPDATE, DELETE ON things, elt_pushed TO `+role)
	d := other.mustOpen(t, things)
	want(t, "before", push(t, d, change(activate.Upsert, 1, `,"v":1`)), "acked new")
	w.exec(t, `REVOKE UPDATE ON things FROM `+role)
	var many []activate.Change
	for i := range 600 {
		many = append(many, change(activate.Upsert, i, `,"v":1`))
	}
	if hint := mustBar(t, d, "42501", many...); !strings.Contains(hint, "GRANT") {
		t.Errorf("the hint is %q, want one with GRANT", hint)
	}
	w.exec(t, `GRANT UPDATE ON things TO `+role, `ALTER TABLE things RENAME TO gone`)
	mustBar(t, d, "42P01", many...)
}
