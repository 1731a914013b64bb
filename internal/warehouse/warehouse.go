// Package warehouse owns the transaction in which data and its bookkeeping
// commit together, over a small Driver for each engine.
package warehouse

import (
	"context"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// StateSchema is the schema that elt keeps its own tables in.
const StateSchema = "_elt"

// Reserved is the prefix of tables that elt makes and sweeps in the schemas of
// others: staged loads and models that are being built aside.
const Reserved = "_elt_"

// Columns that elt adds to every loaded row.
const (
	ColLoadID   = "_elt_load_id"
	ColLoadedAt = "_elt_loaded_at"
	ColSource   = "_source_file" // file sources only
)

// Table names a table. The zero Table names none.
type Table struct{ Schema, Name string }

// String is t as SQL: both parts quoted. It is the only way a name gets into a statement.
func (t Table) String() string { return Quote(t.Schema) + "." + Quote(t.Name) }

// Display is t as people write it, unquoted.
func (t Table) Display() string { return t.Schema + "." + t.Name }

// Quote makes an identifier of name, on both engines.
func Quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Literal makes a string literal of s, on both engines. Values go in as
// parameters; this is for the few places that take none.
func Literal(s string) string { return `'` + strings.ReplaceAll(s, `'`, `''`) + `'` }

// Column is a column of an existing table, in the engine's own spelling.
type Column struct {
	Name    string
	Type    string // as the engine prints it: DECIMAL(12,2), numeric(12,2), timestamp with time zone
	NotNull bool
}

// Driver is what differs between engines. Implementations are safe for
// concurrent use. Errors are *[Error].
type Driver interface {
	// Dialect describes the engine; constant.
	Dialect() *Dialect
	// Begin starts a transaction. A driver whose connection was lost, or whose
	// database was invalidated, reconnects or reattaches here. readOnly
	// transactions refuse writes and see one snapshot.
	Begin(ctx context.Context, readOnly bool) (DriverTx, error)
	// Lock takes the named lock among all processes that use this warehouse. The
	// returned context ends when the lock is lost; the func gives it back.
	// An Error of KindLocked means that somebody else has it.
	Lock(ctx context.Context, name string) (context.Context, func(), error)
	// Close ends all connections. It is safe to call more than once.
	Close() error
}

// DriverTx is one transaction; not safe for concurrent use.
type DriverTx interface {
	// Exec runs one statement and returns the rows it touched. Parameters are
	// $1, $2, …: string, bool, int64, float64, []byte, [time.Time] or nil.
	Exec(ctx context.Context, q string, args ...any) (int64, error)
	// Query runs one SELECT with flat memory. The caller releases the reader
	// before the next call on the transaction.
	Query(ctx context.Context, q string, args ...any) (array.RecordReader, error)
	// Append inserts every row of r into t by column name and returns how many.
	// It reads r to its end and fails, with nothing inserted, when r does. It
	// does not release r. A panic in r is an error, and ctx is watched.
	Append(ctx context.Context, t Table, r array.RecordReader) (int64, error)
	// Commit commits; after an error the outcome is unknown (invariant 6).
	Commit(ctx context.Context) error
	// Rollback rolls back; harmless after Commit or a lost connection.
	Rollback(ctx context.Context) error
}

// Dialect is what differs between engines in SQL, as data and pure functions.
type Dialect struct {
	// Name is "duckdb" or "postgres".
	Name string
	// MaxName is the longest identifier in bytes; 0: no limit.
	MaxName int
	// MaxColumns is how many columns a table may have; 0: no limit that matters.
	MaxColumns int
	// NativeFiles: the engine reads scan.Files itself, inside a transaction, as
	// internal/duckread spells it.
	NativeFiles bool
	// Scratch is a schema whose tables lie in memory, spill to disk, and end with
	// the process; only [DB.Aside] writes them. "": there is none.
	Scratch string
	// OneSnapshot: every statement of an Update sees the same snapshot, and not only
	// each its own.
	OneSnapshot bool
	// ColumnType is the SQL type that holds values of f without loss.
	ColumnType func(f arrow.Field) (string, error)
	// Refused returns what says of a row of column, whose field is f, why the engine
	// cannot store its value, and nil for one that it can; nil when all of column
	// is fine. A nil Refused: the engine stores whatever ColumnType has a type for.
	Refused func(f arrow.Field, column arrow.Array) func(row int) error
	// Widen returns the narrowest type that holds all values of both SQL types
	// without loss; false when there is none short of text.
	Widen func(a, b string) (string, bool)
	// Canonical is an expression of type text that is equal for two values of
	// SQL type typ exactly when the values are the same, NULL excepted: numbers
	// without trailing zeros, timestamps in UTC with microseconds, floats
	// with the shortest digits of the double that they are, intervals by their
	// months, days and microseconds. See docs/reference.md, "Canonical form".
	Canonical func(expr, typ string) string
	// RowHash is an expression of type text: a digest of 128 bits over the columns
	// in order, in which NULL, '' and absence differ, good enough to decide that a
	// row has not changed. Equal rows hash equal within one version of one engine
	// and one time zone of the session.
	RowHash func(cols []string) string
	// Checksum is an aggregate of type text over the columns of all rows,
	// indifferent to the order of rows; '0' for none.
	Checksum func(cols []string) string
	// StableHash is like RowHash over Canonical texts but the same in every
	// version of the engine; slower.
	StableHash func(cols []Column) string
}
