// Package project turns elt.yaml, its included files and its settings into a
// typed, validated Project, and reports all mistakes at once, each with its place.
package project

import (
	"time"

	"elt/internal/schedule"
	"elt/internal/secret"
	"elt/internal/yamlx"
)

// Project is a whole validated project. Names in maps are as written.
type Project struct {
	Dir            string // absolute
	Version        int
	Name           string
	Timezone       *time.Location
	Owner          string
	AsOf           time.Time // zero: now
	DecisionWindow time.Duration
	Retention      time.Duration // of the records of runs; never zero

	Connections map[string]*Connection
	Targets     map[string]*Target
	Sources     map[string]*Source
	Syncs       map[string]*Sync
	Jobs        map[string]*Job
	Alerts      []Alert
	Identities  map[string]*Identity
	Secrets     []secret.String // what a redactor hides: values of secret keys, and long ones from ${env:…} or ${file:…}
	Warnings    []*Error        // what is allowed and yet unwise
	NotActing   []*Error        // what is taken and validated, though nothing acts on it yet, and what happens instead
}

// Connection is a named place with its credentials.
type Connection struct {
	Name   string
	Type   string
	Config any // what the kind's Connection made
	Pos    Pos
}

// Target is where a run works.
type Target struct {
	Name         string
	Warehouse    secret.String // duckdb:PATH or postgres://…
	Push         string        // off, fake, live
	SchemaPrefix string
	Threads      int    // 0: all cores
	Memory       string // DuckDB's memory_limit, such as 2GB; "": a quarter of the machine
	WaitForLock  time.Duration
	Faults       map[string]string // of the stand-ins: name -> share
	FaultSeed    int
	Pos          Pos
	unresolved   *Error // a reference that only matters when the target is used
}

// Source is a system and its streams.
type Source struct {
	Name       string
	Type       string      // of the connection, or inline
	Connection *Connection // nil: inline
	Config     any         // what the kind's Source made
	Owner      string
	Tags       []string
	Streams    map[string]*Stream
	Pos        Pos
}

// Stream is one stream of a source; it lands in table <source>.<stream>.
type Stream struct {
	Name           string
	Load           string // append, replace, merge, window, file; "": by the source (merge with a key and cursor, file for files, else replace)
	Key            []string
	Cursor         string
	Time           string
	Lookback       time.Duration
	NullCursor     string // raise, include, exclude
	OnEmpty        string // keep, replace, fail
	Columns        map[string]string
	Contract       Contract
	QuarantineMax  Limit
	DecisionWindow time.Duration
	PII            map[string]string
	Volume         string // off, warn, error; "": error
	Checks         []Check
	Tags           []string
	Owner          string
	Description    string
	Options        any // what the kind's Stream made
	Pos            Pos
}

// Contract is what happens to tables, columns and types that are new:
// evolve, freeze, quarantine or discard.
type Contract struct{ Tables, Columns, Types string }

// Limit is a share of rows or an absolute number: 1% or 100.
type Limit struct {
	Percent float64 // 0..100
	Rows    int64
	Set     bool
}

// Check is a declared check, of one kind.
type Check = yamlx.Check

// Sync pushes a model to an object of a connection.
type Sync struct {
	Name       string
	Model      string
	To         string // connection.object
	Connection *Connection
	Object     string
	Mode       string   // upsert, update, insert, mirror, append
	Key        []string // model columns
	Identity   string
	Fields     []Field // sorted by Theirs
	Config     any
	Guards     map[string]string
	Tags       []string
	Owner      string
	Pos        Pos
}

// Field maps a column of the model to a field of the destination.
type Field struct {
	Theirs   string
	Column   string
	AllowPII bool
	Pos      Pos
}

// Job is a selection of steps with a schedule.
type Job struct {
	Name       string
	Schedule   string            // as written
	Due        schedule.Schedule // Schedule, parsed; zero without one
	Run        []string          // selectors; all
	Catchup    string            // none, latest, all
	Overlap    string            // skip, queue_one, queue_all, cancel_running
	Timeout    time.Duration     // of a run; zero: none
	Retries    int               // of a step whose error may pass
	CompleteBy string
	Heartbeat  secret.String
	Owner      string
	Runbook    string
	Pos        Pos
}

// Alert says who is told of what.
type Alert struct {
	To          string
	Connection  *Connection
	When        []string      // failed, stale, held, recovered
	RepeatAfter time.Duration // 0: what is told once is not told again
	Pos         Pos
}

// Pos is a place in a file of the project, whose name is relative to it.
type Pos = yamlx.Pos

// Error is one mistake of a project; Errors are all of them.
type (
	Error  = yamlx.Error
	Errors = yamlx.Errors
)

// Identity is a crosswalk between an entity's key and the ids of destinations.
type Identity struct {
	Name      string
	Key       []string
	Match     []Match // in this order
	OnSeveral string  // review, quarantine, oldest, most_recent
	OnNone    string  // create, skip, review
	Pos       Pos
}

// Match is a rule that pairs a column with a field of each connection.
type Match struct {
	Column    string
	Theirs    map[string]string // connection -> field
	Normalize string
	Pos       Pos
}

// Kind is what a connector lets a project say; it mirrors the kinds of extract
// and activate without importing them. A nil func takes no keys. A kind with
// Source or Stream can be read; one with Sync, or with neither of them, can be
// written to, unless it Tells: then it is a chat, which alerts go to. Kinds of one
// name are one type that can do both.
type Kind struct {
	Name       string
	Connection func() any
	Source     func() any
	Stream     func() any
	Sync       func() any
	Tells      bool
}
