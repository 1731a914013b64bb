package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/activate/fake"
	"elt/activate/postgres"
	"elt/internal/fault"
	"elt/internal/pgserver"
	"elt/internal/secret"
)

// TestInvariant8 pushes random histories of a model to a table, over a network that
// is cut at any byte, of the answer to COMMIT too.
func TestInvariant8(t *testing.T) {
	w := newWorld(t)
	proxy, behind := w.behind(t)
	admin, err := pgx.Connect(t.Context(), w.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	limits := limitsOf(t)
	activatetest.Histories(t, limits.Modes, func(at activatetest.At) *activatetest.Place {
		table := pgx.Identifier{fmt.Sprint("things", at.N)}.Sanitize()
		key := " PRIMARY KEY"
		if at.Mode == activate.ModeAppend {
			key = ""
		}
		exec := func(q string, args ...any) {
			if _, err := admin.Exec(context.Background(), q, args...); err != nil {
				at.T.Fatal(err)
			}
		}
		exec(`DROP TABLE IF EXISTS ` + table)
		exec(`CREATE TABLE ` + table + ` (id bigint` + key + `, v text CHECK (v <> 'bad'))`)
		return &activatetest.Place{
			Open: func() (activate.Connector, error) {
				return postgres.Kind().Open(context.Background(), activate.Config{
					Connection: &pgserver.Connection{URL: secret.New(behind.url)}, Object: fmt.Sprint("things", at.N), Key: []string{"id"}, Mode: at.Mode,
				})
			},
			Rows: func() ([]activatetest.Row, error) { return rowsOf(admin, table) },
			Put: func(r activatetest.Row) {
				exec(`INSERT INTO `+table+` SELECT * FROM jsonb_to_record($1::jsonb) AS r (id bigint, v text)`, r.Fields)
			},
			Close:  func() { exec(`DROP TABLE ` + table) },
			Replay: limits.Replay,
			Break:  func(s *activatetest.Script) { proxy.Break(cut(s)) },
			Heal:   proxy.Heal,
		}
	})
}

// cut is one of a connection, at a byte or at a COMMIT. A stall is seldom, since
// nobody is told of it.
func cut(s *activatetest.Script) fault.Cut {
	c := fault.Cut{Break: fault.Close, Reply: s.Pick("", 2) > 0, All: s.Pick("", 4) > 1, At: int64(s.Pick("", 6000))}
	switch how := s.Pick("", 16); {
	case how > 14:
		c.Break, c.All = fault.Stall, false
	case how > 7:
		c.Break = fault.Reset
	}
	if s.Pick("", 3) > 0 {
		c.On = func(sent []byte) bool { return bytes.Contains(sent, []byte("COMMIT\x00")) }
	}
	return c
}

func rowsOf(admin *pgx.Conn, table string) ([]activatetest.Row, error) {
	found, err := admin.Query(context.Background(), `SELECT id, v FROM `+table)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(found, func(r pgx.CollectableRow) (activatetest.Row, error) {
		var id int
		var v *string
		if err := r.Scan(&id, &v); err != nil {
			return activatetest.Row{}, err
		}
		if v == nil {
			return activatetest.RowOf(id, "null"), nil
		}
		return activatetest.RowOf(id, *v), nil
	})
}

func limitsOf(t *testing.T) activate.Limits {
	t.Helper()
	l, err := postgres.Kind().Limits(activate.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestInvariant8OfStandIns is the same for what stands in for a table.
func TestInvariant8OfStandIns(t *testing.T) {
	root, limits := t.TempDir(), limitsOf(t)
	activatetest.Histories(t, limits.Modes, func(at activatetest.At) *activatetest.Place {
		c := activate.Config{Connection: &pgserver.Connection{URL: secret.New("postgres://db.example.com/app")}, Object: "public.things", Key: []string{"id"}, Mode: at.Mode}
		var outages []fake.Outage
		for _, o := range fake.Outages() {
			// What says nothing in HTTP is no way for a table to fail, and a conflict
			// would be said of rows that it has taken.
			if o != fake.Conflict && o != fake.Slow && !strings.HasPrefix(o.String(), "silent") {
				outages = append(outages, o)
			}
		}
		return activatetest.StandIn(at, postgres.Kind(), c, filepath.Join(root, fmt.Sprint(at.N)), outages)
	})
}
