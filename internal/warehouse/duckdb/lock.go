package duckdb

import (
	"context"
	"os"
	"sync"

	"elt/internal/warehouse"
)

// namedLocks are the locks of the one process that owns the file.
type namedLocks struct {
	path string
	mu   sync.Mutex
	held map[string]bool
}

// Lock implements [warehouse.Driver]: one process owns the file, so a lock among
// its goroutines is enough, and it is never lost.
func (d *Driver) Lock(ctx context.Context, name string) (context.Context, func(), error) {
	return d.locks.lock(ctx, name)
}

func (l *namedLocks) lock(ctx context.Context, name string) (context.Context, func(), error) {
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[name] {
		return nil, nil, &warehouse.Error{
			Kind: warehouse.KindLocked,
			Err:  &warehouse.LockedError{Path: name + " at " + l.path, PID: os.Getpid(), Command: "another step of this process"},
			Hint: "wait for it to end, then run again",
		}
	}
	if l.held == nil {
		l.held = map[string]bool{}
	}
	l.held[name] = true
	held, cancel := context.WithCancel(ctx)
	return held, sync.OnceFunc(func() {
		l.mu.Lock()
		delete(l.held, name)
		l.mu.Unlock()
		cancel()
	}), nil
}
