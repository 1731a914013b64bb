// Package postgres is the warehouse driver for PostgreSQL.
package postgres

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"elt/internal/pgwatch"
	"elt/internal/secret"
	"elt/internal/warehouse"
)

// Options of a connection. Zero fields have sensible values.
type Options struct {
	TimeZone    string        // of the session: an IANA name; "": UTC
	MaxConns    int           // transactions at a time; 0: 8
	LockTimeout time.Duration // how long a statement waits for a lock; 0: 2s
}

const (
	defaultConns       = 8
	defaultLockTimeout = 2 * time.Second
	connectTimeout     = 15 * time.Second
	idleInTransaction  = 10 * time.Minute
	closeTimeout       = 5 * time.Second
)

// Driver implements [warehouse.Driver].
type Driver struct {
	config  *pgconn.Config
	scrub   secret.Scrubber
	dialect *warehouse.Dialect
	slots   chan struct{} // one for each open transaction
	silence time.Duration // after which a connection that only listens is tried

	mu     sync.Mutex
	idle   []*pgconn.PgConn
	closed bool

	locks locks
}

// Open connects to the server at url, a postgres:// URL or a libpq connection
// string, so that what is wrong with either is told now.
func Open(ctx context.Context, url secret.String, o Options) (*Driver, error) {
	config, err := pgconn.ParseConfig(url.Reveal())
	if err != nil {
		return nil, parseError(url)
	}
	if o.MaxConns == 0 {
		o.MaxConns = defaultConns
	}
	d := &Driver{
		config:  config,
		scrub:   secret.NewScrubber(url.Reveal(), config.Password),
		dialect: newDialect(),
		slots:   make(chan struct{}, o.MaxConns),
	}
	d.silence = prepare(config, o)
	conn, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	d.idle = append(d.idle, conn)
	return d, nil
}

// prepare sets what every connection has in common. Settings that change the
// text of values are fixed, so that hashes over them are.
func prepare(config *pgconn.Config, o Options) (silence time.Duration) {
	if o.TimeZone == "" {
		o.TimeZone = "UTC"
	}
	if o.LockTimeout == 0 {
		o.LockTimeout = defaultLockTimeout
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "elt"
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	settings := setting("TimeZone", o.TimeZone) +
		setting("lock_timeout", milliseconds(o.LockTimeout)) +
		setting("idle_in_transaction_session_timeout", milliseconds(idleInTransaction)) +
		setting("client_encoding", "UTF8") +
		setting("DateStyle", "ISO, YMD") +
		setting("IntervalStyle", "postgres") +
		setting("bytea_output", "hex") +
		setting("extra_float_digits", "1") +
		setting("standard_conforming_strings", "on") +
		setting("tcp_keepalives_idle", "30") + // a machine that vanished frees its locks
		setting("tcp_keepalives_interval", "10") +
		setting("tcp_keepalives_count", "3")
	config.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		_, err := conn.Exec(ctx, settings).ReadAll()
		return err
	}
	return pgwatch.Install(config)
}

func setting(name, value string) string {
	return "SET " + name + " = " + warehouse.Literal(value) + ";"
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// Dialect implements [warehouse.Driver].
func (d *Driver) Dialect() *warehouse.Dialect { return d.dialect }

// Close implements [warehouse.Driver]. It ends the locks too. A transaction that
// is still open ends its connection when it ends.
func (d *Driver) Close() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.locks.releaseAll()
	d.dropIdle()
	return nil
}

func (d *Driver) connect(ctx context.Context) (*pgconn.PgConn, error) {
	conn, err := pgconn.ConnectConfig(ctx, d.config)
	if err != nil {
		return nil, d.connectError(ctx, err)
	}
	return conn, nil
}

var errClosed = errors.New("the warehouse is closed")

// begin runs the statement that starts a transaction, on an idle connection if
// one is still good, else on a new one. Nothing can have happened in a
// transaction that did not start, so trying the next connection is safe.
func (d *Driver) begin(ctx context.Context, statement string) (*pgconn.PgConn, error) {
	for {
		conn, err := d.takeIdle()
		if err != nil {
			return nil, err
		}
		fresh := conn == nil
		if fresh {
			if conn, err = d.connect(ctx); err != nil {
				return nil, err
			}
		}
		_, err = conn.Exec(ctx, statement).ReadAll()
		if err == nil {
			return conn, nil
		}
		err = d.wrap(ctx, err)
		discard(conn)
		if fresh || ctx.Err() != nil || warehouse.KindOf(err) != warehouse.KindUnavailable {
			return nil, err
		}
		d.dropIdle()
	}
}

// dropIdle lets go of all idle connections: where one is dead the others are, and
// to find out costs a while for each where nobody says so.
func (d *Driver) dropIdle() {
	d.mu.Lock()
	idle := d.idle
	d.idle = nil
	d.mu.Unlock()
	var wg sync.WaitGroup
	for _, conn := range idle {
		wg.Go(func() { discard(conn) })
	}
	wg.Wait()
}

func (d *Driver) takeIdle() (*pgconn.PgConn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, &warehouse.Error{Err: errClosed}
	}
	if len(d.idle) == 0 {
		return nil, nil
	}
	conn := d.idle[len(d.idle)-1]
	d.idle = d.idle[:len(d.idle)-1]
	return conn, nil
}

// put gives conn back; it is kept if it is outside a transaction.
func (d *Driver) put(conn *pgconn.PgConn) {
	const idle = 'I'
	d.mu.Lock()
	keep := !d.closed && !conn.IsClosed() && !conn.IsBusy() && conn.TxStatus() == idle
	if keep {
		d.idle = append(d.idle, conn)
	}
	d.mu.Unlock()
	if !keep {
		discard(conn)
	}
}

// discard closes conn and waits, within a bound, until nothing of it is left.
func discard(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = conn.Close(ctx)
	select {
	case <-conn.CleanupDone():
	case <-ctx.Done():
	}
}

// address is where the server is, for errors.
func (d *Driver) address() string {
	if strings.HasPrefix(d.config.Host, "/") {
		return d.config.Host
	}
	return net.JoinHostPort(d.config.Host, strconv.Itoa(int(d.config.Port)))
}
