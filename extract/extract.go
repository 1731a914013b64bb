// Package extract says what a source is: something that hands out consistent
// snapshots of its streams as Arrow batches or plain files.
package extract

import (
	"context"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"elt/internal/scan"
	"elt/window"
)

// Source is a system opened for one run. Implementations are safe for
// concurrent use.
type Source interface {
	// Streams returns the named streams, sorted by name; no names: all that the
	// source can discover. A name that does not exist is an error that says
	// which names there are.
	Streams(ctx context.Context, names ...string) ([]Stream, error)
	// Close ends every connection. Scans that are open become invalid.
	Close() error
}

// Stream is one table, endpoint or set of files of a source.
type Stream interface {
	// Spec is constant for the life of the stream.
	Spec() Spec
	// Open takes a snapshot. The caller closes the scan.
	Open(ctx context.Context, r Request) (scan.Scan, error)
}

// Spec describes a stream as the source sees it at this moment.
type Spec struct {
	Name   string
	Schema *arrow.Schema // nil: known only when read (files that are sniffed)
	Key    []string      // columns that identify a row; none: unknown
	Cursor string        // column that grows with changes; "": reads in full
	Time   string        // column of the event time; "": none
	Files  bool          // rows carry _source_file
}

// Request says what to read.
type Request struct {
	// From is the cursor of the last published load; "" reads from the beginning.
	From scan.Cursor
	// Window, when not zero, reads the rows whose time column lies in it,
	// whatever From says.
	Window window.Window
	// Until, when a window is read, leaves out the rows that a read from this
	// cursor gives: the next load adds them, and would add them twice.
	Until scan.Cursor
	// Columns are read; none: all.
	Columns []string
	// Limit bounds the rows; 0: no bound.
	Limit int64
	// Reject takes rows that do not fit the schema. It may be called from
	// several goroutines. Its error ends the scan. nil: a reject is an error.
	Reject func(scan.Reject) error
}

// Kind is a kind of source, as a list in extract/all names it. The Config
// functions return a pointer to a new struct with yaml and jsonschema tags, into
// which the project is decoded strictly; nil: that place takes no keys.
type Kind struct {
	Name       string
	Connection func() any // keys of a connection of this type
	Source     func() any // keys of a source besides the common ones
	Stream     func() any // keys of a stream besides the common ones
	Open       func(ctx context.Context, c Config) (Source, error)
}

// Config is what a source is opened with. Open must not keep secrets in errors.
type Config struct {
	Connection any    // what Kind.Connection made; nil when inline
	Place      string // name and place of the connection, for errors; "" when inline
	Source     any
	Streams    []StreamConfig   // declared streams; a source may have more
	Dir        string           // folder of the project; relative paths start here
	Location   *time.Location   // zone of the project
	Allocator  memory.Allocator // of the batches; nil: Arrow's default
}

// StreamConfig are the common keys of a declared stream that reading depends on.
type StreamConfig struct {
	Name       string
	Key        []string
	Cursor     string
	Time       string
	Lookback   time.Duration
	NullCursor string            // "raise" (default), "include", "exclude"
	Columns    map[string]string // column -> DuckDB type, overriding what is discovered
	Options    any               // what Kind.Stream made
}
