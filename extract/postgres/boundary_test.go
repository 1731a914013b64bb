package postgres_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"elt/extract"
	"elt/extract/postgres"
	"elt/internal/scan"
	"elt/internal/testdb"
)

// next reads on from a cursor, and returns the rows and where to go on.
func next(t *testing.T, w world, c extract.StreamConfig, from scan.Cursor) ([]string, scan.Cursor) {
	t.Helper()
	got, sc, err := read(t, w, c, extract.Request{From: from})
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := sc.Counted(); n != int64(len(got)) {
		t.Errorf("counted %d rows, read %d", n, len(got))
	}
	slices.Sort(got)
	if sc.Cursor() == "" {
		return got, from
	}
	return got, sc.Cursor()
}

func TestIdenticalRowsAtTheBoundaryAreEachReadOnce(t *testing.T) {
	w := world{url: testdb.URL(t)}
	w.exec(t, "CREATE TABLE clicks (page text, d date)", "INSERT INTO clicks VALUES ('a', '2026-03-01'), ('a', '2026-03-02'), ('b', '2026-03-02')")
	c := extract.StreamConfig{Name: "clicks", Cursor: "d"}
	_, from := next(t, w, c, "")
	for i, step := range []struct {
		insert string
		want   []string
	}{
		{"('a', '2026-03-02')", []string{"a|2026-03-02"}},
		{"('a', '2026-03-02'), ('a', '2026-03-02'), ('c', '2026-03-02')", []string{"a|2026-03-02", "a|2026-03-02", "c|2026-03-02"}},
		{"('a', '2026-03-02'), ('a', '2026-03-03')", []string{"a|2026-03-02", "a|2026-03-03"}},
		{"('a', '2026-03-03')", []string{"a|2026-03-03"}},
	} {
		w.exec(t, "INSERT INTO clicks VALUES "+step.insert)
		var got []string
		got, from = next(t, w, c, from)
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("run %d (-want +got):\n%s", i+2, diff)
		}
		if got, again := next(t, w, c, from); len(got) != 0 || again != from {
			t.Errorf("after run %d nothing is new, but %v was read", i+2, got)
		}
	}
}

func TestBoundaryRowsAreKnownAgainAfterAColumnIsAdded(t *testing.T) {
	for _, key := range []string{"", ", PRIMARY KEY (n)"} {
		w := world{url: testdb.URL(t)}
		w.exec(t, "CREATE TABLE e (n int, d date"+key+")", "INSERT INTO e VALUES (1, '2026-03-01'), (2, '2026-03-02'), (3, '2026-03-02')")
		c := extract.StreamConfig{Name: "e", Cursor: "d"}
		_, from := next(t, w, c, "")
		w.exec(t, "ALTER TABLE e ADD COLUMN plain int, ADD COLUMN filled text DEFAULT 'x'")
		if got, _ := next(t, w, c, from); len(got) != 0 {
			t.Errorf("key %q: after ADD COLUMN %v was read again", key, got)
		}
		w.exec(t, "ALTER TABLE e ALTER n TYPE bigint", "INSERT INTO e VALUES (4, '2026-03-02', 7)")
		got, from := next(t, w, c, from)
		if diff := cmp.Diff([]string{"4|2026-03-02|7|x"}, got); diff != "" {
			t.Errorf("key %q (-want +got):\n%s", key, diff)
		}
		if got, _ := next(t, w, c, from); len(got) != 0 {
			t.Errorf("key %q: %v was read again", key, got)
		}
	}
}

// A new row that differs from a remembered one in an added column only is the
// one that was not read.
func TestTwinsThatDifferInAnAddedColumnAreToldApart(t *testing.T) {
	w := world{url: testdb.URL(t)}
	w.exec(t, "CREATE TABLE e (n int, d date)", "INSERT INTO e VALUES (1, '2026-03-02')")
	c := extract.StreamConfig{Name: "e", Cursor: "d"}
	_, from := next(t, w, c, "")
	w.exec(t, "ALTER TABLE e ADD COLUMN extra json", "INSERT INTO e VALUES (1, '2026-03-02', '7')",
		"UPDATE e SET n = n WHERE extra IS NULL") // moves the old row behind the new one
	if got, _ := next(t, w, c, from); !slices.Equal(got, []string{"1|2026-03-02|7"}) {
		t.Errorf("read %v, want the new row", got)
	}
}

func TestBoundaryRowsWhoseColumnsChanged(t *testing.T) {
	for _, change := range []string{"DROP COLUMN n", "ALTER n TYPE text USING n || '!'"} {
		w := world{url: testdb.URL(t)}
		w.exec(t, "CREATE TABLE e (n int, d date)", "INSERT INTO e VALUES (1, '2026-03-02'), (2, '2026-03-02')")
		c := extract.StreamConfig{Name: "e", Cursor: "d"}
		_, from := next(t, w, c, "")
		w.exec(t, "ALTER TABLE e "+change)
		_, _, err := read(t, w, c, extract.Request{From: from})
		for _, want := range []string{"column n", "add key: COLUMN", "elt run --full-refresh e"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want an error with %q", change, err, want)
			}
		}
		w.exec(t, "ALTER TABLE e ADD COLUMN id serial PRIMARY KEY")
		if got, _ := next(t, w, c, from); len(got) != 2 {
			t.Errorf("%s, with a key: read %v, want both rows again", change, got)
		}
	}
}

func TestCursorsOfTheFirstVersionAreRead(t *testing.T) {
	w := world{url: testdb.URL(t)}
	w.exec(t, "CREATE TABLE e (n int, t text, d date)", "INSERT INTO e VALUES (1, 'x y', '2026-03-02'), (2, NULL, '2026-03-02')")
	// md5 of the rows as (1,"x y",2026-03-02) and (2,,2026-03-02)
	from := scan.Cursor(`{"v":1,"column":"d","type":"date","value":"2026-03-02","rows":["d2c358bff9925445b4e97093f584fdc6","8522f49033fff59585c6f8b047b47f15"]}`)
	c := extract.StreamConfig{Name: "e", Cursor: "d"}
	if got, _ := next(t, w, c, from); len(got) != 0 {
		t.Errorf("%v was read again", got)
	}
	w.exec(t, "INSERT INTO e VALUES (2, NULL, '2026-03-02')")
	got, from := next(t, w, c, from)
	if diff := cmp.Diff([]string{"2|NULL|2026-03-02"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !strings.Contains(string(from), `"v":2`) {
		t.Errorf("the next cursor is %s, want version 2", from)
	}
}

func TestBoundaryRespectsTheCondition(t *testing.T) {
	w := world{url: testdb.URL(t)}
	w.exec(t, "CREATE TABLE e (n int, d date, v numeric)", "INSERT INTO e VALUES (1, '2026-03-02', 1), (2, '2026-03-02', 1)")
	c := extract.StreamConfig{Name: "e", Cursor: "d", NullCursor: "include", Columns: map[string]string{"v": "DECIMAL(10, 2)"},
		Options: &postgres.StreamOptions{Where: "public.e.n <> 2 -- not that one"}}
	_, from := next(t, w, c, "")
	w.exec(t, "INSERT INTO e VALUES (1, '2026-03-02', 1), (2, '2026-03-02', 1), (7, NULL, 2), (3, '2026-03-03', 1)")
	got, _ := next(t, w, c, from)
	if diff := cmp.Diff([]string{"1|2026-03-02|1.00", "3|2026-03-03|1.00", "7|NULL|2.00"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The transaction is open while the first run reads past its row.
func TestLookbackFindsARowThatIsCommittedLate(t *testing.T) {
	for lookback, want := range map[time.Duration]string{0: "3", time.Hour: "1 2 3", time.Minute: "2 3"} {
		w := world{url: testdb.URL(t)}
		w.exec(t, "CREATE TABLE o (id int PRIMARY KEY, u timestamptz)")
		conn, err := pgx.Connect(t.Context(), w.url)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range []string{"BEGIN", "INSERT INTO o VALUES (1, '2026-03-01 10:00Z')"} {
			if _, err := conn.Exec(t.Context(), q); err != nil {
				t.Fatal(err)
			}
		}
		w.exec(t, "INSERT INTO o VALUES (2, '2026-03-01 10:30Z')")
		c := extract.StreamConfig{Name: "o", Cursor: "u", Lookback: lookback}
		first, from := next(t, w, c, "")
		if len(first) != 1 {
			t.Errorf("the first run read %v, want what is committed", first)
		}
		if _, err := conn.Exec(t.Context(), "COMMIT"); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
		w.exec(t, "INSERT INTO o VALUES (3, '2026-03-01 11:00Z')")
		rows, _ := next(t, w, c, from)
		var ids []string
		for _, r := range rows {
			id, _, _ := strings.Cut(r, "|")
			ids = append(ids, id)
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("lookback %v: the second run read %q, want %q", lookback, got, want)
		}
	}
}
