package postgres_test

import (
	"strings"
	"testing"

	"elt/extract"
	"elt/extract/postgres"
	"elt/internal/scan"
	"elt/internal/testdb"
)

// TestValuesThatNothingComesAfterAreNoCursor: behind NaN or infinity a later run
// would find nothing ever again, so that such rows follow the policy of those
// without a cursor.
func TestValuesThatNothingComesAfterAreNoCursor(t *testing.T) {
	w := world{url: testdb.URL(t)}
	for _, test := range []struct{ typ, first, none, later, option string }{
		{"double precision", "1", "NaN", "3", ""},
		{"real", "1", "infinity", "3", ""},
		{"numeric", "1", "NaN", "3", ""},
		{"numeric", "1", "Infinity", "3", ""},
		{"double precision", "1", "-infinity", "3", ""},
		{"date", "2026-03-01", "infinity", "2026-03-03", "null"},
		{"timestamptz", "2026-03-01Z", "-infinity", "2026-03-03Z", "null"},
	} {
		name := test.none + " in " + test.typ
		c := extract.StreamConfig{Name: "e", Cursor: "u", Options: &postgres.StreamOptions{Infinity: test.option}}
		ids := func(policy string, from scan.Cursor) (string, scan.Cursor) {
			t.Helper()
			c.NullCursor = policy
			rows, from := next(t, w, c, from)
			for i := range rows {
				rows[i], _, _ = strings.Cut(rows[i], "|")
			}
			return strings.Join(rows, " "), from
		}
		for policy, want := range map[string][2]string{"include": {"1 2", "2 3"}, "exclude": {"1", "3"}} {
			w.exec(t, "DROP TABLE IF EXISTS e", "CREATE TABLE e (id int PRIMARY KEY, u "+test.typ+")",
				"INSERT INTO e VALUES (1, '"+test.first+"'), (2, '"+test.none+"')")
			c.NullCursor = ""
			if _, _, err := read(t, w, c, extract.Request{}); err == nil || !strings.Contains(err.Error(), "1 rows have no u") ||
				!strings.Contains(err.Error(), "null_cursor: exclude") {
				t.Errorf("%s: %v, want the count and the choices", name, err)
			}
			first, from := ids(policy, "")
			if strings.Contains(strings.ToLower(string(from)), strings.ToLower(test.none)) {
				t.Errorf("%s: the cursor is %s", name, from)
			}
			w.exec(t, "INSERT INTO e VALUES (3, '"+test.later+"')")
			second, _ := ids(policy, from)
			if strings.HasPrefix(test.none, "-") && policy == "include" {
				want[1] = strings.TrimPrefix(want[1], "2 ") // it lies behind every cursor
			}
			if first != want[0] || second != want[1] {
				t.Errorf("%s, null_cursor: %s: read %q, then %q, want %q, then %q", name, policy, first, second, want[0], want[1])
			}
		}
	}
}
