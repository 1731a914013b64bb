package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"elt/activate"
	"elt/internal/warehouse"
)

// pushedName is the table of the evidence. It has none of the names that a
// warehouse of elt takes for its own and sweeps.
const pushedName = "elt_pushed"

const (
	closeTimeout  = 5 * time.Second
	commitTimeout = time.Minute
)

// evidence makes the table of the evidence where there is none, and looks
// whether it can be written.
func (d *destination) evidence(ctx context.Context, conn *pgx.Conn) error {
	var there, may, schema bool
	err := conn.QueryRow(ctx, `SELECT c.oid IS NOT NULL,
			coalesce(has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'DELETE'), false),
			has_schema_privilege(n.oid, 'CREATE')
		FROM pg_catalog.pg_namespace n LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = $2
		WHERE n.nspname = $1`, d.pushed.Schema, d.pushed.Name).Scan(&there, &may, &schema)
	if err != nil {
		return err
	}
	user := warehouse.Quote(d.server.User())
	ddl := `CREATE TABLE IF NOT EXISTS ` + d.pushed.String() + ` (id uuid PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())`
	grant := `GRANT SELECT, INSERT, DELETE ON ` + d.pushed.String() + ` TO ` + user
	switch {
	case there && may:
		return nil
	case there:
		return barred("42501", fmt.Sprintf("user %s may not read and write %s, in which pushes leave their evidence", d.server.User(), d.pushed.Display()),
			"as its owner: "+grant)
	case !schema:
		return barred("42501", fmt.Sprintf("there is no table %s, in which pushes leave their evidence, and user %s may not make it", d.pushed.Display(), d.server.User()),
			"as the owner of the schema: "+ddl+"; "+grant)
	}
	_, err = conn.Exec(ctx, ddl)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == "23505" || pg.Code == "42P07") {
		return nil // another process has made it a moment ago
	}
	return err
}

// transact writes the groups in one transaction and gives s back or away.
func (d *destination) transact(ctx context.Context, s *session, groups []*group, outcomes []activate.Outcome) error {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return err
	}
	token := hex.EncodeToString(id[:])
	if err := d.write(ctx, s, token, groups, outcomes); err != nil {
		return errors.Join(d.failure(ctx, err), d.abandon(ctx, s))
	}
	// The server may have done it as soon as the word has left: from here on only
	// an answer counts, and nobody cuts it off.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	tag, err := s.Exec(ctx, `COMMIT`)
	var pg *pgconn.PgError
	switch {
	case err == nil && tag.String() == "COMMIT":
		s.spent = token
		d.give(s)
		return nil
	case err == nil:
		err = fmt.Errorf("the transaction ended with %s", tag)
		return errors.Join(&activate.RefusedError{Code: "rolled_back", Message: err.Error()}, d.abandon(ctx, s))
	case errors.As(err, &pg) && pg.SeverityUnlocalized == "ERROR": // the other one is in the server's language
		return errors.Join(d.failure(ctx, err), d.abandon(ctx, s))
	}
	// A server that goes down may have committed before it said so.
	pid := s.PgConn().PID()
	_ = d.server.Disconnect(ctx, s.Conn) // there is a better error already
	committed, unresolved := d.committed(ctx, token, pid)
	switch {
	case unresolved != nil:
		// Neither is in the chain: that nobody could be asked is transient, but it
		// does not say that nothing was done.
		return fmt.Errorf("%s: table %s: the answer to COMMIT was lost (%s), and what became of it could not be found out: %s",
			d.server, d.table.Display(), d.server.Text(err.Error()), d.server.Text(unresolved.Error()))
	case committed:
		return nil
	}
	return d.failure(ctx, err)
}

// abandon rolls back and keeps the session when the server agrees.
func (d *destination) abandon(ctx context.Context, s *session) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if !s.IsClosed() {
		if _, err := s.Exec(ctx, `ROLLBACK`); err == nil {
			d.give(s)
			return nil
		}
	}
	_ = d.server.Disconnect(ctx, s.Conn) // the server rolls back what has lost its connection
	return nil
}

// committed finds out what became of the transaction of token, whose server
// process was pid, by inserting the token again (see the package). A process that
// never got the COMMIT holds the token until it notices that nobody is there: it
// is ended.
func (d *destination) committed(ctx context.Context, token string, pid uint32) (bool, error) {
	conn, err := d.server.Connect(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = d.server.Disconnect(ctx, conn) }()
	for try := 0; ; try++ {
		found, err := d.probe(ctx, conn, token)
		var pg *pgconn.PgError
		if err == nil || try == 2 || !errors.As(err, &pg) || pg.Code != "55P03" {
			return found, err
		}
		_, err = conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE pid = $1 AND usename = current_user AND application_name = 'elt' AND datname = current_database() AND state = 'idle in transaction'`, int(pid))
		if err != nil {
			return false, err
		}
	}
}

// probe inserts the token and rolls back; a conflict means that it was committed.
func (d *destination) probe(ctx context.Context, conn *pgx.Conn, token string) (found bool, err error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, tx.Rollback(ctx)) }()
	if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '2s'`); err != nil {
		return false, err
	}
	tag, err := tx.Exec(ctx, `INSERT INTO `+d.pushed.String()+` (id) VALUES ($1::text::uuid) ON CONFLICT (id) DO NOTHING`, token)
	return err == nil && tag.RowsAffected() == 0, err
}

// begin starts the transaction and leaves its token, before anything else.
// Constraints that wait for the COMMIT are checked where their rows are known.
func (d *destination) begin(ctx context.Context, s *session, token string) error {
	for _, q := range []string{`BEGIN`, `SET CONSTRAINTS ALL IMMEDIATE`} {
		if _, err := s.Exec(ctx, q); err != nil {
			return err
		}
	}
	if _, err := s.Exec(ctx, `INSERT INTO `+d.pushed.String()+` (id) VALUES ($1::text::uuid)`, token); err != nil {
		return err
	}
	if s.spent == "" {
		return nil
	}
	_, err := s.Exec(ctx, `DELETE FROM `+d.pushed.String()+` WHERE id = $1::text::uuid`, s.spent)
	return err
}

// forget deletes the token of the last transaction. One that stays does no harm.
func (d *destination) forget(ctx context.Context, s *session) {
	if s.spent != "" && !s.IsClosed() {
		_, _ = s.Exec(ctx, `DELETE FROM `+d.pushed.String()+` WHERE id = $1::text::uuid`, s.spent)
	}
}
