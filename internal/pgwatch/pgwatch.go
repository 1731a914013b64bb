// Package pgwatch ends connections to PostgreSQL that wait for bytes which will
// never come. A statement may take hours, so no deadline can tell; the server can.
//
// Who has waited for a while without a byte in either direction asks the server,
// over a connection of its own, what the session is doing. While it works, there
// is nothing to do but wait. Where the server waits for the client as the client
// does for it, or knows no such session, or does not answer, something on the way
// has swallowed bytes: a firewall that forgot the connection, a pooler that hangs,
// a machine that is gone. TCP's own keepalive sees only the last of these. A new
// connection, which the server cannot be asked about yet, may be silent as long.
package pgwatch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// parameter is libpq's name, in milliseconds, for how long the network may be silent.
const parameter = "tcp_user_timeout"

// defaultSilence is how long nothing may come before the server is asked.
const defaultSilence = 30 * time.Second

// askTimeout bounds one question; a shorter connect_timeout does too.
const askTimeout = 15 * time.Second

// SilenceError is the error of a connection that was ended because nothing passed
// it any more. It implements [net.Error], so that it counts as a lost connection.
type SilenceError struct{ After time.Duration }

func (e *SilenceError) Error() string {
	return fmt.Sprintf("nothing came for %s, and the server does not work on it", e.After.Round(time.Millisecond))
}

// Timeout implements [net.Error]. It is false: the connection does not come back.
func (e *SilenceError) Timeout() bool { return false }

// Temporary implements [net.Error].
func (e *SilenceError) Temporary() bool { return false }

// Install makes every connection of config a watched one, with TCP keepalive. It
// takes tcp_user_timeout out of the parameters, which the server does not know,
// and returns how long nothing may come before the server is asked. What
// config.AfterConnect does is done after it.
func Install(config *pgconn.Config) (silence time.Duration) {
	silence = defaultSilence
	if ms, err := strconv.Atoi(config.RuntimeParams[parameter]); err == nil && ms > 0 {
		silence = time.Duration(ms) * time.Millisecond
	}
	delete(config.RuntimeParams, parameter)
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 6,
	}}
	plain := config.Copy()
	plain.AfterConnect = nil
	if plain.ConnectTimeout == 0 || plain.ConnectTimeout > askTimeout {
		plain.ConnectTimeout = askTimeout
	}
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &conn{Conn: c, silence: silence}, nil
	}
	after := config.AfterConnect
	config.AfterConnect = func(ctx context.Context, pg *pgconn.PgConn) error {
		if c := watched(pg); c != nil {
			s := session{config: plain, dialer: dialer, network: c.RemoteAddr().Network(), address: c.RemoteAddr().String()}
			c.greeting.Store(true)
			err := s.identify(ctx, pg)
			c.greeting.Store(false)
			if silence := c.ended.Load(); err != nil && silence != nil { // the driver tells only that it is closed
				return silence
			}
			if err != nil {
				return err
			}
			c.session.Store(&s)
		}
		if after == nil {
			return nil
		}
		return after(ctx, pg)
	}
	return silence
}

// watched is the connection below pg, nil where Install did not make it.
func watched(pg *pgconn.PgConn) *conn {
	below := pg.Conn()
	if t, ok := below.(*tls.Conn); ok {
		below = t.NetConn()
	}
	c, _ := below.(*conn)
	return c
}

// Idle says that the server has nothing to say until something happens there, as
// for who waits for a notification. It holds until resume is called.
func Idle(pg *pgconn.PgConn) (resume func()) {
	c := watched(pg)
	if c == nil {
		return func() {}
	}
	c.idle.Add(1)
	return func() { c.idle.Add(-1) }
}

// Source is r for pg's COPY FROM: while it waits for r, the server waits for it.
func Source(pg *pgconn.PgConn, r io.Reader) io.Reader { return &source{pg: pg, r: r} }

type source struct {
	pg *pgconn.PgConn
	r  io.Reader
}

func (s *source) Read(b []byte) (int, error) {
	defer Idle(s.pg)()
	return s.r.Read(b)
}

// session is what the server calls a connection.
type session struct {
	config           *pgconn.Config
	dialer           *net.Dialer
	network, address string // where it leads: of several hosts the same one is asked
	pid, began       string
	server           string // tells those behind one address apart
}

// serverStarted is the identity of a server.
const serverStarted = "extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text"

func (s *session) identify(ctx context.Context, pg *pgconn.PgConn) error {
	row, err := first(ctx, pg, "SELECT pid::text, coalesce(extract(epoch FROM backend_start)::text, ''), "+serverStarted+
		" FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid()")
	if err == nil && len(row) == 3 {
		s.pid, s.began, s.server = row[0], row[1], row[2]
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) { // what only resembles PostgreSQL is not asked later
		return nil
	}
	return err
}

// waiting is true of a session that waits for its client.
const waiting = "(a.state IN ('idle', 'idle in transaction', 'idle in transaction (aborted)') OR a.wait_event_type = 'Client')"

// waits asks the server whether the session waits for its client, or is gone.
// What it cannot tell is no: a server without a free connection lives. With end it
// ends a session that waits, which would keep its locks, and who asks what became
// of its transaction, waiting until the server itself finds out.
func (s *session) waits(ctx context.Context, end bool) bool {
	ctx, cancel := context.WithTimeout(ctx, s.config.ConnectTimeout)
	defer cancel()
	config := s.config.Copy()
	config.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return s.dialer.DialContext(ctx, s.network, s.address)
	}
	pg, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return unreachable(err)
	}
	defer func() { _ = pg.Close(ctx) }()
	self := " pg_catalog.pg_stat_activity a WHERE a.pid = " + s.pid + " AND extract(epoch FROM a.backend_start)::text = '" + s.began + "'"
	row, err := first(ctx, pg, "SELECT "+serverStarted+", count(*)::text, coalesce(bool_or("+waiting+"), false)::text FROM"+self)
	switch {
	case err != nil:
		return unreachable(err)
	case s.pid == "" || s.began == "" || len(row) < 3 || row[0] != s.server: // another server answers at this address
		return false
	}
	if end && row[2] == "true" { // an error leaves it to the server
		_, _ = first(ctx, pg, "SELECT pg_catalog.pg_terminate_backend(a.pid) FROM"+self+" AND "+waiting)
	}
	return row[1] == "0" || row[2] == "true"
}

// unreachable reports whether nothing answers: a server that refuses, or that
// could not be asked for its certificate, is there.
func unreachable(err error) bool {
	var pg *pgconn.PgError
	var certificate *tls.CertificateVerificationError
	var host x509.HostnameError
	if errors.As(err, &pg) {
		return pg.Code == "57P03" || pg.Code == "57P01" // it starts or stops: the session is gone
	}
	return !errors.As(err, &certificate) && !errors.As(err, &host)
}

// first is the first row of a query without parameters.
func first(ctx context.Context, pg *pgconn.PgConn, q string) ([]string, error) {
	results, err := pg.Exec(ctx, q).ReadAll()
	if err != nil || len(results) == 0 || len(results[0].Rows) == 0 {
		return nil, err
	}
	var row []string
	for _, value := range results[0].Rows[0] {
		row = append(row, string(value))
	}
	return row, nil
}

// conn is a connection whose calls end when nothing more will come.
type conn struct {
	net.Conn
	silence time.Duration
	session atomic.Pointer[session] // nil until it is known
	// greeting says that the server is asked which session it is, which needs no time:
	// connect_timeout has ended, and nobody else can be asked yet.
	greeting atomic.Bool
	idle     atomic.Int64                 // over 0: it may be silent
	moved    atomic.Int64                 // bytes, in both directions
	ended    atomic.Pointer[SilenceError] // why it was ended, if it was
}

// waits reports whether nothing more will come, as far as can be told.
func (c *conn) waits(ctx context.Context, end bool) bool {
	if c.idle.Load() > 0 {
		return false
	}
	if s := c.session.Load(); s != nil {
		return s.waits(ctx, end)
	}
	return c.greeting.Load()
}

// Read implements [net.Conn].
func (c *conn) Read(b []byte) (int, error) {
	w := c.watch()
	n, err := c.Conn.Read(b)
	return w.end(n, err)
}

// Write implements [net.Conn].
func (c *conn) Write(b []byte) (int, error) {
	w := c.watch()
	n, err := c.Conn.Write(b)
	return w.end(n, err)
}

// watch is over one call of a conn.
type watch struct {
	conn   *conn
	ctx    context.Context // of the one call
	cancel context.CancelFunc
	timer  *time.Timer
	done   chan struct{} // closed when run has ended
}

func (c *conn) watch() *watch {
	w := &watch{conn: c, done: make(chan struct{})}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.timer = time.AfterFunc(c.silence, w.run)
	return w
}

// end returns what the call returned, once nothing of the watch runs any more.
func (w *watch) end(n int, err error) (int, error) {
	w.conn.moved.Add(int64(n))
	w.cancel()
	if !w.timer.Stop() {
		<-w.done
		if silence := w.conn.ended.Load(); silence != nil && err != nil {
			err = silence
		}
	}
	return n, err
}

// run ends the connection when twice in a row nothing has moved and the server
// does not work: an answer may have been on its way while it was asked.
func (w *watch) run() {
	defer close(w.done)
	c, began := w.conn, time.Now().Add(-w.conn.silence)
	for waits, moved := 0, c.moved.Load(); ; {
		if c.waits(w.ctx, waits == 1) {
			waits++
		} else {
			waits = 0
		}
		if now := c.moved.Load(); now != moved || c.idle.Load() > 0 {
			waits, moved, began = 0, now, time.Now()
		}
		if w.ctx.Err() != nil {
			return
		}
		if waits == 2 {
			c.ended.Store(&SilenceError{After: time.Since(began)})
			_ = c.Conn.Close()
			return
		}
		select {
		case <-w.ctx.Done():
			return
		case <-time.After(c.silence):
		}
	}
}
