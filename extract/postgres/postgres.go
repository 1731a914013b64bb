// Package postgres reads PostgreSQL: each stream is a COPY in binary format,
// in a read-only snapshot in which the server also counts the rows, decoded
// straight into Arrow builders. A full read of a large table is several COPYs,
// each of a range of the table's pages, on connections that share the snapshot.
//
// # Types
//
// Every type arrives without loss. Integers, floats, booleans, dates, times and
// text keep their kind; numeric with a precision up to 38 is a decimal, any other
// numeric is text; uuid, json and jsonb are text marked with [scan.TypeKey];
// arrays are JSON text in which numbers keep every digit; everything else
// (timetz, money, inet, ranges, geometry, bit, xml, …) is the text that the
// server prints. Timestamps without zone stay without.
//
// NaN and infinity have no place in a decimal, and an infinite date none in a
// calendar: such a row goes to the quarantine with its key, unless the stream
// says nan: null or infinity: null. So does a timestamp after the year 294246
// and an interval of more than 292 years in hours.
//
// # Cursor
//
// A read begins at the last value of the cursor column, the rows at exactly that
// value included, less those that the last read had: the cursor remembers a hash
// of each, over the columns that there were. Of rows that are alike, as many are
// left out as were read. A row that changed since has another hash and is read
// again; a column that is added changes no hash. Where a column is gone or has
// another type, the rows at the value are read again, which needs a key; without
// a key that is an error. Where more than 1000 rows share the last value nothing
// is remembered and they are read again, which needs a key; without a key up to
// 10000 are remembered, and more are an error.
//
// A row that is committed after a later value was read lies behind the cursor.
// Lookback finds it, where it was committed within that time.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/jackc/pgx/v5"

	"elt/extract"
	"elt/internal/pgserver"
)

// Connection are the keys of a connection, also of one that is pushed to.
type Connection = pgserver.Connection

// SourceOptions are the keys of a source.
type SourceOptions struct {
	Schema string `yaml:"schema,omitempty" json:"schema,omitempty" jsonschema:"description=Schema of the tables; public by default"`
}

// StreamOptions are the keys of a stream.
type StreamOptions struct {
	Table    string `yaml:"table,omitempty" json:"table,omitempty" jsonschema:"description=Table or view to read; also as schema.table; the name of the stream by default"`
	Where    string `yaml:"where,omitempty" json:"where,omitempty" jsonschema:"description=SQL condition that the rows must meet"`
	Parts    int    `yaml:"parts,omitempty" json:"parts,omitempty" jsonschema:"minimum=1,maximum=32,description=Connections over which a full read of a table is spread; 2 for tables of 64 MB and more by default"`
	NaN      string `yaml:"nan,omitempty" json:"nan,omitempty" jsonschema:"enum=reject,enum=null,description=What becomes of NaN and infinity in a decimal; reject by default"`
	Infinity string `yaml:"infinity,omitempty" json:"infinity,omitempty" jsonschema:"enum=reject,enum=null,description=What becomes of an infinite date or timestamp; reject by default"`
}

// Kind is the kind of source that a project calls postgres.
func Kind() extract.Kind {
	return extract.Kind{
		Name:       "postgres",
		Connection: func() any { return new(Connection) },
		Source:     func() any { return new(SourceOptions) },
		Stream:     func() any { return new(StreamOptions) },
		Open:       open,
	}
}

// source implements [extract.Source]. Each scan has a connection of its own, so
// that there is none to share.
type source struct {
	server  *pgserver.Server
	schema  string
	streams []extract.StreamConfig
	alloc   memory.Allocator
	// location is where times without zone are read on a clock.
	location *time.Location

	mu    sync.Mutex
	scans map[*snapshot]struct{}
}

func open(ctx context.Context, c extract.Config) (extract.Source, error) {
	conn, ok := c.Connection.(pgserver.Leads)
	if !ok {
		return nil, errors.New("a postgres source needs a connection: write connection: NAME")
	}
	s := &source{schema: "public", streams: c.Streams, alloc: c.Allocator, location: c.Location, scans: map[*snapshot]struct{}{}}
	if o, ok := c.Source.(*SourceOptions); ok && o != nil && o.Schema != "" {
		s.schema = o.Schema
	}
	if s.alloc == nil {
		s.alloc = memory.DefaultAllocator
	}
	if s.location == nil {
		s.location = time.UTC
	}
	var err error
	if s.server, err = pgserver.New(conn.Way(), c.Place, nil); err != nil {
		return nil, err
	}
	// A wrong address or password should show before anything is read.
	check, err := s.server.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return s, s.server.Disconnect(ctx, check)
}

// Close implements [extract.Source].
func (s *source) Close() error {
	s.mu.Lock()
	var open []*snapshot
	for sn := range s.scans {
		open = append(open, sn)
	}
	s.mu.Unlock()
	var errs []error
	for _, sn := range open {
		errs = append(errs, sn.Close())
	}
	return errors.Join(errs...)
}

// Streams implements [extract.Source].
func (s *source) Streams(ctx context.Context, names ...string) (_ []extract.Stream, err error) {
	conn, err := s.server.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.server.Disconnect(ctx, conn)) }()
	tables, err := s.tables(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("list the tables of schema %s: %w", s.schema, err)
	}
	if len(names) == 0 {
		names = slices.Clone(tables)
		for _, c := range s.streams {
			names = append(names, c.Name)
		}
	}
	names = slices.Clone(names)
	slices.Sort(names)
	out := []extract.Stream{}
	for _, name := range slices.Compact(names) {
		st, err := s.stream(ctx, conn, name, tables)
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", name, err)
		}
		out = append(out, st)
	}
	return out, nil
}

// stream describes one stream, declared or not.
func (s *source) stream(ctx context.Context, conn *pgx.Conn, name string, tables []string) (*stream, error) {
	st := &stream{source: s, config: extract.StreamConfig{Name: name}, schema: s.schema, table: name}
	for _, c := range s.streams {
		if c.Name == name {
			st.config = c
		}
	}
	if o, ok := st.config.Options.(*StreamOptions); ok && o != nil {
		st.options = *o
	}
	if st.options.Table != "" {
		st.table = st.options.Table
		if schema, table, ok := strings.Cut(st.table, "."); ok {
			st.schema, st.table = schema, table
		}
	}
	columns, err := s.columns(ctx, conn, st.schema, st.table)
	if err != nil {
		return nil, fmt.Errorf("read the columns of %s.%s: %w", st.schema, st.table, err)
	}
	if columns == nil {
		return nil, missing("table", st.schema+"."+st.table, tables)
	}
	if err := st.describe(columns); err != nil {
		return nil, err
	}
	return st, nil
}
