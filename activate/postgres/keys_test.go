package postgres_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"elt/activate"
	"elt/activate/postgres"
	"elt/internal/pgserver"
	"elt/internal/rate"
	"elt/internal/secret"
)

func TestLimitsAreThoseThatTheProjectSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `CREATE TABLE things (id int PRIMARY KEY)`)
	address := pgserver.Connection{URL: secret.New(w.url)}
	c := activate.Config{
		Connection: &postgres.Connection{Connection: address, Rates: []rate.Limit{"10/s", "100000/d"}, Concurrency: 4},
		Sync:       &postgres.Sync{Batch: &postgres.Batch{Rows: 100}}, Object: "things", Key: []string{"id"},
	}
	kind := postgres.Kind()
	conn, err := kind.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Destination.Close() })
	planned, err := kind.Limits(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []activate.Limits{planned, conn.Destination.Limits()} {
		if l.BatchRows != 100 || l.Concurrency != 4 || fmt.Sprint(l.Rates) != fmt.Sprint([]activate.Rate{{Calls: 10, Per: time.Second}, {Calls: 100000, Per: 24 * time.Hour}}) {
			t.Errorf("%+v, want what the project says", l)
		}
	}
	if a, b := kind.Account(c.Connection), kind.Account(&address); a != b || a == "" {
		t.Errorf("the account is %q, and %q without other keys", a, b)
	}
	c.Connection, c.Sync = &postgres.Connection{Connection: address}, &postgres.Sync{}
	if l, err := kind.Limits(c); err != nil || l.BatchRows != 50_000 || l.Concurrency != 1 || l.Rates != nil {
		t.Errorf("%+v, %v; want what holds where nothing is said", l, err)
	}
}

// Transactions side by side into a table that was empty, with rows that are refused
// in each: what is told of a row is right, and no row is lost.
func TestTransactionsSideBySide(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `CREATE TABLE things (id int PRIMARY KEY, v int CHECK (v < 7))`)
	d := w.mustOpen(t, things)
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			var changes []activate.Change
			for i := range 50 {
				changes = append(changes, change(activate.Upsert, n*50+i, fmt.Sprintf(`,"v":%d`, i%8)))
			}
			outs, err := d.Push(t.Context(), activate.Batch{Changes: changes})
			if err != nil {
				t.Error(err)
				return
			}
			for i, o := range outs {
				if (o.Status == activate.Acked && o.Created) != (i%8 < 7) {
					t.Errorf("row %d of batch %d: %+v", i, n, o)
				}
			}
		})
	}
	all.Wait()
	want(t, "table", w.read(t, `SELECT count(*) FROM things`), "352")
}
