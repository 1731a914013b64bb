// Package project turns elt.yaml, its included files and its settings into a
// typed, validated Project, and reports all mistakes at once, each with its place.
package project

import (
	"time"

	"elt/internal/secret"
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

	Connections map[string]*Connection
	Targets     map[string]*Target
	Sources     map[string]*Source
	Syncs       map[string]*Sync
	Jobs        map[string]*Job
	Alerts      []Alert
	Secrets     []secret.String // every value that came from ${env:…} or ${file:…}
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
	Pos          Pos
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
type Check struct {
	Kind     string   // not_null, unique, accepted_values, relationships, range, expression, sql
	Columns  []string // not_null, unique, accepted_values, range, relationships: the column(s)
	Values   []string // accepted_values
	Min, Max string   // range; "" is unbounded
	To       string   // relationships: schema.table.column
	SQL      string   // expression, sql
	Severity string   // warn or error (default)
	Where    string   // only these rows
	Pos      Pos
}

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
	Schedule   string
	Run        []string // selectors; all
	Catchup    string
	Overlap    string
	Timeout    time.Duration
	Retries    int
	CompleteBy string
	Heartbeat  secret.String
	Owner      string
	Runbook    string
	Pos        Pos
}

// Alert says who is told of what.
type Alert struct {
	To   string
	When []string
	Pos  Pos
}

// Pos is a place in a file of the project.
type Pos struct {
	File string // relative to the project
	Line int
	Col  int
}

// Kind is what a connector lets a project say; it mirrors the kinds of extract
// and activate without importing them. A nil func takes no keys.
type Kind struct {
	Name       string
	Connection func() any
	Source     func() any
	Stream     func() any
	Sync       func() any
}
