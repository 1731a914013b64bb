package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"elt/internal/retry"
)

const (
	// closeTimeout bounds the good-bye to a server that may be gone.
	closeTimeout = 5 * time.Second
	// connectTimeout holds where the url has no connect_timeout: a host that
	// drops what it is sent would be waited for as long as the system does.
	connectTimeout = 15 * time.Second
)

func (s *source) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, s.config.Copy())
	if err != nil {
		return nil, s.connectError(ctx, err)
	}
	return conn, nil
}

// disconnect ends conn and waits until nothing of it runs.
func (s *source) disconnect(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	raw := conn.PgConn()
	err := conn.Close(ctx)
	select {
	case <-raw.CleanupDone():
	case <-ctx.Done():
	}
	if err != nil && !raw.IsClosed() {
		return fmt.Errorf("disconnect from %s: %w", s.server(), s.scrub.Clean(err))
	}
	return nil
}

func (s *source) address() string { return fmt.Sprintf("%s:%d", s.config.Host, s.config.Port) }

// server names the other side in errors, with the place in the project that
// leads there.
func (s *source) server() string {
	at := "PostgreSQL at " + s.address()
	if s.place != "" {
		return "connection " + s.place + ": " + at
	}
	return at
}

// unconnected is why there is no connection: one line that says what to do,
// whatever the driver tried and told. Its chain is the driver's.
type unconnected struct {
	text  string
	cause error
}

func (e *unconnected) Error() string { return e.text }

func (e *unconnected) Unwrap() error { return e.cause }

// connectError says why there is no connection, and what to do about it.
func (s *source) connectError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%s: connect: %w", s.server(), cause)
	}
	what, expected := s.refusal(err)
	text := s.scrub.Text(fmt.Sprintf("%s: %s; expected %s, then try it with: elt doctor", s.server(), what, expected))
	out := &unconnected{text: text}
	// The driver's error holds its configuration, with the password: only what
	// the server said goes along.
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		out.cause = s.scrub.Clean(pg)
		if !transient(pg.Code) {
			return out
		}
	}
	return retry.AsTransient(out)
}

// refusal is what went wrong, and what was expected with how to bring it about.
func (s *source) refusal(err error) (what, expected string) {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return s.denial(pg)
	}
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return fmt.Sprintf("there is no host %q", s.config.Host), "the name of a host that this machine can find: mend the host in url"
	case errors.As(err, &name):
		return fmt.Sprintf("the host %q could not be looked up", s.config.Host), "a name server that answers: check the network"
	case errors.As(err, &certificate):
		return fmt.Sprintf("its certificate is not trusted (%v)", certificate.Err), "one that the system, or sslrootcert in url, vouches for"
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
		return "nothing listens there", "a server: start it, or mend host and port in url"
	case pgconn.Timeout(err):
		return fmt.Sprintf("no answer within %v", s.config.ConnectTimeout), "a server that this machine can reach: check host and port in url, firewall and VPN, or raise connect_timeout in url"
	}
	// What else there is has no type. The driver tells a line for each address
	// that it tried; the last one is of the last resort.
	text := strings.TrimSpace(err.Error())
	text = strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
	return text, "a PostgreSQL server: check host, port and sslmode in url"
}

// denial is what a server says that lets nobody in.
func (s *source) denial(pg *pgconn.PgError) (what, expected string) {
	what = fmt.Sprintf("%s (SQLSTATE %s)", pg.Message, pg.Code)
	switch pg.Code {
	case "28P01":
		return what, fmt.Sprintf("the password of user %q: mend it in url", s.config.User)
	case "28000":
		return what, fmt.Sprintf("a server that lets user %q in from here: mend the user in url, or pg_hba.conf on the server", s.config.User)
	case "3D000":
		return what, "a database that exists: mend it in url"
	case "53300":
		return what, "a free connection: end others, raise max_connections, or say parts: 1"
	}
	return what, "a server that takes connections: see its log"
}
