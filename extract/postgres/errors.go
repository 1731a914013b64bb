package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	neturl "net/url"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"elt/internal/retry"
	"elt/internal/secret"
	"elt/internal/yamlx"
)

// wrap adds what the server says beside its message, and marks what may go away
// by itself: a lost connection, a server that restarts, a conflict.
func (s *source) wrap(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		if errors.Is(err, cause) {
			return s.scrub.Clean(err)
		}
		return fmt.Errorf("%w: %w", cause, s.scrub.Clean(err))
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		for _, more := range []string{pg.Detail, pg.Hint} {
			if more != "" {
				err = fmt.Errorf("%w: %s", err, more)
			}
		}
		if lost(pg.Code) {
			err = fmt.Errorf("%s: the connection was lost: %w; the read has to begin anew: run again", s.server(), err)
		}
		err = s.scrub.Clean(err)
		if transient(pg.Code) {
			return retry.AsTransient(err)
		}
		return err
	}
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return retry.AsTransient(s.scrub.Clean(fmt.Errorf("%s: the connection was lost: %w; the read has to begin anew: run again", s.server(), err)))
	}
	return s.scrub.Clean(err)
}

// transient sorts SQLSTATEs: connection, shutdown, too many connections, conflict.
func transient(code string) bool {
	switch code {
	case "40001", "40P01", "53300", "55P03":
		return true
	}
	return lost(code)
}

// lost tells SQLSTATEs after which there is no connection.
func lost(code string) bool { return strings.HasPrefix(code, "08") || strings.HasPrefix(code, "57P") }

// parseError does not repeat the address: what does not parse cannot be masked
// with certainty.
func (s *source) parseError(url secret.String) error {
	where, who := "", "the connection"
	if s.place != "" {
		who = "connection " + s.place
	}
	if u, err := neturl.Parse(url.Reveal()); err == nil && u.Host != "" {
		where = fmt.Sprintf(" (host %s)", u.Hostname())
	}
	return fmt.Errorf("%s: its url%s is no PostgreSQL address: expected postgres://USER:PASSWORD@HOST:5432/DATABASE, with special characters of the password as %%XX", who, where)
}

// missing says that there is no such thing, and which name was meant.
func missing(what, name string, have []string) error {
	best := yamlx.Nearest(name[strings.LastIndexByte(name, '.')+1:], have)
	switch {
	case best != "":
		return fmt.Errorf("there is no %s %s: did you mean %s?", what, name, best)
	case len(have) == 0:
		return fmt.Errorf("there is no %s %s, nor any other: check the schema, and the rights of the user", what, name)
	}
	shown := have
	if len(shown) > 10 {
		shown = shown[:10]
	}
	return fmt.Errorf("there is no %s %s: there are %s", what, name, strings.Join(shown, ", "))
}
