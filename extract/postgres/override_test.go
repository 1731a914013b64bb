package postgres_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"elt/extract"
	"elt/internal/scan"
	"elt/internal/testdb"

	"elt/extract/postgres"
)

func TestOverridesNeverChangeANumberSilently(t *testing.T) {
	w := world{url: testdb.URL(t)}
	for _, test := range []struct {
		from, to, value string
		want            string // what arrives; "": the row is rejected; "error": the read fails
	}{
		{"numeric", "DECIMAL(10, 2)", "1.50", "1.50"},
		{"numeric", "DECIMAL(10, 2)", "1.5000", "1.50"},
		{"numeric", "DECIMAL(10,2)", "1.005", ""},
		{"numeric", "DECIMAL(10,2)", "-0.001", ""},
		{"numeric(12,4)", "DECIMAL(10,2)", "12345678.9900", "12345678.99"},
		{"numeric(12,4)", "DECIMAL(10,2)", "12345678.9901", ""},
		{"numeric", "DECIMAL(4,2)", "100", ""},
		{"numeric", "DECIMAL(38,0)", "99999999999999999999999999999999999999", "99999999999999999999999999999999999999"},
		{"numeric", "DECIMAL(38,0)", "100000000000000000000000000000000000000", ""},
		{"double precision", "DECIMAL(10,2)", "0.25", "0.25"},
		{"double precision", "DECIMAL(10,2)", "0.125", ""},
		{"text", "DECIMAL(10,2)", "0.125", ""},
		{"text", "DECIMAL(10,2)", "0,125", "error"},
		{"numeric", "DECIMAL(10,2)", "NaN", ""},
		{"numeric", "BIGINT", "2.00", "2"},
		{"numeric", "BIGINT", "2.50", "error"},
		{"numeric", "INTEGER", "2147483648", "error"},
		{"real", "SMALLINT", "-3", "-3"},
		{"double precision", "INTEGER", "-3.25", "error"},
		{"double precision", "INTEGER", "NaN", "error"},
		{"text", "INTEGER", "7", "7"},
		{"text", "INTEGER", "7.0", "error"},
		{"bigint", "INTEGER", "4294967296", "error"},
	} {
		w.exec(t, "DROP TABLE IF EXISTS v", "CREATE TABLE v (x "+test.from+", id int PRIMARY KEY)", "INSERT INTO v VALUES ('"+test.value+"', 7), (NULL, 8)")
		var rejects []scan.Reject
		got, _, err := read(t, w, extract.StreamConfig{Name: "v", Columns: map[string]string{"x": test.to}}, extract.Request{Reject: func(r scan.Reject) error {
			rejects = append(rejects, r)
			return nil
		}})
		name := test.value + " as " + test.from + " read as " + test.to
		switch {
		case test.want == "error":
			if err == nil || strings.Contains(err.Error(), "internal") {
				t.Errorf("%s: %v, %v, want an error", name, got, err)
			}
			continue
		case err != nil:
			t.Errorf("%s: %v", name, err)
			continue
		case test.want == "":
			if len(rejects) != 1 || !strings.Contains(rejects[0].Payload, test.value) || !strings.Contains(rejects[0].Reason, "column x") || rejects[0].Locator != "v id=7" {
				t.Errorf("%s: rejects %+v, want one that shows the value and its key", name, rejects)
			}
			if diff := cmp.Diff([]string{"NULL|8"}, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			continue
		}
		if diff := cmp.Diff([]string{test.want + "|7", "NULL|8"}, got); diff != "" || len(rejects) != 0 {
			t.Errorf("%s: rejects %v (-want +got):\n%s", name, rejects, diff)
		}
	}
}

func TestNullCursorsFollowTheirPolicy(t *testing.T) {
	w := world{url: testdb.URL(t)}
	w.exec(t, "CREATE TABLE e (id int PRIMARY KEY, u timestamptz)", "INSERT INTO e VALUES (1, '2026-03-01Z'), (2, NULL), (3, '2026-03-02Z')")
	c := extract.StreamConfig{Name: "e", Cursor: "u"}
	ids := func(policy string, from scan.Cursor) (string, scan.Cursor) {
		t.Helper()
		c.NullCursor = policy
		rows, from := next(t, w, c, from)
		for i := range rows {
			rows[i], _, _ = strings.Cut(rows[i], "|")
		}
		return strings.Join(rows, " "), from
	}
	for _, policy := range []string{"", "raise"} {
		c.NullCursor = policy
		_, _, err := read(t, w, c, extract.Request{})
		if err == nil || !strings.Contains(err.Error(), "1 rows have no u") || !strings.Contains(err.Error(), "null_cursor: include or null_cursor: exclude") {
			t.Errorf("null_cursor %q: %v, want the count and the choices", policy, err)
		}
	}
	for _, test := range []struct{ policy, first, second, third string }{
		{"include", "1 2 3", "2 4 5", "2 4"}, // a row without a cursor is read each time
		{"exclude", "1 3", "5", ""},
	} {
		w.exec(t, "DELETE FROM e WHERE id > 3")
		first, from := ids(test.policy, "")
		w.exec(t, "INSERT INTO e VALUES (4, NULL), (5, '2026-03-03Z')")
		second, from := ids(test.policy, from)
		third, _ := ids(test.policy, from)
		if first != test.first || second != test.second || third != test.third {
			t.Errorf("null_cursor: %s read %q, %q, %q, want %q, %q, %q", test.policy, first, second, third, test.first, test.second, test.third)
		}
	}
	// A row that loses its cursor later is not passed over in silence either.
	w.exec(t, "DELETE FROM e WHERE id IN (2, 4)")
	_, from := ids("raise", "")
	w.exec(t, "INSERT INTO e VALUES (6, NULL)")
	c.NullCursor = "raise"
	if _, _, err := read(t, w, c, extract.Request{From: from}); err == nil || !strings.Contains(err.Error(), "1 rows have no u") {
		t.Errorf("null_cursor: raise, behind a cursor: %v", err)
	}
	// Only rows without a cursor: nothing to go on from.
	w.exec(t, "DELETE FROM e WHERE u IS NOT NULL")
	if all, from := ids("include", ""); all != "6" || from != "" {
		t.Errorf("only rows without a cursor: read %q, cursor %q", all, from)
	}
}

func TestCompositeKeysComeInTheirOwnOrder(t *testing.T) {
	w := world{url: testdb.URL(t)}
	w.exec(t, `CREATE TABLE lines (note text, "line no" int, "Order" int, u date NOT NULL, amount numeric(6,2), PRIMARY KEY ("Order", "line no"))`,
		`INSERT INTO lines VALUES ('a', 1, 1, '2026-03-01', 1), ('b', 2, 1, '2026-03-02', 1), ('c', 1, 2, '2026-03-02', 'NaN')`)
	source, err := w.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	streams, err := source.Streams(t.Context(), "lines")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Order", "line no"}, streams[0].Spec().Key); diff != "" {
		t.Errorf("key (-want +got):\n%s", diff)
	}
	if err := source.Close(); err != nil {
		t.Error(err)
	}
	c := extract.StreamConfig{Name: "lines", Cursor: "u", Options: &postgres.StreamOptions{}}
	var rejects []string
	got, sc, err := read(t, w, c, extract.Request{Reject: func(r scan.Reject) error {
		rejects = append(rejects, r.Locator)
		return nil
	}})
	if err != nil || len(got) != 2 || len(rejects) != 1 || rejects[0] != "lines line no=1 Order=2" {
		t.Fatalf("%v: %v, rejects %v", err, got, rejects)
	}
	w.exec(t, `INSERT INTO lines VALUES ('b', 2, 3, '2026-03-02', 1)`)
	if got, _ := next(t, w, c, sc.Cursor()); len(got) != 1 || !strings.HasPrefix(got[0], "b|2|3|") {
		t.Errorf("the second run read %v, want the new line only", got)
	}
}
