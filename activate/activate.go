// Package activate pushes rows of models to operational tools: it plans the
// difference against what was last acknowledged, journals each intent before it
// is sent, and settles it with its ledger row in one transaction.
package activate

import (
	"context"
	"encoding/json"
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
	After   time.Duration // Retry: not before
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
	BatchRows  int // most changes in a call; at least 1
	BatchBytes int // most bytes of keys and fields in a call; 0: no bound
	Replay     ReplayClass
	Modes      []string // modes that it supports: upsert, update, insert, append
}

// Destination is one object of a connection opened for one sync.
// Implementations are safe for concurrent use.
type Destination interface {
	Limits() Limits
	// Push sends a batch and returns one Outcome per Change, in any order. An
	// error means that the whole call failed and nothing is known of any change,
	// unless it is classified as transient before anything was sent.
	Push(ctx context.Context, batch Batch) ([]Outcome, error)
	Close() error
}

// Kind is a kind of destination, as a list in activate/all names it.
type Kind struct {
	Name       string
	Connection func() any // keys of a connection of this type
	Sync       func() any // keys of a sync besides the common ones; nil: none
	Open       func(ctx context.Context, c Config) (Destination, error)
}

// Config is what a destination is opened with.
type Config struct {
	Connection any
	Sync       any
	Object     string   // the part after the dot in to: crm.contacts
	Key        []string // destination fields that identify a row
	Dir        string   // folder of the project; relative paths start here
}
