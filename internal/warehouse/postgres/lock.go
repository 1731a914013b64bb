package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"elt/internal/pgwatch"
	"elt/internal/warehouse"
)

// locks are the locks that are held, so that Close can end them.
type locks struct {
	mu   sync.Mutex
	held map[*pgconn.PgConn]func()
}

func (l *locks) add(conn *pgconn.PgConn, release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = map[*pgconn.PgConn]func(){}
	}
	l.held[conn] = release
}

func (l *locks) remove(conn *pgconn.PgConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, conn)
}

func (l *locks) releaseAll() {
	l.mu.Lock()
	held := l.held
	l.held = nil
	l.mu.Unlock()
	for _, release := range held {
		release()
	}
}

// lockKey is the key of an advisory lock; the seed keeps elt's apart from those
// that others make of the same name.
const lockKey = `hashtextextended($1, 7310579)`

// holder finds the session that has the lock. An advisory lock on a bigint shows
// its halves as classid and objid, and 1 as objsubid.
const holder = `SELECT a.pid::text, coalesce(nullif(a.application_name, ''), 'a session')
	|| ' of user ' || coalesce(a.usename, '?') || coalesce(' at ' || host(a.client_addr), '')
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
	AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
	AND (l.classid::bigint << 32) | l.objid::bigint = ` + lockKey

var errLockLost = errors.New("the connection that held the lock is lost")

// Lock implements [warehouse.Driver]: an advisory lock of a session of its own,
// which the server frees as soon as that connection is gone.
func (d *Driver) Lock(ctx context.Context, name string) (context.Context, func(), error) {
	conn, err := d.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	got, err := d.lookup(ctx, conn, "SELECT pg_try_advisory_lock("+lockKey+")::text", name)
	if err == nil && got[0] != "true" {
		err = d.lockedBy(ctx, conn, name)
	}
	if err != nil {
		discard(conn)
		return nil, nil, err
	}
	held, lost := context.WithCancelCause(ctx)
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for watch.Err() == nil {
			if err := d.listen(watch, conn); err != nil && watch.Err() == nil {
				lost(d.wrap(watch, fmt.Errorf("%w: %w", errLockLost, err)))
				return
			}
		}
	}()
	release := sync.OnceFunc(func() {
		stop()
		<-watched
		d.unlock(conn, name)
		lost(context.Canceled)
	})
	d.locks.add(conn, release)
	return held, release, nil
}

// listen waits for the end of conn, to which nothing else is sent, and at times
// asks whether the server still knows it: an end that got lost on the way must not
// leave two with one lock.
func (d *Driver) listen(ctx context.Context, conn *pgconn.PgConn) error {
	wait, cancel := context.WithTimeout(ctx, d.silence)
	defer cancel()
	resume := pgwatch.Idle(conn)
	err := conn.WaitForNotification(wait)
	resume()
	if err == nil || wait.Err() == nil || ctx.Err() != nil {
		return err
	}
	// The question ends before the lock is given back, which a cancelled one prevents.
	ask, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
	defer cancel()
	_, err = d.lookup(ask, conn, "SELECT 1::text")
	return err
}

// unlock waits for the server's word, so that the next who asks gets the lock.
func (d *Driver) unlock(conn *pgconn.PgConn, name string) {
	d.locks.remove(conn)
	if !conn.IsClosed() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		// An error means that the connection is lost, and the lock with it.
		_, _ = d.lookup(ctx, conn, "SELECT pg_advisory_unlock("+lockKey+")::text", name)
	}
	discard(conn)
}

func (d *Driver) lockedBy(ctx context.Context, conn *pgconn.PgConn, name string) error {
	locked := &warehouse.LockedError{Path: fmt.Sprintf("%s at PostgreSQL %s", name, d.address())}
	if got, err := d.lookup(ctx, conn, holder, name); err == nil && len(got) == 2 {
		locked.PID, _ = strconv.Atoi(got[0])
		locked.Command = got[1]
	}
	return &warehouse.Error{Kind: warehouse.KindLocked, Err: locked, Hint: "wait for it to end, then run again"}
}

// lookup returns the texts of the first row of a query, nil if it has none.
func (d *Driver) lookup(ctx context.Context, conn *pgconn.PgConn, q string, args ...any) ([]string, error) {
	values, formats, err := parameters(args)
	if err != nil {
		return nil, err
	}
	result := conn.ExecParams(ctx, q, values, nil, formats, nil).Read()
	if result.Err != nil {
		return nil, d.wrap(ctx, result.Err)
	}
	if len(result.Rows) == 0 {
		return nil, nil
	}
	var texts []string
	for _, value := range result.Rows[0] {
		texts = append(texts, string(value))
	}
	return texts, nil
}
