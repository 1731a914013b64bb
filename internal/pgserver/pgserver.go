// Package pgserver is a PostgreSQL server that a connection of a project leads
// to: its address, the way in, and what to tell when nobody is let in. The source
// and the destination of that type share it, so that they are one type.
package pgserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	neturl "net/url"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"elt/internal/pgwatch"
	"elt/internal/retry"
	"elt/internal/secret"
)

const (
	// closeTimeout bounds the good-bye to a server that may be gone.
	closeTimeout = 5 * time.Second
	// connectTimeout holds where the url has no connect_timeout: a host that
	// drops what it is sent would be waited for as long as the system does.
	connectTimeout = 15 * time.Second
)

// Connection are the keys of a connection.
type Connection struct {
	URL secret.String `yaml:"url" json:"url" jsonschema:"required,description=postgres://USER:PASSWORD@HOST:5432/DATABASE"`
}

// Way is the way in: that of a type which has more keys too.
func (c Connection) Way() Connection { return c }

// Leads is a connection to a server, whatever other keys its type has.
type Leads interface{ Way() Connection }

// Account is what a connection leads to, without who asks: host, port and
// database. It is "" where the address does not parse.
func (c Connection) Account() string {
	config, err := pgx.ParseConfig(c.URL.Reveal())
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s:%d/%s", config.Host, config.Port, config.Database)
}

// Server is where a connection leads. It is safe for concurrent use.
type Server struct {
	config *pgx.ConnConfig
	place  string // of the connection in the project
	scrub  secret.Scrubber
}

// New takes a connection apart. place is where the project names it, for errors;
// settings are set on every connection, beside those that make what goes over it
// independent of how server and role are set up.
func New(c Connection, place string, settings map[string]string) (*Server, error) {
	config, err := pgx.ParseConfig(c.URL.Reveal())
	if err != nil {
		return nil, parseError(c.URL, place)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	maps.Copy(config.RuntimeParams, map[string]string{
		"application_name": "elt", "client_encoding": "UTF8", "TimeZone": "UTC", "DateStyle": "ISO, YMD",
		"IntervalStyle": "postgres", "extra_float_digits": "3", "bytea_output": "hex",
		"standard_conforming_strings": "on", "statement_timeout": "0", "idle_in_transaction_session_timeout": "0",
	})
	maps.Copy(config.RuntimeParams, settings)
	pgwatch.Install(&config.Config)
	return &Server{config: config, place: place, scrub: secret.NewScrubber(c.URL.Reveal(), config.Password)}, nil
}

// User is who connects, Database where to.
func (s *Server) User() string { return s.config.User }

// Database is the database that the connection leads to.
func (s *Server) Database() string { return s.config.Database }

// String names the server in errors, with the place in the project that leads
// there.
func (s *Server) String() string {
	at := fmt.Sprintf("PostgreSQL at %s:%d", s.config.Host, s.config.Port)
	if s.place != "" {
		return "connection " + s.place + ": " + at
	}
	return at
}

// Clean masks what is secret in err.
func (s *Server) Clean(err error) error { return s.scrub.Clean(err) }

// Text masks what is secret in text.
func (s *Server) Text(text string) string { return s.scrub.Text(text) }

// Connect connects. An error is the cause of ctx, or an [Unconnected], which is
// transient where waiting may help.
func (s *Server) Connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, s.config.Copy())
	if err != nil {
		return nil, s.connectError(ctx, err)
	}
	return conn, nil
}

// Disconnect ends conn and waits until nothing of it runs.
func (s *Server) Disconnect(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	raw := conn.PgConn()
	err := conn.Close(ctx)
	select {
	case <-raw.CleanupDone():
	case <-ctx.Done():
	}
	if err != nil && !raw.IsClosed() {
		return fmt.Errorf("disconnect from %s: %w", s, s.scrub.Clean(err))
	}
	return nil
}

// connectError says why there is no connection, and what to do about it.
func (s *Server) connectError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%s: connect: %w", s, cause)
	}
	out := s.refusal(err)
	out.server, out.what, out.Expected = s.String(), s.scrub.Text(out.what), s.scrub.Text(out.Expected)
	// The driver's error holds its configuration, with the password: only what
	// the server said goes along.
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		out.cause = s.scrub.Clean(pg)
		if !Transient(pg.Code) {
			return out
		}
	}
	return retry.AsTransient(out)
}

// parseError does not repeat the address: what does not parse cannot be masked
// with certainty.
func parseError(url secret.String, place string) error {
	where, who := "", "the connection"
	if place != "" {
		who = "connection " + place
	}
	if u, err := neturl.Parse(url.Reveal()); err == nil && u.Host != "" {
		where = fmt.Sprintf(" (host %s)", u.Hostname())
	}
	return fmt.Errorf("%s: its url%s is no PostgreSQL address: expected postgres://USER:PASSWORD@HOST:5432/DATABASE, with special characters of the password as %%XX", who, where)
}
