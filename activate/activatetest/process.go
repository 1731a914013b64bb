package activatetest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"elt/activate"
	"elt/internal/fault"
	"elt/internal/state"
	"elt/internal/warehouse"
	"elt/internal/warehouse/duckdb"
	"elt/internal/warehouse/warehousetest"
)

// Moment is a kind of moments in the life of a process.
type Moment int

// The moments.
const (
	BeforeCall  Moment = iota // of the warehouse, whatever it is; but for a rollback
	AfterCommit               // the warehouse has done it
	AtBegin                   // before a transaction
	BeforePush                // before a call of the destination
	AfterPush                 // it has answered
)

// Mishap is what happens to a process, once.
type Mishap struct {
	Where Moment
	At    int // the moment of that kind, counted from 1
	// Do happens there. An error is what the warehouse answers; a panic with Crash
	// is the end of the process. At BeforePush a [ErrLate] is no error.
	Do func() error
}

// ErrLate means that a call has left before its process lost its lock, and that it
// arrives now.
var ErrLate = errors.New("on its way already")

// ErrLost is why a lock ends that its process has lost.
var ErrLost = errors.New("the lock was lost")

// Process is one of the processes that share a warehouse. It is what its driver
// is called through, so that it can die, or be refused, at any call, and lose its
// locks as one does whose connection is gone. Nothing that a dead one does reaches
// the warehouse or a destination.
type Process struct {
	DB    *warehouse.DB
	Store *state.Store

	driver warehouse.Driver
	calls  sync.RWMutex // held for reading during calls of a destination

	mu     sync.Mutex
	mishap *Mishap // nil: none
	came   int     // moments of its kind so far
	fired  bool    // it has happened
	dead   bool
	locks  map[*lock]struct{}
}

type lock struct {
	lose    context.CancelCauseFunc
	release func()
}

// NewProcess is a process that shares the warehouse of a driver with others. The
// driver is the caller's to close.
func NewProcess(t testing.TB, d warehouse.Driver) *Process {
	t.Helper()
	p := &Process{locks: map[*lock]struct{}{}}
	p.driver = fault.Driver(d, p.hook)
	var err error
	if p.DB, err = warehouse.Open(context.Background(), locking{p.driver, p}); err != nil {
		t.Fatal(err)
	}
	if p.Store, err = state.Open(context.Background(), p.DB, "shop", "dev"); err != nil {
		t.Fatal(err)
	}
	return p
}

// Start makes m happen in what the process does from now on; nil: nothing. Had it
// died, it is another one now.
func (p *Process) Start(m *Mishap) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mishap, p.came, p.fired, p.dead = m, 0, false, false
}

// Fired reports whether the mishap has happened.
func (p *Process) Fired() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fired
}

// Kill ends the process: it panics with Crash.
func (p *Process) Kill() error {
	p.mu.Lock()
	p.dead = true
	p.mu.Unlock()
	panic(Crash{})
}

// LoseLocks takes away all locks of the process, once no call of a destination is
// on, and keeps new ones waiting until then has returned.
func (p *Process) LoseLocks(then func() error) error {
	p.calls.Lock()
	defer p.calls.Unlock()
	p.Bury()
	return then()
}

// Bury gives back what a process held that is no more.
func (p *Process) Bury() {
	p.mu.Lock()
	locks := p.locks
	p.locks = map[*lock]struct{}{}
	p.mu.Unlock()
	for l := range locks {
		l.lose(ErrLost)
		l.release()
	}
}

// at is a moment; a dead process has none.
func (p *Process) at(m Moment) error {
	p.mu.Lock()
	if p.dead {
		p.mu.Unlock()
		panic(Crash{})
	}
	do := p.due(m)
	p.mu.Unlock()
	if do == nil {
		return nil
	}
	return do()
}

// due is called with the mutex held.
func (p *Process) due(m Moment) func() error {
	if p.mishap == nil || p.fired || p.mishap.Where != m {
		return nil
	}
	if p.came++; p.came != p.mishap.At {
		return nil
	}
	p.fired = true
	return p.mishap.Do
}

func (p *Process) hook(_ int, op string, before bool) error {
	switch {
	case op == fault.Rollback, !before && op != fault.Commit:
		return nil
	case !before:
		return p.at(AfterCommit)
	}
	if op == fault.Begin {
		if err := p.at(AtBegin); err != nil {
			return err
		}
	}
	return p.at(BeforeCall)
}

// locking is the driver of a process.
type locking struct {
	warehouse.Driver
	p *Process
}

// Lock implements [warehouse.Driver].
func (d locking) Lock(ctx context.Context, name string) (context.Context, func(), error) {
	held, release, err := d.Driver.Lock(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	held, lose := context.WithCancelCause(held)
	l := &lock{lose, release}
	d.p.mu.Lock()
	d.p.locks[l] = struct{}{}
	d.p.mu.Unlock()
	return held, func() {
		d.p.mu.Lock()
		delete(d.p.locks, l)
		d.p.mu.Unlock()
		release()
		lose(context.Canceled)
	}, nil
}

// Calling is a connector whose calls are made by the process.
func (p *Process) Calling(c activate.Connector) activate.Connector {
	c.Destination = calling{c.Destination, p}
	if c.Lookup != nil {
		c.Lookup = looking{c.Lookup, p}
	}
	return c
}

type calling struct {
	activate.Destination
	p *Process
}

// Push implements [activate.Destination].
func (c calling) Push(ctx context.Context, b activate.Batch) ([]activate.Outcome, error) {
	if err := c.p.at(BeforePush); errors.Is(err, ErrLate) {
		ctx = context.WithoutCancel(ctx)
	}
	outs, err := c.push(ctx, b)
	if at := c.p.at(AfterPush); at != nil {
		return outs, errors.Join(err, at)
	}
	return outs, err
}

func (c calling) push(ctx context.Context, b activate.Batch) ([]activate.Outcome, error) {
	c.p.calls.RLock()
	defer c.p.calls.RUnlock()
	defer func() {
		if r := recover(); r != nil { // a destination that dies takes its process along
			c.p.mu.Lock()
			c.p.dead = true
			c.p.mu.Unlock()
			panic(r)
		}
	}()
	return c.Destination.Push(ctx, b)
}

type looking struct {
	activate.Lookup
	p *Process
}

// Find implements [activate.Lookup].
func (l looking) Find(ctx context.Context, changes []activate.Change) ([]activate.Outcome, error) {
	l.p.mu.Lock()
	dead := l.p.dead
	l.p.mu.Unlock()
	if dead {
		panic(Crash{})
	}
	return l.Lookup.Find(ctx, changes)
}

// Quick is the driver of an empty warehouse for thousands of small histories: its
// DuckDB file is in memory where the system has such a folder, and one thread is
// faster there. It is closed when t ends.
func Quick(t testing.TB, engine string) warehouse.Driver {
	t.Helper()
	if engine == "postgres" {
		d := warehousetest.Open(t, engine)
		t.Cleanup(func() { _ = d.Close() })
		return d
	}
	dir, err := os.MkdirTemp("/dev/shm", "elt-test-")
	if err != nil {
		dir = t.TempDir()
	}
	d, err := duckdb.Open(context.Background(), duckdb.Options{Path: filepath.Join(dir, "wh.duckdb"), Threads: 1, TimeZone: warehousetest.TimeZone})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.Close()
		_ = os.RemoveAll(dir)
	})
	return d
}
