// Package duckdb is the warehouse in a DuckDB file that this process owns.
//
// The main database is in memory and the file is attached as wh, so that Arrow
// views never reach the file, and a file that a full disk invalidated can be
// attached again without a new process.
package duckdb

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"elt/internal/warehouse"
)

// Options say how a file is opened. The zero value of a field is DuckDB's default.
type Options struct {
	Path     string // of the file; it is made when it is missing
	Threads  int
	Memory   string // memory_limit, such as 2GB
	TempDir  string // where large sorts and joins spill; default: beside the file
	TimeZone string // IANA name; default UTC
	// AllowedDirs are the only folders that SQL may read or write.
	AllowedDirs []string
	// ReadOnly opens the file for queries alone.
	ReadOnly bool
	// WaitForLock is how long to wait for another process to let go of the file.
	WaitForLock time.Duration
}

// Driver implements [warehouse.Driver] over one file. It is safe for concurrent use.
type Driver struct {
	opts  Options
	locks namedLocks

	mu     sync.Mutex
	remote bool      // another process owns the file and answers for it
	server *server   // nil: not serving
	db     *instance // nil: closed, or to be opened again by the next Begin
	closed bool
	claim  func() // gives the file back to other drivers; nil when remote
}

// instance is one in-memory database with the file attached.
type instance struct {
	connector *duckdb.Connector
	mu        sync.Mutex
	idle      []*duckdb.Conn
	inUse     int
	views     atomic.Int64
	broken    bool // a fatal error: no transaction may begin any more
}

// Open opens the file of opts. An error of kind Locked names who owns it. When
// that process serves the file, a read-only driver asks it instead; then each
// query sees a snapshot of its own, also within one transaction.
func Open(ctx context.Context, opts Options) (*Driver, error) {
	d := &Driver{opts: opts, locks: namedLocks{path: opts.Path}}
	deadline := time.Now().Add(opts.WaitForLock)
	for {
		release, err := claim(opts.Path, opts.ReadOnly)
		if err == nil {
			if d.db, err = open(ctx, opts); err == nil {
				d.claim = release
				return d, nil
			}
			release()
		}
		if opts.ReadOnly && warehouse.KindOf(err) == warehouse.KindLocked && reached(ctx, opts.Path) {
			d.remote = true
			return d, nil
		}
		if warehouse.KindOf(err) != warehouse.KindLocked || !time.Now().Before(deadline) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), err)
		case <-time.After(min(200*time.Millisecond, time.Until(deadline))):
		}
	}
}

// open makes an instance: settings first, then the locks on them.
func open(ctx context.Context, opts Options) (*instance, error) {
	connector, err := duckdb.NewConnector("", nil)
	if err != nil {
		return nil, wrap(err)
	}
	db := &instance{connector: connector}
	conn, err := db.connect(ctx)
	if err != nil {
		return nil, errors.Join(err, connector.Close())
	}
	for _, q := range settings(opts) {
		if _, err := exec(ctx, conn, q, nil); err != nil {
			return nil, errors.Join(opening(err, opts.Path), conn.Close(), connector.Close())
		}
	}
	db.idle = append(db.idle, conn)
	return db, nil
}

// scratch is the database of [warehouse.Dialect.Scratch]: in memory, within
// memory_limit, and beyond that in the folder for temporary files.
const scratch = warehouse.Reserved + "scratch"

func settings(opts Options) []string {
	zone := opts.TimeZone
	if zone == "" {
		zone = "UTC"
	}
	temp := opts.TempDir
	if temp == "" {
		temp = opts.Path + ".tmp"
	}
	set := func(name, value string) string { return "SET GLOBAL " + name + "=" + value }
	mode := ""
	if opts.ReadOnly {
		mode = " (READ_ONLY)"
	}
	out := []string{
		set("autoinstall_known_extensions", "false"), set("autoload_known_extensions", "false"),
		set("TimeZone", warehouse.Literal(zone)),
		set("preserve_insertion_order", "false"),
		// A push commits thousands of small transactions; at the default of 16 MB
		// most of its time went into checkpoints.
		set("wal_autocheckpoint", "'256MB'"),
		set("temp_directory", warehouse.Literal(temp)),
	}
	if opts.Threads > 0 {
		out = append(out, set("threads", fmt.Sprint(opts.Threads)))
	}
	if opts.Memory != "" {
		out = append(out, set("memory_limit", warehouse.Literal(opts.Memory)))
	}
	out = append(out, "ATTACH ':memory:' AS "+warehouse.Quote(scratch),
		"ATTACH "+warehouse.Literal(opts.Path)+" AS wh"+mode, "USE wh")
	var dirs []string
	for _, dir := range opts.AllowedDirs {
		if abs, err := filepath.Abs(dir); err == nil {
			dirs = append(dirs, warehouse.Literal(strings.TrimSuffix(abs, "/")+"/"))
		}
	}
	if len(dirs) > 0 {
		out = append(out, set("allowed_directories", "["+strings.Join(dirs, ", ")+"]"))
	}
	return append(out, set("enable_external_access", "false"), set("lock_configuration", "true"))
}

func (db *instance) connect(ctx context.Context) (*duckdb.Conn, error) {
	c, err := db.connector.Connect(ctx)
	if err != nil {
		return nil, wrap(err)
	}
	conn, ok := c.(*duckdb.Conn)
	if !ok {
		return nil, fmt.Errorf("duckdb connection is a %T", c)
	}
	return conn, nil
}

// take returns an idle connection or makes one.
func (db *instance) take(ctx context.Context) (*duckdb.Conn, error) {
	db.mu.Lock()
	if db.broken {
		db.mu.Unlock()
		return nil, errBroken
	}
	db.inUse++
	if n := len(db.idle); n > 0 {
		conn := db.idle[n-1]
		db.idle = db.idle[:n-1]
		db.mu.Unlock()
		return conn, nil
	}
	db.mu.Unlock()
	conn, err := db.connect(ctx)
	if err == nil {
		if _, err = exec(ctx, conn, "USE wh", nil); err != nil {
			err = errors.Join(err, conn.Close())
		}
	}
	if err != nil {
		db.mu.Lock()
		db.inUse--
		db.mu.Unlock()
		return nil, err
	}
	return conn, nil
}

var errBroken = &warehouse.Error{Kind: warehouse.KindUnavailable, Err: errors.New("the database is being opened again after a fatal error")}

// give takes a connection back. The last one of a broken instance closes it.
func (db *instance) give(conn *duckdb.Conn, fatal bool) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.inUse--
	db.broken = db.broken || fatal
	if !db.broken {
		db.idle = append(db.idle, conn)
		return
	}
	_ = conn.Close() // of a database that is unusable; its error says nothing new
	if db.inUse == 0 {
		db.close()
	}
}

// close is called with mu held and nothing in use.
func (db *instance) close() {
	for _, c := range db.idle {
		_ = c.Close()
	}
	db.idle = nil
	_ = db.connector.Close()
	db.connector = nil
}

// Dialect implements [warehouse.Driver].
func (d *Driver) Dialect() *warehouse.Dialect { return newDialect() }

// Begin implements [warehouse.Driver]. After a fatal error, such as a full disk,
// it waits for the transactions that were open and opens the file again.
func (d *Driver) Begin(ctx context.Context, readOnly bool) (warehouse.DriverTx, error) {
	if d.remote {
		return remote{path: d.opts.Path}, nil
	}
	for {
		db, err := d.current(ctx)
		if err != nil {
			return nil, err
		}
		conn, err := db.take(ctx)
		if errors.Is(err, errBroken) {
			select {
			case <-ctx.Done():
				return nil, errors.Join(context.Cause(ctx), err)
			case <-time.After(10 * time.Millisecond):
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		q := "BEGIN TRANSACTION"
		if readOnly {
			q = "BEGIN TRANSACTION READ ONLY"
		}
		// It takes no time, and one that is cut off may have begun all the same.
		_, err = exec(context.WithoutCancel(ctx), conn, q, nil)
		t := &tx{db: db, conn: conn}
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if t.note(err) != nil {
			return nil, errors.Join(err, t.Rollback(ctx))
		}
		return t, nil
	}
}

// current returns the open instance, and opens the file again when the last one
// was broken and is closed.
func (d *Driver) current(ctx context.Context) (*instance, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, &warehouse.Error{Kind: warehouse.KindUnavailable, Err: errors.New("the warehouse is closed")}
	}
	d.db.mu.Lock()
	gone := d.db.broken && d.db.inUse == 0
	if gone && d.db.connector != nil {
		d.db.close()
	}
	d.db.mu.Unlock()
	if gone {
		db, err := open(ctx, d.opts)
		if err != nil {
			return nil, err
		}
		d.db = db
	}
	return d.db, nil
}

// Close checkpoints as far as that goes and closes the file.
func (d *Driver) Close() error {
	d.mu.Lock()
	served := d.server
	d.server = nil
	d.mu.Unlock()
	if served != nil { // without the mutex, which its answers may be waiting for
		served.close()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.remote {
		d.closed = true
		return nil
	}
	d.closed = true
	defer d.claim()
	d.db.mu.Lock()
	defer d.db.mu.Unlock()
	if d.db.connector == nil {
		return nil
	}
	if n := len(d.db.idle); n > 0 && !d.db.broken && !d.opts.ReadOnly {
		// Best effort: what is not checkpointed stays in the log beside the file.
		_, _ = exec(context.Background(), d.db.idle[n-1], "CHECKPOINT wh", nil)
		_, _ = exec(context.Background(), d.db.idle[n-1], "USE memory", nil)
		_, _ = exec(context.Background(), d.db.idle[n-1], "DETACH wh", nil)
	}
	d.db.close()
	return nil
}

// exec runs one statement.
func exec(ctx context.Context, conn *duckdb.Conn, q string, args []any) (int64, error) {
	res, err := conn.ExecContext(ctx, q, named(args))
	if err != nil {
		return 0, wrap(err)
	}
	return res.RowsAffected()
}

func named(args []any) []driver.NamedValue {
	out := make([]driver.NamedValue, len(args))
	for i, a := range args {
		out[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	return out
}
