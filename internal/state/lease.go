package state

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"elt/internal/retry"
	"elt/internal/warehouse"
)

// Hold takes the lease on run id until the returned func is called. It is how
// other machines tell a run that lives from one whose machine is gone for good: on
// PostgreSQL the lease ends with its connection. A lease that is lost with its
// connection is taken again while the run goes on. On DuckDB there is none: who has
// the file is the only one that runs.
func (s *Store) Hold(ctx context.Context, id string) (release func(), err error) {
	if s.alone() {
		return func() {}, nil
	}
	// The lease outlives ctx: a run that is cancelled still records its end.
	leased, end := context.WithCancelCause(context.WithoutCancel(ctx))
	uncancelled := context.AfterFunc(ctx, func() { end(context.Cause(ctx)) })
	lost, free, err := s.db.Lock(leased, s.lease(id))
	if err == nil && !uncancelled() {
		free()
		err = context.Cause(ctx)
	}
	if err != nil {
		end(nil)
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lost != nil {
			<-lost.Done()
			free()
			lost, free = s.holdAgain(leased, id)
		}
	}()
	return sync.OnceFunc(func() { end(nil); <-ended }), nil
}

// holdAgain tries until it has the lease or ctx ends; then it returns nil.
func (s *Store) holdAgain(ctx context.Context, id string) (lost context.Context, free func()) {
	backoff := retry.Backoff{Base: 100 * time.Millisecond, Max: 5 * time.Second}
	for try := 1; ctx.Err() == nil; try++ {
		lost, free, err := s.db.Lock(ctx, s.lease(id))
		if err == nil {
			return lost, free
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff.Wait(try, 0)):
		}
	}
	return nil, nil
}

// lease is the name of the lock that a run has while it lives.
func (s *Store) lease(id string) string { return "elt run:" + s.project + ":" + s.target + ":" + id }

// alone reports whether this process is the only one that uses the warehouse.
func (s *Store) alone() bool { return s.db.Dialect().Name == "duckdb" }

// lives reports whether a run of another session is still on.
func (s *Store) lives(ctx context.Context, r Run) (bool, error) {
	if s.alone() {
		return false, nil
	}
	// The server may hear of the end of a process of this machine later than we do.
	// Two machines may have one name, though, so that a lease that is held counts
	// whatever this machine knows.
	tries := 1
	if isGone(r) {
		tries = 8
	}
	backoff := retry.Backoff{Base: 20 * time.Millisecond, Max: 500 * time.Millisecond}
	for try := 1; ; try++ {
		_, free, err := s.db.Lock(ctx, s.lease(r.ID))
		if err == nil {
			free()
			// A version before leases takes none: a run of this machine whose process
			// is there is left alone.
			return r.Host == hostname() && !isGone(r), nil
		}
		if warehouse.KindOf(err) != warehouse.KindLocked {
			return false, err
		}
		if try == tries {
			return true, nil
		}
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-time.After(backoff.Wait(try, 0)):
		}
	}
}

// isGone reports whether the process of a run of this machine has ended. A pid
// that is ours belongs to another session, hence to a process before this one.
func isGone(r Run) bool {
	if r.Host != hostname() {
		return false
	}
	if r.PID == os.Getpid() {
		return true
	}
	p, err := os.FindProcess(r.PID)
	if err != nil {
		return true
	}
	err = p.Signal(syscall.Signal(0))
	return errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH)
}
