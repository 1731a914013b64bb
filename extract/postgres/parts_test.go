package postgres_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/jackc/pgx/v5"

	"elt/extract"
	"elt/extract/extracttest"
	"elt/extract/postgres"
	"elt/internal/rows"
	"elt/internal/testdb"
)

// tables is a [extracttest.World] whose stream is a table, read in parts. Its
// column weight is text that is read as an integer, which counting does not do.
type tables struct {
	world
	parts int
}

func (w tables) Open(ctx context.Context, alloc memory.Allocator, streams ...extract.StreamConfig) (extract.Source, error) {
	streams = slices.Clone(streams)
	for i := range streams {
		streams[i].Options = &postgres.StreamOptions{Parts: w.parts}
		streams[i].Columns = map[string]string{"weight": "INTEGER"}
	}
	return w.world.Open(ctx, alloc, streams...)
}

func (w tables) Put(t testing.TB, all []extracttest.Row) {
	t.Helper()
	w.exec(t, "DROP TABLE IF EXISTS items", "CREATE TABLE items (id bigint PRIMARY KEY, name text, updated timestamp, price numeric(10,2), weight text)")
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, w.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }() // of a database that goes away
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"items"}, []string{"id", "name", "updated", "price", "weight"},
		pgx.CopyFromSlice(len(all), func(i int) ([]any, error) {
			price := 1.25
			if all[i].Bad {
				price = math.NaN()
			}
			return []any{all[i].ID, all[i].Name, all[i].Updated, price, "1"}, nil
		}))
	if err != nil {
		t.Fatal(err)
	}
}

func (w tables) Widen(t testing.TB) { w.exec(t, "ALTER TABLE items ADD COLUMN extra integer") }

// Break writes the table anew: an update would move the row.
func (w tables) Break(t testing.TB, n int) {
	w.exec(t, "ALTER TABLE items RENAME TO whole",
		fmt.Sprintf("CREATE TABLE items AS SELECT id, name, updated, price, CASE WHEN id = %d THEN 'heavy' ELSE weight END AS weight FROM whole ORDER BY id", n+1),
		"DROP TABLE whole")
}

func TestConformanceOfTablesInParts(t *testing.T) {
	extracttest.Run(t, extracttest.Properties{Cursors: true, Rejects: true, BatchRows: batchRows, Parts: 2},
		func(t *testing.T) extracttest.World { return tables{world: world{url: testdb.URL(t)}, parts: 2} })
}

// numbers reads all parts of a stream, one after the other, and returns the numbers in its first column.
func numbers(t *testing.T, w world, c extract.StreamConfig, between func()) (parts int, out []int64) {
	t.Helper()
	source, err := w.Open(t.Context(), memory.DefaultAllocator, c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := source.Close(); err != nil {
			t.Error(err)
		}
	}()
	streams, err := source.Streams(t.Context(), c.Name)
	if err != nil {
		t.Fatal(err)
	}
	sc, err := streams[0].Open(t.Context(), extract.Request{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range sc.Parts() {
		r, err := p.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		err = rows.Each(r, func(r rows.Row) error {
			out = append(out, r.Int(0))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		between()
	}
	slices.Sort(out)
	return len(sc.Parts()), out
}

func TestPartsSeeOneSnapshot(t *testing.T) {
	w := world{url: testdb.URL(t)}
	w.exec(t, "CREATE TABLE n (id int)", "INSERT INTO n SELECT generate_series(1, 5000)")
	parts, got := numbers(t, w, extract.StreamConfig{Name: "n", Options: &postgres.StreamOptions{Parts: 4}}, func() {
		w.exec(t, "DELETE FROM n WHERE id <= 10", "DELETE FROM n WHERE id > 4990", "INSERT INTO n SELECT 1 + max(id) FROM n", "UPDATE n SET id = -id WHERE id % 7 = 0")
	})
	if parts != 4 || len(got) != 5000 || got[0] != 1 || got[4999] != 5000 {
		t.Errorf("%d parts with %d rows, want 4 with 1 to 5000 as they were", parts, len(got))
	}
}

func TestOnlyLargeTablesAreReadInParts(t *testing.T) {
	w := world{url: testdb.URL(t)}
	const role = "elt_limited"
	w.exec(t, "CREATE TABLE small (id int)", "INSERT INTO small VALUES (1)",
		// Rows of a page each, that are stored as they are.
		"CREATE TABLE large (id int, t text)", "ALTER TABLE large ALTER t SET STORAGE PLAIN",
		"INSERT INTO large SELECT i, repeat('x', 8000) FROM generate_series(1, 8300) i",
		"CREATE VIEW seen AS SELECT * FROM large",
		"CREATE TABLE split (id int) PARTITION BY RANGE (id)", "CREATE TABLE split_1 PARTITION OF split DEFAULT", "INSERT INTO split SELECT generate_series(1, 9000)",
		"CREATE TABLE parent (id int)", "CREATE TABLE child () INHERITS (parent)", "INSERT INTO parent SELECT generate_series(1, 5000)", "INSERT INTO child SELECT generate_series(1, 5000)",
		"DROP ROLE IF EXISTS "+role, "CREATE ROLE "+role+" LOGIN PASSWORD 'elt-test' CONNECTION LIMIT 1", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO "+role)
	t.Cleanup(func() { w.exec(t, "DROP OWNED BY "+role, "DROP ROLE "+role) })
	for _, test := range []struct {
		name        string
		asked       int
		parts, rows int
	}{
		{"small", 0, 1, 1}, {"small", 3, 1, 1}, {"large", 0, 2, 8300}, {"large", 1, 1, 8300}, {"large", 7, 7, 8300},
		{"seen", 0, 1, 8300}, {"seen", 3, 1, 8300}, {"split", 3, 1, 9000}, {"parent", 3, 1, 10000},
	} {
		parts, got := numbers(t, w, extract.StreamConfig{Name: test.name, Options: &postgres.StreamOptions{Parts: test.asked}}, func() {})
		if parts != test.parts || len(got) != test.rows {
			t.Errorf("%s, parts: %d: %d parts with %d rows, want %d with %d", test.name, test.asked, parts, len(got), test.parts, test.rows)
		}
	}
	config, err := pgx.ParseConfig(w.url)
	if err != nil {
		t.Fatal(err)
	}
	limited := world{url: fmt.Sprintf("postgres://%s:elt-test@%s:%d/%s", role, config.Host, config.Port, config.Database)}
	if parts, got := numbers(t, limited, extract.StreamConfig{Name: "large"}, func() {}); parts != 1 || len(got) != 8300 {
		t.Errorf("with one connection allowed: %d parts with %d rows, want 1 with 8300", parts, len(got))
	}
	if _, _, err := read(t, w, extract.StreamConfig{Name: "small", Options: &postgres.StreamOptions{Parts: 99}}, extract.Request{}); err == nil || !strings.Contains(err.Error(), "expected 1 to 32") {
		t.Errorf("parts: 99: %v", err)
	}
}
