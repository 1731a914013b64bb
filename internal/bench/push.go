package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"elt/activate"
	"elt/activate/postgres"
	"elt/internal/pgserver"
	"elt/internal/secret"
	"elt/internal/warehouse"
)

// pushed is a sync of a model with six columns into a table of PostgreSQL.
func pushed() activate.Sync {
	s := activate.Sync{
		Name: "push", Model: warehouse.Table{Schema: "bench", Name: "contacts"}, Object: "contacts", Mode: activate.ModeUpsert,
		Key: []string{"id"}, TargetFP: activate.Fingerprint("push"), RunID: "run",
	}
	for _, f := range []string{"id", "email", "ltv", "risk", "segment", "joined"} {
		s.Fields = append(s.Fields, activate.Field{Theirs: f, Column: f})
	}
	return s
}

// pushedRows is how many rows are pushed with so many of the table: 1 to 6 million.
func pushedRows(rows int64) int64 { return rows / 6 }

// contacts has the columns of pushed in both databases.
const contacts = `(id BIGINT %s, email VARCHAR, ltv DECIMAL(12,2), risk DOUBLE PRECISION, segment VARCHAR, joined TIMESTAMP)`

// preparePush makes the model, and the same rows as a file for COPY.
func preparePush(ctx context.Context, dir string, n int64) error {
	csv := filepath.Join(dir, "contacts.csv")
	db, err := bareDB(ctx, filepath.Join(dir, "push.duckdb"), `CREATE SCHEMA bench; CREATE TABLE bench.contacts `+fmt.Sprintf(contacts, "")+`;
		INSERT INTO bench.contacts SELECT i, 'customer' || i || '@example.com', (hash(i) % 1000000) / 100, (hash(i + 1) % 1000) / 1000,
			['new', 'loyal', 'at risk', 'lost'][(hash(i + 2) % 4)::INTEGER + 1], TIMESTAMP '2020-01-01' + to_seconds((hash(i + 3) % 100000000)::BIGINT)
		FROM range(`+fmt.Sprint(n)+`) AS r(i); COPY bench.contacts TO '`+csv+`' (HEADER)`)
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	return onPostgres(ctx, func(conn *pgconn.PgConn) (err error) {
		in, err := os.Open(csv)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, in.Close()) }()
		if err := emptyContacts(ctx, conn); err != nil {
			return err
		}
		if _, err := conn.CopyFrom(ctx, in, `COPY contacts FROM STDIN (FORMAT csv, HEADER)`); err != nil {
			return err
		}
		out, err := os.Create(filepath.Join(dir, "contacts.pgcopy"))
		if err != nil {
			return err
		}
		_, err = conn.CopyTo(ctx, out, `COPY contacts TO STDOUT (FORMAT binary)`)
		return errors.Join(err, out.Close())
	})
}

func emptyContacts(ctx context.Context, conn *pgconn.PgConn) error {
	_, err := conn.Exec(ctx, `DROP TABLE IF EXISTS contacts; CREATE TABLE contacts `+fmt.Sprintf(contacts, "PRIMARY KEY")).ReadAll()
	return err
}

// push is a first sync of the model into an empty table.
func push(ctx context.Context, file string, n int64) (took time.Duration, err error) {
	if err := onPostgres(ctx, func(conn *pgconn.PgConn) error { return emptyContacts(ctx, conn) }); err != nil {
		return 0, err
	}
	return pushTo(ctx, file, pushed(), "contacts", n)
}

// pushTo plans and pushes a sync into a table, and wants n rows acknowledged.
func pushTo(ctx context.Context, file string, sync activate.Sync, table string, n int64) (took time.Duration, err error) {
	db, st, err := openState(ctx, file)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	start := time.Now()
	conn, err := postgres.Kind().Open(ctx, activate.Config{
		Connection: &pgserver.Connection{URL: secret.New(os.Getenv(urlVariable))}, Object: table, Key: []string{"id"}, Mode: activate.ModeUpsert,
	})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Destination.Close()) }()
	p, err := activate.NewPlan(ctx, db, st, sync)
	if err != nil {
		return 0, err
	}
	res, err := p.Push(ctx, conn, activate.Options{})
	if err == nil && res.Acked != n {
		err = fmt.Errorf("%d of %d rows were acknowledged", res.Acked, n)
	}
	err = errors.Join(err, p.Close(ctx))
	return time.Since(start), err
}

// copyBinary copies the same rows into an equal table.
func copyBinary(ctx context.Context, dir string, n int64) (took time.Duration, err error) {
	err = onPostgres(ctx, func(conn *pgconn.PgConn) (err error) {
		if err := emptyContacts(ctx, conn); err != nil {
			return err
		}
		var in io.ReadCloser
		if in, err = os.Open(filepath.Join(dir, "contacts.pgcopy")); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, in.Close()) }()
		start := time.Now()
		tag, err := conn.CopyFrom(ctx, in, `COPY contacts FROM STDIN (FORMAT binary)`)
		took = time.Since(start)
		if err == nil && tag.RowsAffected() != n {
			err = fmt.Errorf("%d of %d rows were copied", tag.RowsAffected(), n)
		}
		return err
	})
	return took, err
}

// changed selects one row in a hundred of the synced model.
const changed = `id % 100 = 0`

// prepareChanges fills a table with the synced model, and writes the rows that
// change, as they are afterwards, as a file for COPY.
func prepareChanges(ctx context.Context, dir string) error {
	csv := filepath.Join(dir, "customers.csv")
	db, err := bareDB(ctx, filepath.Join(dir, "sync.duckdb"), `COPY bench.customers TO '`+csv+`' (HEADER)`)
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	return onPostgres(ctx, func(conn *pgconn.PgConn) (err error) {
		const ddl = `CREATE TABLE customers (id BIGINT PRIMARY KEY, email VARCHAR, ltv DECIMAL(12,2), risk DOUBLE PRECISION, segment VARCHAR)`
		if _, err := conn.Exec(ctx, ddl).ReadAll(); err != nil {
			return err
		}
		in, err := os.Open(csv)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, in.Close(), os.Remove(csv)) }()
		if _, err := conn.CopyFrom(ctx, in, `COPY customers FROM STDIN (FORMAT csv, HEADER)`); err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, `VACUUM (FREEZE, ANALYZE) customers`).ReadAll(); err != nil {
			return err
		}
		out, err := os.Create(filepath.Join(dir, "customers.pgcopy"))
		if err != nil {
			return err
		}
		_, err = conn.CopyTo(ctx, out, `COPY (SELECT id, email, ltv + 1, risk, segment FROM customers WHERE `+changed+`) TO STDOUT (FORMAT binary)`)
		return errors.Join(err, out.Close())
	})
}

// change changes the rows of the model in the warehouse of a run.
func change(ctx context.Context, file string) error {
	db, err := bareDB(ctx, file, `UPDATE bench.customers SET ltv = ltv + 1 WHERE `+changed)
	if err != nil {
		return err
	}
	return db.Close()
}

// pushChanges syncs a model of which one row in a hundred has changed.
func pushChanges(ctx context.Context, file string, n int64) (time.Duration, error) {
	if err := change(ctx, file); err != nil {
		return 0, err
	}
	return pushTo(ctx, file, synced(), "customers", (n+99)/100)
}

// bareChanges is the bare join of the same model, and the bare upsert of the rows
// that it finds.
func bareChanges(ctx context.Context, file, dir string, n int64) (took time.Duration, err error) {
	if err := change(ctx, file); err != nil {
		return 0, err
	}
	took, err = bareDiff(ctx, file, (n+99)/100)
	if err != nil {
		return 0, err
	}
	err = onPostgres(ctx, func(conn *pgconn.PgConn) (err error) {
		in, err := os.Open(filepath.Join(dir, "customers.pgcopy"))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, in.Close()) }()
		start := time.Now()
		if _, err := conn.Exec(ctx, `BEGIN; CREATE TEMP TABLE stage ON COMMIT DROP AS SELECT * FROM customers WITH NO DATA`).ReadAll(); err != nil {
			return err
		}
		if _, err := conn.CopyFrom(ctx, in, `COPY stage FROM STDIN (FORMAT binary)`); err != nil {
			return err
		}
		_, err = conn.Exec(ctx, `INSERT INTO customers SELECT * FROM stage ON CONFLICT (id) DO UPDATE SET email = EXCLUDED.email,
			ltv = EXCLUDED.ltv, risk = EXCLUDED.risk, segment = EXCLUDED.segment; COMMIT`).ReadAll()
		took += time.Since(start)
		return err
	})
	return took, err
}
