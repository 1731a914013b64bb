// Package activate pushes rows of models to operational tools: it plans the
// difference against what was last acknowledged, journals each intent before it
// is sent, and settles it with its ledger row in one transaction.
package activate

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// Action is what a change does to the destination.
type Action string

// The actions.
const (
	Create Action = "create"
	Update Action = "update"
	Upsert Action = "upsert"
	Append Action = "append"
	Delete Action = "delete"
)

// Change is one row to push. OpID correlates it with its Outcome.
type Change struct {
	OpID   string
	Action Action
	Key    json.RawMessage // the key columns as a JSON object
	Fields json.RawMessage // theirs -> value; exact numbers; null clears
}

// Batch is what one call pushes. Its ID is a hash of its operations, so that a
// repeated batch is byte-identical.
type Batch struct {
	ID      string
	Object  string
	Changes []Change
}

// Status is what became of a change.
type Status string

// The statuses of an outcome. The zero Status is no outcome at all.
const (
	Acked    Status = "acked"    // positive, correlated evidence that it is there
	Rejected Status = "rejected" // the destination refused this row for good
	Retry    Status = "retry"    // refused before anything happened; later it may work
	Unknown  Status = "unknown"  // it may have happened
)

// Outcome is the destination's answer to one change, correlated by OpID, never
// by an echoed value.
type Outcome struct {
	OpID    string
	Status  Status
	DestID  string        // the destination's own id; "" when it has none
	Created bool          // acked, and the row is new there
	Code    string        // machine-readable reason
	Message string        // what the destination said, without secrets
	After   time.Duration // for so long the destination asks to be left alone
	// Contested: rejected, but perhaps because an earlier try of the same operation
	// is still under way. After a try of unknown outcome, also of a run within the
	// last hour, it tells nothing.
	Contested bool
	// Local: rejected before anything was sent. Nobody was asked, so that it tells
	// nothing of earlier tries, also where the service knows its operations.
	Local bool
}

// ReplayClass says what may be done with an operation whose outcome is unknown.
type ReplayClass string

// The replay classes.
const (
	Idempotent     ReplayClass = "idempotent"      // sending the current payload again is safe
	IdempotencyKey ReplayClass = "idempotency-key" // the same payload with the same key is safe
	Reconcile      ReplayClass = "reconcile"       // look first
)

// Limits is what a destination can take; the engine enforces it.
type Limits struct {
	BatchRows   int    // most changes in a call; at least 1
	BatchBytes  int    // most bytes of keys and fields in a call; 0: no bound
	Rates       []Rate // each holds for the account as a whole; none: no limit
	Concurrency int    // most calls side by side; 0: 1
	Replay      ReplayClass
	Looks       bool // rows whose outcome is unknown can be looked for: there is a [Lookup]
	LookRows    int  // most changes that one call looks for; 0: BatchRows
	// Window is how long the destination knows an operation by its idempotency key;
	// after that, what is unknown has to be looked for. 0: it forgets none.
	Window time.Duration
	// LookAfter is how long after a call a lookup may still miss what it has done:
	// the service may be busy with it, or find it later than it has it.
	LookAfter time.Duration
	Modes     []string // modes that it supports: upsert, update, insert, append, mirror
}

// Settles reports whether a run at now finds out by itself what became of an
// operation that was first sent at sent and whose outcome is unknown; else somebody
// has to say so. until is when that ends, since the destination forgets its key;
// zero: never.
func (l Limits) Settles(action Action, sent, now time.Time) (ok bool, until time.Time) {
	switch {
	case l.Looks || l.Replay == Idempotent:
		return true, time.Time{}
	case l.Replay == IdempotencyKey && l.Window > 0 && action != Delete:
		until = sent.Add(l.Window)
		return !now.After(until), until
	}
	return l.Replay == IdempotencyKey, time.Time{}
}

// Rate is the most calls that an account takes in any interval of a length.
type Rate struct {
	Calls int
	Per   time.Duration
}

// Destination is one object of a connection opened for one sync.
// Implementations are safe for concurrent use.
type Destination interface {
	Limits() Limits
	// Push sends a batch and returns one Outcome per Change, in any order. An
	// error means that the whole call failed: a [RefusedError], a [BarredError] and
	// one that is classified as transient say that nothing was done; after any
	// other nothing is known of any change. Those of package retry tell for how long
	// the destination asks to be left alone.
	Push(ctx context.Context, batch Batch) ([]Outcome, error)
	Close() error
}

// Lookup finds out what became of operations whose outcome is unknown.
type Lookup interface {
	// Find returns an outcome for each change that it can tell of: Acked when the
	// destination has the row as it was sent, Retry when it does not, so that
	// sending it is safe. A change that is left out stays unknown.
	Find(ctx context.Context, changes []Change) ([]Outcome, error)
}

// Connector is an opened object: where to push, and where to look. The engine
// closes Destination alone.
type Connector struct {
	Destination Destination
	Lookup      Lookup // nil: nobody can look
}

// RefusedError is a call that the destination refused as a whole because of what
// is in it. It did nothing, unless InDoubt. The engine halves the batch until it has
// found the rows that are to blame, so that good rows are not held back by bad ones.
type RefusedError struct {
	Code, Message string
	InDoubt       bool // some of it may have been done: what is not sent again is unknown
}

func (e *RefusedError) Error() string { return e.Code + ": " + e.Message }

// BarredError is a call that fails whatever its rows are: a revoked token, a
// missing object or column, a certificate that has expired, a host that does not
// resolve. Nothing was done. The sync ends, and its rows wait for the next run.
type BarredError struct {
	Code string
	Err  error
	Hint string // what to do about it
}

func (e *BarredError) Error() string { return e.Err.Error() }

func (e *BarredError) Unwrap() error { return e.Err }

// Kind is a kind of destination, as a list in activate/all names it.
type Kind struct {
	Name       string
	Connection func() any // keys of a connection of this type
	Sync       func() any // keys of a sync besides the common ones; nil: none
	// Account names the account that a connection leads to: rates and the ledger
	// belong to it, whatever the connection is called. nil: the connection's name.
	// It holds no secret.
	Account func(connection any) string
	// Limits are those of the destination that Open would return, without opening
	// it: for plans and for what stands in with push: fake.
	Limits func(c Config) (Limits, error)
	Open   func(ctx context.Context, c Config) (Connector, error)
	// Serve is a service that answers as the one behind the destination would: by
	// the rules of c, with the rows in s. nil: it is not reached over HTTP.
	Serve func(c Config, s Store) (Service, error)
	// At is a connection like another one whose service is at an address. It comes
	// with Serve.
	At func(connection any, address string) any
}

// Service is what answers calls in place of a destination.
type Service interface {
	http.Handler
	Takes(r *http.Request) bool // whether the destination makes such calls
}

// Store keeps the rows of one object for what stands in for a destination. It is
// safe for concurrent use.
type Store interface {
	// Take does the operations of a batch, each once, and returns an Outcome for
	// each. atomic: when one is refused none is done, and only those that are
	// refused have an Outcome.
	Take(ctx context.Context, b Batch, atomic bool) ([]Outcome, error)
	// Find is the row of a key as it was last sent; nil: there is none.
	Find(ctx context.Context, key json.RawMessage) (*Stored, error)
	Close() error
}

// Stored is a row in a Store.
type Stored struct {
	Fields json.RawMessage
	OpID   string // of what was last done to it
}

// Config is what a destination is opened with.
type Config struct {
	Connection any
	Sync       any
	Object     string   // the part after the dot in to: crm.contacts
	Key        []string // destination fields that identify a row
	Mode       string   // of the sync, and the fields that it fills: what cannot work
	Fields     []string // at all is told before anything is sent; none: not known yet
	Dir        string   // folder of the project; relative paths start here
}
