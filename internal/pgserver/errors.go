package pgserver

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"elt/internal/pgwatch"
)

// The codes of an [Unconnected] that no server gave.
const (
	NoHost         = "no_host"         // its name is nobody's
	BadCertificate = "bad_certificate" // expired, or nobody vouches for it
	NoServer       = "no_server"       // nobody listens, answers, or speaks the protocol
)

// Unconnected is why there is no connection: one line that says what to do,
// whatever the driver tried and told.
type Unconnected struct {
	Code     string // a SQLSTATE, or one of those above
	Expected string // and how to bring it about

	server string
	what   string
	cause  error // what the server said
}

func (e *Unconnected) Error() string {
	return fmt.Sprintf("%s: %s; expected %s, then try it with: elt doctor", e.server, e.what, e.Expected)
}

func (e *Unconnected) Unwrap() error { return e.cause }

// refusal is what went wrong, and what was expected with how to bring it about.
func (s *Server) refusal(err error) *Unconnected {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return s.denial(pg)
	}
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	var silence *pgwatch.SilenceError
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return &Unconnected{Code: NoHost, what: fmt.Sprintf("there is no host %q", s.config.Host),
			Expected: "the name of a host that this machine can find: mend the host in url"}
	case errors.As(err, &name):
		return &Unconnected{Code: NoServer, what: fmt.Sprintf("the host %q could not be looked up", s.config.Host),
			Expected: "a name server that answers: check the network"}
	case errors.As(err, &certificate):
		return &Unconnected{Code: BadCertificate, what: fmt.Sprintf("its certificate is not trusted (%v)", certificate.Err),
			Expected: "one that the system, or sslrootcert in url, vouches for"}
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
		return &Unconnected{Code: NoServer, what: "nothing listens there", Expected: "a server: start it, or mend host and port in url"}
	case errors.As(err, &silence):
		return &Unconnected{Code: NoServer, what: fmt.Sprintf("after the greeting nothing came for %v", silence.After.Round(time.Millisecond)),
			Expected: "a way to the server that passes all on: check firewalls and poolers"}
	case pgconn.Timeout(err):
		return &Unconnected{Code: NoServer, what: fmt.Sprintf("no answer within %v", s.config.ConnectTimeout),
			Expected: "a server that this machine can reach: check host and port in url, firewall and VPN, or raise connect_timeout in url"}
	}
	// What else there is has no type. The driver tells a line for each address
	// that it tried; the last one is of the last resort.
	text := strings.TrimSpace(err.Error())
	text = strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
	return &Unconnected{Code: NoServer, what: text, Expected: "a PostgreSQL server: check host, port and sslmode in url"}
}

// denial is what a server says that lets nobody in.
func (s *Server) denial(pg *pgconn.PgError) *Unconnected {
	out := &Unconnected{Code: pg.Code, what: fmt.Sprintf("%s (SQLSTATE %s)", pg.Message, pg.Code)}
	switch pg.Code {
	case "28P01":
		out.Expected = fmt.Sprintf("the password of user %q: mend it in url", s.config.User)
	case "28000":
		out.Expected = fmt.Sprintf("a server that lets user %q in from here: mend the user in url, or pg_hba.conf on the server", s.config.User)
	case "3D000":
		out.Expected = "a database that exists: mend it in url"
	case "53300":
		out.Expected = "a free connection: end others, raise max_connections, or say parts: 1 of a stream"
	default:
		out.Expected = "a server that takes connections: see its log"
	}
	return out
}

// Transient sorts SQLSTATEs: connection, shutdown, too many connections, conflict.
func Transient(code string) bool {
	switch code {
	case "40001", "40P01", "53300", "55P03":
		return true
	}
	return Lost(code)
}

// Lost tells SQLSTATEs after which there is no connection.
func Lost(code string) bool { return strings.HasPrefix(code, "08") || strings.HasPrefix(code, "57P") }
