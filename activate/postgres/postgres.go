// Package postgres is a destination: one table of a PostgreSQL database.
//
// # How a batch is written
//
// A batch is one transaction. Its rows are copied into a temporary table that has
// the columns' own types, so that every value goes through the input function of
// its type with all its digits, and one statement takes them from there. Where the
// table was empty at first they are copied straight into it. What the database
// refuses because of a row is narrowed down within the transaction, by savepoints:
// the row is refused with its SQLSTATE, and the others are written.
//
// # Evidence
//
// An outcome is reported only after the server has confirmed the COMMIT. Each
// transaction begins by inserting a token of its own into the table elt_pushed,
// beside the table that is pushed to. When the answer to COMMIT is lost, the token
// is inserted again on another connection, which waits for a transaction that
// still runs: a conflict says that all of it was written, success that nothing
// was. Reading alone would miss a transaction that is still under way.
//
// Changes that are made once, append and insert, leave their own operation in
// elt_pushed too, in the same transaction as their row: sent again in whatever
// batch, also by another process, they find it there and do nothing, unless the
// table has been dropped and made again since. Changes by
// unique key, upsert, update and delete, are the same when they are made twice.
// So sending again is safe for every change, and the replay class is idempotent.
//
// Rows of elt_pushed that are older than the last run of a sync that left nothing
// unknown may be deleted.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"elt/activate"
	"elt/internal/pgserver"
	"elt/internal/rate"
	"elt/internal/retry"
	"elt/internal/warehouse"
)

// Kind is the kind of destination named postgres, whose connections can be read by
// the source of that name.
func Kind() activate.Kind {
	return activate.Kind{
		Name:       "postgres",
		Connection: func() any { return new(Connection) },
		Account: func(connection any) string {
			if c, ok := connection.(pgserver.Leads); ok {
				return c.Way().Account()
			}
			return ""
		},
		Sync:   func() any { return new(Sync) },
		Limits: func(c activate.Config) (activate.Limits, error) { return limits(c), nil },
		Open: func(ctx context.Context, c activate.Config) (activate.Connector, error) {
			d, err := open(ctx, c)
			if err != nil {
				return activate.Connector{}, err
			}
			return activate.Connector{Destination: d}, nil
		},
	}
}

// Connection are the keys of a connection that is pushed to.
type Connection struct {
	pgserver.Connection `yaml:",inline"`

	Rates       []rate.Limit `yaml:"rates,omitempty" json:"rates,omitempty" jsonschema:"description=Most transactions of pushes to the database in any interval of a length such as 10/s; no limit when left out"`
	Concurrency int          `yaml:"concurrency,omitempty" json:"concurrency,omitempty" jsonschema:"minimum=1,description=Most transactions of a push side by side; 1 when left out"`
}

// Sync are the keys of a sync to a table.
type Sync struct {
	Batch *Batch `yaml:"batch,omitempty" json:"batch,omitempty" jsonschema:"description=How much is written at once"`
}

// Batch is what one transaction writes: small ones hold their locks for a shorter time.
type Batch struct {
	Rows int `yaml:"rows,omitempty" json:"rows,omitempty" jsonschema:"minimum=1,description=Most rows of a transaction; 50000 when left out"`
}

// limits: a batch is one transaction whatever its size, so that big ones spare
// round trips; its bytes are in memory twice.
func limits(c activate.Config) activate.Limits {
	l := activate.Limits{
		BatchRows: 50_000, BatchBytes: 16 << 20, Concurrency: 1, Replay: activate.Idempotent,
		Modes: []string{activate.ModeUpsert, activate.ModeUpdate, activate.ModeInsert, activate.ModeAppend, activate.ModeMirror},
	}
	if conn, ok := c.Connection.(*Connection); ok && conn != nil {
		l.Concurrency = max(l.Concurrency, conn.Concurrency)
		for _, r := range conn.Rates {
			calls, per := r.Less("")
			l.Rates = append(l.Rates, activate.Rate{Calls: calls, Per: per})
		}
	}
	if s, ok := c.Sync.(*Sync); ok && s != nil && s.Batch != nil && s.Batch.Rows > 0 {
		l.BatchRows = s.Batch.Rows
	}
	return l
}

// destination is one table. It is safe for concurrent use: each call takes a
// connection of its own.
type destination struct {
	server *pgserver.Server
	table  warehouse.Table
	pushed warehouse.Table // the evidence
	key    []string
	shape  *shape
	limits activate.Limits

	mu     sync.Mutex
	idle   []*session
	closed bool
	fresh  bool // the table was empty, and all of it has come from here
}

// session is a connection with what was made on it.
type session struct {
	*pgx.Conn
	stages map[string]stage // by the columns that they have
	spent  string           // a token that is not needed any more
}

func open(ctx context.Context, c activate.Config) (_ *destination, err error) {
	conn, ok := c.Connection.(pgserver.Leads)
	if !ok {
		return nil, errors.New("a postgres destination needs a connection of that type")
	}
	schema, table := "public", c.Object
	if s, t, ok := strings.Cut(c.Object, "."); ok {
		schema, table = s, t
	}
	if schema == "" || table == "" || strings.Contains(table, ".") {
		return nil, fmt.Errorf("object %q is no table; write to: <connection>.<table> or <connection>.<schema>.<table>", c.Object)
	}
	d := &destination{
		table: warehouse.Table{Schema: schema, Name: table}, pushed: warehouse.Table{Schema: schema, Name: pushedName}, key: c.Key, limits: limits(c),
	}
	// A transaction that nobody ends is ended, with its locks.
	d.server, err = pgserver.New(conn.Way(), "", map[string]string{"idle_in_transaction_session_timeout": "120000", "lock_timeout": "30000"})
	if err != nil {
		return nil, &activate.BarredError{Code: "url", Err: err, Hint: "mend url of the connection"}
	}
	s, err := d.take(ctx)
	if err != nil {
		return nil, d.failure(ctx, err)
	}
	if err = d.prepare(ctx, s, c); err != nil {
		return nil, errors.Join(d.failure(ctx, err), d.server.Disconnect(ctx, s.Conn))
	}
	d.give(s)
	return d, nil
}

// prepare looks whether what the sync wants can be done to the table at all.
func (d *destination) prepare(ctx context.Context, s *session, c activate.Config) (err error) {
	if d.shape, err = d.look(ctx, s.Conn, c.Mode == activate.ModeMirror); err != nil {
		return err
	}
	for _, action := range actions(c.Mode) {
		if _, err := d.shape.pick(action, d.shape.named(action, c.Fields)); err != nil {
			return err
		}
	}
	if err := d.evidence(ctx, s.Conn); err != nil {
		return err
	}
	if d.shape.folds || !d.shape.readable() { // ids are told by a statement; append needs no more than INSERT
		return nil
	}
	return s.QueryRow(ctx, `SELECT NOT EXISTS (SELECT 1 FROM `+d.table.String()+`)`).Scan(&d.fresh)
}

// take is an idle session or a new one.
func (d *destination) take(ctx context.Context) (*session, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errors.New("the destination is closed")
	}
	if n := len(d.idle); n > 0 {
		s := d.idle[n-1]
		d.idle = d.idle[:n-1]
		return s, nil
	}
	conn, err := d.server.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &session{Conn: conn, stages: map[string]stage{}}, nil
}

func (d *destination) give(s *session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.idle = append(d.idle, s)
}

func (d *destination) isFresh() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fresh
}

func (d *destination) notFresh() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fresh = false
}

// Limits implements [activate.Destination].
func (d *destination) Limits() activate.Limits { return d.limits }

// Push writes a batch in one transaction.
func (d *destination) Push(ctx context.Context, batch activate.Batch) ([]activate.Outcome, error) {
	if ctx.Err() != nil {
		return nil, retry.AsTransient(context.Cause(ctx)) // nothing was written
	}
	outcomes := make([]activate.Outcome, len(batch.Changes))
	groups, err := d.shape.encode(batch, outcomes)
	if err != nil || len(groups) == 0 {
		return outcomes, err
	}
	s, err := d.take(ctx)
	if err != nil {
		return nil, d.failure(ctx, err)
	}
	if err := d.transact(ctx, s, groups, outcomes); err != nil {
		return nil, err
	}
	return outcomes, nil
}

// Close ends the connections. It is safe to call more than once.
func (d *destination) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	var errs []error
	for _, s := range d.idle {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		d.forget(ctx, s)
		cancel()
		errs = append(errs, d.server.Disconnect(context.Background(), s.Conn))
	}
	d.idle = nil
	return errors.Join(errs...)
}
