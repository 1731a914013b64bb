package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"elt/activate"
)

// idOf pushes changes of a mirror and returns what the outcomes say that the rows
// are there, a line each.
func idOf(t *testing.T, d activate.Destination, changes ...activate.Change) (ids string) {
	t.Helper()
	outs, err := d.Push(t.Context(), activate.Batch{Changes: changes})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outs {
		ids += fmt.Sprintf("%s %s%s\n", o.Status, o.DestID, o.Code)
	}
	return ids
}

// Keys that are one in the type of the column have one id, by which a mirror knows
// that it must not delete the row by the key that is gone.
func TestKeysThatAreOneForTheColumnHaveOneID(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`)
	for _, test := range []struct{ typ, one, same, id, other, otherID string }{
		{`numeric`, `1`, `"1.0"`, "1", `2.5`, "2.5"},
		{`numeric(6,2)`, `1`, `"1.0"`, "1.00", `2`, "2.00"},
		{`char(2)`, `"a"`, `"a "`, "a", `"b"`, "b"},
		{`text COLLATE caseless`, `"A"`, `"a"`, "A", `"b"`, "b"},
		{`timestamptz`, `"2026-03-29T00:00:00Z"`, `"2026-03-29T02:00:00+02:00"`, "2026-03-29 00:00:00+00", `"2026-03-30"`, "2026-03-30 00:00:00+00"},
		{`float8`, `1`, `1.0`, "1", `2`, "2"},
		{`int[]`, `[1]`, `["1"]`, "{1}", `[2]`, "{2}"},
	} {
		for _, columns := range []string{"id", "id, part"} {
			for _, bad := range []bool{false, true} { // one that is refused, so that all are tried one by one
				w.exec(t, `DROP TABLE IF EXISTS things`, `CREATE TABLE things (id `+test.typ+`, part int, v int)`, `CREATE UNIQUE INDEX ON things (`+columns+`)`)
				c := activate.Config{Object: "things", Key: strings.Split(columns, ", "), Mode: activate.ModeMirror}
				d := w.mustOpen(t, c)
				wanted, more := "acked "+test.id+"\nacked "+test.otherID+"\n", ``
				if len(c.Key) == 2 {
					wanted, more = "acked ("+quotedID(test.typ, test.id)+",7)\nacked ("+quotedID(test.typ, test.otherID)+",7)\n", `,"part":7`
				}
				row := func(id, v string) activate.Change {
					return activate.Change{OpID: id + v, Action: activate.Upsert, Key: []byte(`{"id":` + id + more + `}`), Fields: []byte(`{"id":` + id + more + `,"v":` + v + `}`)}
				}
				first, second := []activate.Change{row(test.one, `1`), row(test.other, `1`)}, []activate.Change{row(test.same, `2`), row(test.other, `2`)}
				if bad {
					first, second, wanted = append(first, row(test.other, `"none"`)), append(second, row(test.other, `"none"`)), wanted+"rejected 22P02\n"
				}
				want(t, test.typ+" by "+columns, idOf(t, d, first...)+idOf(t, d, second...), wanted+wanted)
				want(t, test.typ+" by "+columns, w.read(t, `SELECT count(*), sum(v) FROM things`), "2 4")
			}
		}
	}
}

// quotedID is a value as it stands in the text of a row.
func quotedID(typ, id string) string {
	if typ == "char(2)" {
		id += " "
	}
	if strings.Contains(id, " ") {
		return `"` + id + `"`
	}
	return id
}

// Where a type has one spelling for each key, a mirror takes no other.
func TestAMirrorTakesTheKeysAsTheColumnSpellsThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, test := range []struct {
		typ      string
		ok, none []string
	}{
		{"bigint", []string{`0`, `-12`, `"345"`}, []string{`"007"`, `"+7"`, `" 8"`, `9.0`, `"-0"`}},
		{"uuid", []string{`"0190163d-8694-739b-aea5-966c26f8ad91"`}, []string{`"0190163D-8694-739b-aea5-966c26f8ad92"`, `"{0190163d-8694-739b-aea5-966c26f8ad93}"`}},
		{"date", []string{`"2026-03-29"`}, []string{`"2026-03-28T00:00:00"`, `"20260327"`}},
		{"boolean", []string{`true`, `"false"`}, []string{`"yes"`}},
		{"text", []string{`"a"`, `"A"`, `"a "`, `1`}, nil},
	} {
		w.exec(t, `DROP TABLE IF EXISTS things`, `CREATE TABLE things (id `+test.typ+` PRIMARY KEY, v int)`)
		for mode, status := range map[string]string{activate.ModeMirror: "rejected inexact\n", activate.ModeUpsert: "acked \n"} {
			d := w.mustOpen(t, activate.Config{Object: "things", Key: []string{"id"}, Mode: mode})
			for _, id := range test.ok {
				want(t, mode+" by "+test.typ+" "+id, idOf(t, d, spelled(id)), "acked \n")
			}
			for _, id := range test.none {
				want(t, mode+" by "+test.typ+" "+id, idOf(t, d, spelled(id)), status)
			}
		}
	}
}

func spelled(id string) activate.Change {
	return activate.Change{OpID: id, Action: activate.Upsert, Key: []byte(`{"id":` + id + `}`), Fields: []byte(`{"id":` + id + `,"v":1}`)}
}
