// Package scan is the leaf where extract and load meet: one consistent snapshot
// of a source, as parts that are Arrow readers or plain files.
package scan

import (
	"context"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Scan is one consistent snapshot of a stream.
type Scan interface {
	// Schema is the schema that every part that opens as a reader yields.
	// It is nil when all parts are Files whose columns are not declared.
	Schema() *arrow.Schema
	// Parts may be read side by side, each exactly once. No parts means no rows.
	Parts() []Part
	// Cursor is where the next read begins. It is valid after every part has
	// ended without error; "" means that nothing was read, and that the caller
	// keeps the cursor it has.
	Cursor() Cursor
	// Counted is the source's own count of the rows of this scan, taken in the
	// same snapshot, rejected rows included. known is false where the source has
	// no count of its own. Valid after every part has ended.
	Counted() (rows int64, known bool)
	// Close releases the snapshot. It is safe to call more than once.
	Close() error
}

// Part is a share of a scan: exactly one of its fields is set.
type Part struct {
	// Files is plain data that DuckDB's own readers take in.
	Files *Files
	// Open starts reading. The caller releases the reader. The reader's Err is
	// nil after the last batch only if the source confirmed the end; a reader
	// that ends early always has an Err. ctx bounds the reading, not only the
	// opening.
	Open func(ctx context.Context) (array.RecordReader, error)
}

// Format is the shape of the files of a part.
type Format string

// The formats that the files source reads.
const (
	CSV       Format = "csv"
	JSON      Format = "json"  // one document: an array of objects, or objects in a row
	JSONLines Format = "jsonl" // one object a line
	Parquet   Format = "parquet"
)

// Files describes plain files as data, so that a DuckDB warehouse reads them
// natively and any other through a scratch DuckDB.
type Files struct {
	Format Format
	// Paths are absolute or relative to the working directory, never globs, in
	// reading order, each with the name that its rows carry in _source_file.
	Paths []File
	// Columns declares names and DuckDB types, in order; empty: sniff.
	Columns []Column
	// Options of CSV; zero values are sniffed.
	CSV CSVOptions
	// Ordered keeps the rows in the order of the files and of their lines, for a
	// load in which the last row of a key wins. It costs time.
	Ordered bool
}

// File is one file of a Files part.
type File struct {
	Path string // what is opened
	Name string // what _source_file says: the path relative to the project
	// Size and Modified are those of the file when it was listed: a reader fails
	// when they differ after it has read. The zero Modified is not compared.
	Size     int64
	Modified time.Time
}

// Column is a declared column of a file.
type Column struct {
	Name   string // as the warehouse names it
	Source string // as the file names it; "" means Name
	Type   string // a DuckDB type, such as DECIMAL(12,2)
}

// CSVOptions are the dialect of a CSV file. A zero field is sniffed.
type CSVOptions struct {
	Delimiter string   `yaml:"delimiter,omitempty" json:"delimiter,omitempty" jsonschema:"description=Field separator; sniffed when left out"`
	Quote     string   `yaml:"quote,omitempty" json:"quote,omitempty" jsonschema:"description=Quote character; sniffed when left out"`
	Escape    string   `yaml:"escape,omitempty" json:"escape,omitempty" jsonschema:"description=Escape character inside quotes; sniffed when left out"`
	Header    *bool    `yaml:"header,omitempty" json:"header,omitempty" jsonschema:"description=Whether the first line names the columns; sniffed when left out"`
	Null      []string `yaml:"null,omitempty" json:"null,omitempty" jsonschema:"description=Texts that mean NULL; an empty field by default"`
	Skip      int      `yaml:"skip,omitempty" json:"skip,omitempty" jsonschema:"description=Lines to skip before the header"`
	Encoding  string   `yaml:"encoding,omitempty" json:"encoding,omitempty" jsonschema:"enum=utf-8,enum=utf-16,enum=latin-1,description=Character encoding; utf-8 by default"`
	// The forms of dates and timestamps apply to declared columns alone.
	DateFormat      string `yaml:"dateformat,omitempty" json:"dateformat,omitempty" jsonschema:"description=Form of the columns that columns: declares as DATE; such as %d/%m/%Y; ISO 8601 by default"`
	TimestampFormat string `yaml:"timestampformat,omitempty" json:"timestampformat,omitempty" jsonschema:"description=Form of the columns that columns: declares as TIMESTAMP or TIMESTAMPTZ; such as %d.%m.%Y %H:%M:%S; ISO 8601 by default"`
}

// Cursor is where a stream's next read begins: opaque to all but the source that
// made it, and versioned by that source. "" means the beginning.
type Cursor string

// Reject is a row that the source could not turn into its schema.
// It becomes a row of the quarantine.
type Reject struct {
	Locator string // file and line, key, page and index
	Reason  string // what is wrong and what was expected
	Payload string // the row as the source gave it
}

// TypeKey is the key of an Arrow field's metadata that refines a text column.
const TypeKey = "elt.type"

// Values of TypeKey.
const (
	TypeJSON = "json" // a JSON document: JSON on DuckDB, jsonb on Postgres
	TypeUUID = "uuid" // a UUID in its text form
)
