package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	neturl "net/url"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"elt/internal/pgcopy"
	"elt/internal/pgwatch"
	"elt/internal/retry"
	"elt/internal/secret"
	"elt/internal/warehouse"
)

// kindOf sorts SQLSTATEs, https://www.postgresql.org/docs/current/errcodes-appendix.html.
func kindOf(code string) warehouse.Kind {
	switch code {
	case "23505":
		return warehouse.KindUnique
	case "40001", "40P01", "55P03":
		return warehouse.KindConflict
	case "53300", "25P03": // too many connections; idle in transaction for too long
		return warehouse.KindUnavailable
	case "53100":
		return warehouse.KindDiskFull
	case "53200":
		return warehouse.KindMemory
	case "25006":
		return warehouse.KindReadOnly
	case "42P06", "42P07", "42710":
		return warehouse.KindExists
	case "42P01", "42703", "42883", "42704", "3F000", "3D000":
		return warehouse.KindNotFound
	case "XX001", "XX002":
		return warehouse.KindCorrupt
	case "23502", "23514":
		return warehouse.KindData
	}
	switch {
	case strings.HasPrefix(code, "08"), strings.HasPrefix(code, "57P"):
		return warehouse.KindUnavailable
	case strings.HasPrefix(code, "28"):
		return warehouse.KindAuth
	case strings.HasPrefix(code, "22"):
		return warehouse.KindData
	}
	return warehouse.KindOther
}

func hintOf(code string) string {
	switch code {
	case "55P03":
		return "another session holds a lock on the table: try again, or end the session that pg_stat_activity shows"
	case "25006":
		return "the server takes no writes (a standby?): use the address of the primary"
	case "53300":
		return "the server has no connection left: raise its max_connections, or run with fewer threads"
	case "53100":
		return "free space on the disk of the server, then run again"
	case "42501":
		return "grant the user of the warehouse the right that the message names"
	}
	return ""
}

// wrap makes a *warehouse.Error of what a statement returned. A cancelled ctx is
// told by its cause.
func (d *Driver) wrap(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var known *warehouse.Error
	if errors.As(err, &known) {
		return err
	}
	out := &warehouse.Error{Err: err}
	var pg *pgconn.PgError
	var value *pgcopy.ValueError
	var network net.Error
	switch {
	case errors.As(err, &pg):
		out.Kind, out.Hint = kindOf(pg.Code), hintOf(pg.Code)
		out.Position = int(pg.Position)
		out.Err = detailed(err, pg)
	case errors.As(err, &value):
		out.Kind = warehouse.KindData
	case ctx.Err() != nil:
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, pgconn.ErrConnClosed),
		errors.Is(err, net.ErrClosed), errors.As(err, &network):
		out.Kind = warehouse.KindUnavailable
		out.Err = fmt.Errorf("connection to PostgreSQL at %s lost: %w", d.address(), err)
		out.Hint = "see that the server is up, then run again: what was not published is read again"
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(out.Err, cause) {
		out.Err = fmt.Errorf("%w: %w", cause, out.Err)
	}
	return d.finish(out)
}

// wrapAt is wrap for a statement: it says where in q the server stopped.
func (d *Driver) wrapAt(ctx context.Context, err error, q string) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Position > 0 {
		line, column := place(q, int(pg.Position))
		err = fmt.Errorf("%w at line %d, column %d", err, line, column)
	}
	return d.wrap(ctx, err)
}

// place turns the server's position, in characters counted from 1, into a line
// and a column.
func place(q string, position int) (line, column int) {
	line, column = 1, 1
	for _, c := range q {
		if position--; position == 0 {
			break
		}
		column++
		if c == '\n' {
			line, column = line+1, 1
		}
	}
	return line, column
}

// finish removes secrets and says which kinds may go away by themselves.
func (d *Driver) finish(e *warehouse.Error) error {
	e.Err = d.scrub.Clean(e.Err)
	if e.Kind == warehouse.KindConflict || e.Kind == warehouse.KindUnavailable {
		e.Err = retry.AsTransient(e.Err)
	}
	return e
}

// detailed adds what the server says beside the message.
func detailed(err error, pg *pgconn.PgError) error {
	for _, more := range []string{pg.Detail, pg.Hint, firstLine(pg.Where)} {
		if more != "" {
			err = fmt.Errorf("%w: %s", err, more)
		}
	}
	return err
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// connectError says in one line why there is no connection, and what to do about
// it. The driver lists every address that it tried, twice where it tries with and
// without TLS; the last cause is what counts.
func (d *Driver) connectError(ctx context.Context, err error) error {
	cause := innermost(err)
	out := &warehouse.Error{Kind: warehouse.KindUnavailable, Err: fmt.Errorf("connect to PostgreSQL at %s: %w", d.address(), cause)}
	var pg *pgconn.PgError
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var network net.Error
	var silence *pgwatch.SilenceError
	switch {
	case ctx.Err() != nil: // also by a lock that was lost, which may pass
		out.Kind = warehouse.KindOf(context.Cause(ctx))
		out.Err = fmt.Errorf("connect to PostgreSQL at %s: %w", d.address(), context.Cause(ctx))
	case errors.As(err, &pg):
		out.Kind, out.Hint = kindOf(pg.Code), d.connectHint(pg.Code)
		out.Err = fmt.Errorf("connect to PostgreSQL at %s: %w", d.address(), detailed(&serverError{pg}, pg))
	case errors.As(err, &silence):
		out.Hint = "it greets, and then something on the way swallows what is said: check firewalls and poolers"
	case errors.As(err, &dns):
		out.Err = fmt.Errorf("connect to PostgreSQL at %s: no such host", d.address())
		out.Hint = fmt.Sprintf("check the host name %q in the warehouse's URL", d.config.Host)
	case errors.As(err, &certificate):
		out.Hint = "name the certificate of the server's authority in the warehouse's URL, sslrootcert=PATH, or correct the host name"
	case errors.Is(err, context.DeadlineExceeded):
		out.Err = fmt.Errorf("connect to PostgreSQL at %s: no answer within %s", d.address(), d.config.ConnectTimeout)
		out.Hint = "check host and port in the warehouse's URL, and the firewalls on the way"
	case errors.As(err, &network), d.config.TLSConfig == nil:
		out.Hint = fmt.Sprintf("no PostgreSQL answers at %s: start it, or correct host and port in the warehouse's URL", d.address())
	default: // it answered, and not as TLS begins
		out.Hint = "the URL asks for TLS: switch ssl on in the server, or put sslmode=disable into the URL where the network is safe"
	}
	return d.finish(out)
}

// connectHint is what to do when the server refuses a connection.
func (d *Driver) connectHint(code string) string {
	switch {
	case code == "28P01":
		return fmt.Sprintf("wrong password for user %q: correct the one in the warehouse's URL", d.config.User)
	case kindOf(code) == warehouse.KindAuth:
		return fmt.Sprintf("the server does not let user %q in from here: check the user, and pg_hba.conf", d.config.User)
	case code == "3D000":
		return fmt.Sprintf("make the database first: createdb %s", d.config.Database)
	case code == "22023":
		return "check the time zone of the project: it must be an IANA name that the server knows, such as Europe/Berlin"
	case code == "57P03":
		return "the server is starting or stopping: run again in a moment"
	}
	return hintOf(code)
}

// serverError is what the server says, without its severity and code.
type serverError struct{ *pgconn.PgError }

func (e *serverError) Error() string { return e.Message }

func (e *serverError) Unwrap() error { return e.PgError }

// innermost follows err to its cause; of several it takes the last.
func innermost(err error) error {
	for {
		var next error
		switch e := err.(type) { //nolint:errorlint // walks the chain itself
		case interface{ Unwrap() error }:
			next = e.Unwrap()
		case interface{ Unwrap() []error }:
			if all := e.Unwrap(); len(all) > 0 {
				next = all[len(all)-1]
			}
		}
		if next == nil {
			return err
		}
		err = next
	}
}

// parseError tells that the address is unusable without repeating it: what does
// not parse cannot be masked with certainty.
func parseError(url secret.String) error {
	text := "the address of the warehouse is no PostgreSQL URL"
	if u, err := neturl.Parse(url.Reveal()); err == nil && u.Host != "" {
		text += fmt.Sprintf(" (host %s)", u.Host)
	}
	return &warehouse.Error{
		Err:  errors.New(text),
		Hint: "expected postgres://USER:PASSWORD@HOST:5432/DATABASE, with special characters of the password as %XX",
	}
}
