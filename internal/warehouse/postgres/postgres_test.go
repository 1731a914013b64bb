package postgres_test

import (
	"context"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"elt/internal/retry"
	"elt/internal/rows"
	"elt/internal/secret"
	"elt/internal/testdb"
	"elt/internal/warehouse"
	"elt/internal/warehouse/postgres"
)

func TestMain(m *testing.M) { os.Exit(testdb.Run(m)) }

// open opens a driver on a fresh database and closes it with the test.
func open(t *testing.T) *postgres.Driver {
	t.Helper()
	return openURL(t, testdb.URL(t), postgres.Options{})
}

func openURL(t *testing.T, url string, o postgres.Options) *postgres.Driver {
	t.Helper()
	d, err := postgres.Open(t.Context(), secret.New(url), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func openDB(t *testing.T) *warehouse.DB {
	t.Helper()
	db, err := warehouse.Open(t.Context(), open(t))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func exec(t *testing.T, db *warehouse.DB, statements ...string) {
	t.Helper()
	err := db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
		for _, q := range statements {
			if _, err := tx.Exec(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// one returns the first row of a query as texts.
func one(t *testing.T, q warehouse.Querier, sql string, args ...any) []string {
	t.Helper()
	var out []string
	err := warehouse.Each(t.Context(), q, sql, func(r rows.Row) error {
		for i := range r.Len() {
			if out == nil || len(out) < r.Len() {
				out = append(out, r.String(i))
			}
		}
		return nil
	}, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

func TestParametersTakeTheTypeThatTheStatementNeeds(t *testing.T) {
	db := openDB(t)
	exec(t, db, `CREATE TABLE public.t (s text, b boolean, i integer, f double precision, raw bytea,
		at timestamp with time zone, naive timestamp, n numeric(12,2), j jsonb, d date, nothing text)`)
	at := time.Date(2026, 3, 29, 1, 2, 3, 456789000, time.FixedZone("", 3600))
	err := db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
		n, err := tx.Exec(ctx, `INSERT INTO public.t VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11)`,
			"o'k", true, int64(-7), 0.1, []byte{0, 255}, at, at, "12.50", `{"a": 1}`, "2026-02-28", nil)
		if n != 1 {
			t.Errorf("%d rows touched", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	got := one(t, db, `SELECT s, b::text, i, f::text, encode(raw, 'hex'), at::text, naive::text, n::text, j::text, d::text, nothing IS NULL
		FROM public.t WHERE at = $1 AND n = $2 AND i = $3 AND j = $4 AND raw = $5`,
		"2026-03-29T00:02:03.456789Z", "12.5", "-7", `{"a":1}`, []byte{0, 255})
	want := []string{"o'k", "true", "-7", "0.1", "00ff", "2026-03-29 00:02:03.456789+00", "2026-03-29 00:02:03.456789", "12.50", `{"a": 1}`, "2026-02-28", "true"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := one(t, db, `SELECT $1::float8::text, $2::float8::text`, math.Inf(-1), math.NaN()); got[0] != "-Infinity" || got[1] != "NaN" {
		t.Errorf("floats arrive as %q", got)
	}
}

func TestQueryIsFlatAndStopsEarly(t *testing.T) {
	db := openDB(t)
	r, err := db.Query(t.Context(), `SELECT g AS id, repeat('x', 1000) AS pad FROM generate_series(1, 30000) g`)
	if err != nil {
		t.Fatal(err)
	}
	batches := 0
	total := int64(0)
	for r.Next() {
		batches++
		total += r.RecordBatch().NumRows()
		if n := r.RecordBatch().NumRows(); n > 8192 {
			t.Errorf("a batch of %d rows", n)
		}
	}
	if r.Err() != nil || total != 30000 || batches < 7 {
		t.Errorf("%d rows in %d batches, error %v", total, batches, r.Err())
	}
	r.Release()

	err = db.View(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
		r, err := tx.Query(ctx, `SELECT generate_series(1, 100000)`)
		if err != nil {
			return err
		}
		r.Next()
		r.Release()
		if got := one(t, tx, `SELECT 'still here'`); got[0] != "still here" {
			t.Errorf("got %q", got)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestQueryFailsAtTheEndOfItsRows(t *testing.T) {
	db := openDB(t)
	r, err := db.Query(t.Context(), `SELECT 1 / (20000 - g) FROM generate_series(1, 30000) g`)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	for r.Next() {
	}
	if warehouse.KindOf(r.Err()) != warehouse.KindData {
		t.Errorf("error %v", r.Err())
	}
}

func TestReadOnlyTransactionsRefuseWritesAndSeeOneSnapshot(t *testing.T) {
	db := openDB(t)
	exec(t, db, `CREATE TABLE public.t (id int)`)
	err := db.View(t.Context(), func(_ context.Context, tx *warehouse.Tx) error {
		before := one(t, tx, `SELECT count(*) FROM public.t`)
		exec(t, db, `INSERT INTO public.t VALUES (1)`)
		if after := one(t, tx, `SELECT count(*) FROM public.t`); after[0] != before[0] {
			t.Errorf("the snapshot moved from %s to %s rows", before, after)
		}
		_, err := tx.Exec(t.Context(), `INSERT INTO public.t VALUES (2)`)
		if warehouse.KindOf(err) != warehouse.KindReadOnly {
			t.Errorf("a write gives %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestErrorsHaveKinds(t *testing.T) {
	db := openDB(t)
	exec(t, db, `CREATE TABLE public.t (id int PRIMARY KEY)`, `INSERT INTO public.t VALUES (1)`)
	for _, c := range []struct {
		sql  string
		kind warehouse.Kind
		says string
	}{
		{`INSERT INTO public.t VALUES (1)`, warehouse.KindUnique, "Key (id)=(1) already exists"},
		{`CREATE TABLE public.t ()`, warehouse.KindExists, "already exists"},
		{`SELECT * FROM public.nowhere`, warehouse.KindNotFound, "nowhere"},
		{`SELECT nothing FROM public.t`, warehouse.KindNotFound, "nothing"},
		{`SELECT 'x'::int`, warehouse.KindData, "invalid input syntax"},
		{"SELECT 1\n  FRO x y", warehouse.KindOther, "at line 2, column 7"},
	} {
		err := db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
			_, err := tx.Exec(ctx, c.sql)
			return err
		})
		if warehouse.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: kind %d, error %v", c.sql, warehouse.KindOf(err), err)
		}
	}
}

func TestALockedTableIsAConflictWorthAnotherTry(t *testing.T) {
	d := openURL(t, testdb.URL(t), postgres.Options{LockTimeout: 20 * time.Millisecond})
	db, err := warehouse.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, db, `CREATE TABLE public.t (id int)`)
	err = db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
		if _, err := tx.Exec(ctx, `LOCK TABLE public.t`); err != nil {
			return err
		}
		err := db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
			_, err := tx.Exec(ctx, `DELETE FROM public.t`)
			return err
		})
		if class, _ := retry.Of(err); class != retry.Transient || warehouse.KindOf(err) != warehouse.KindConflict {
			t.Errorf("error %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestALostConnectionIsReplacedAtTheNextBegin(t *testing.T) {
	url := testdb.URL(t)
	db, err := warehouse.Open(t.Context(), openURL(t, url, postgres.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	pid := one(t, db, `SELECT pg_backend_pid()`)[0]
	other := openURL(t, url, postgres.Options{})
	killer, err := warehouse.Open(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	one(t, killer, `SELECT pg_terminate_backend($1)::text`, pid)
	if got := one(t, db, `SELECT pg_backend_pid()`)[0]; got == pid {
		t.Error("the killed connection answers")
	}
	err = db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
		pid := one(t, tx, `SELECT pg_backend_pid()`)[0]
		one(t, killer, `SELECT pg_terminate_backend($1)::text`, pid)
		_, err := tx.Exec(ctx, `SELECT 1`)
		return err
	})
	if class, _ := retry.Of(err); warehouse.KindOf(err) != warehouse.KindUnavailable || class != retry.Transient {
		t.Errorf("error %v", err)
	}
}

func TestCancellationEndsAStatement(t *testing.T) {
	db := openDB(t)
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	started := time.AfterFunc(20*time.Millisecond, func() { cancel(enough) })
	defer started.Stop()
	err := db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		_, err := tx.Exec(ctx, `SELECT pg_sleep(60)`)
		return err
	})
	if !errors.Is(err, enough) {
		t.Errorf("error %v", err)
	}
	if got := one(t, db, `SELECT 'alive'`); got[0] != "alive" {
		t.Error("the driver died with the statement")
	}
}
