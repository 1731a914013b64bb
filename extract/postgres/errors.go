package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"elt/internal/pgserver"
	"elt/internal/retry"
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
			return s.server.Clean(err)
		}
		return fmt.Errorf("%w: %w", cause, s.server.Clean(err))
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		for _, more := range []string{pg.Detail, pg.Hint} {
			if more != "" {
				err = fmt.Errorf("%w: %s", err, more)
			}
		}
		if pgserver.Lost(pg.Code) {
			err = fmt.Errorf("%s: the connection was lost: %w; the read has to begin anew: run again", s.server, err)
		}
		err = s.server.Clean(err)
		if pgserver.Transient(pg.Code) {
			return retry.AsTransient(err)
		}
		return err
	}
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, pgconn.ErrConnClosed) {
		return retry.AsTransient(s.server.Clean(fmt.Errorf("%s: the connection was lost: %w; the read has to begin anew: run again", s.server, err)))
	}
	return s.server.Clean(err)
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
