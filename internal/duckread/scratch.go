package duckread

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	duckdb "github.com/duckdb/duckdb-go/v2"

	"elt/internal/rows"
	"elt/internal/scan"
)

// pageRows is how many rows are in memory at a time: half a row group.
const pageRows = 61_440

// Open reads f for a warehouse that is no DuckDB, in the time zone tz. It is
// Insert into a scratch file, whose rows are then handed out page by page: the
// memory is flat, and no row is handed out before every file was read to its end
// and every bad row was rejected. Release removes the scratch file.
func Open(ctx context.Context, f scan.Files, reject func(scan.Reject) error, tz string) (array.RecordReader, error) {
	s, err := newScratch(ctx, tz)
	if err != nil {
		return nil, fmt.Errorf("make a scratch database in %s to read files: %w; let this user write there, or set TMPDIR to a folder with space", os.TempDir(), cause(err))
	}
	r, err := s.read(ctx, f, reject)
	if err != nil {
		return nil, errors.Join(s.space(err), s.close())
	}
	return r, nil
}

// space says of an error about the scratch file that it is not the files that
// are to blame, and where room is needed.
func (s *scratch) space(err error) error {
	var engine *duckdb.Error
	if !errors.As(err, &engine) || engine.Type != duckdb.ErrorTypeIO || !strings.Contains(engine.Msg, s.dir) {
		return err
	}
	reason := engine.Msg[strings.LastIndex(engine.Msg, ": ")+1:]
	return &plainError{err: err, text: fmt.Sprintf("the scratch database in %s cannot be written:%s; make room there for the rows of the files, or set TMPDIR to a folder with space",
		os.TempDir(), reason)}
}

// scratch is a DuckDB of its own with one file.
type scratch struct {
	dir       string
	connector *duckdb.Connector
	conn      *duckdb.Conn
}

func newScratch(ctx context.Context, tz string) (s *scratch, err error) {
	if tz == "" {
		tz = "UTC"
	}
	s = &scratch{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.dir, err = os.MkdirTemp("", "elt-files-"); err != nil {
		return s, err
	}
	if s.connector, err = duckdb.NewConnector("", nil); err != nil {
		return s, err
	}
	c, err := s.connector.Connect(ctx)
	if err != nil {
		return s, err
	}
	conn, ok := c.(*duckdb.Conn)
	if !ok {
		return s, errors.Join(fmt.Errorf("duckdb connection is a %T", c), c.Close())
	}
	s.conn = conn
	for _, q := range []string{
		"SET autoinstall_known_extensions=false", "SET autoload_known_extensions=false",
		"SET GLOBAL TimeZone=" + literal(tz), "SET preserve_insertion_order=false", "SET memory_limit='512MB'",
		"SET temp_directory=" + literal(filepath.Join(s.dir, "tmp")),
		"ATTACH " + literal(filepath.Join(s.dir, "rows.duckdb")) + " AS scratch",
	} {
		if _, err = s.Exec(ctx, q); err != nil {
			return s, err
		}
	}
	return s, nil
}

// Exec implements [Execer].
func (s *scratch) Exec(ctx context.Context, q string, args ...any) (int64, error) {
	res, err := s.conn.ExecContext(ctx, q, named(args))
	if err != nil {
		return 0, err
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

// Query implements [Execer] for small results.
func (s *scratch) Query(ctx context.Context, q string, args ...any) (array.RecordReader, error) {
	a, err := duckdb.NewArrowFromConn(s.conn)
	if err != nil {
		return nil, err
	}
	return a.QueryContext(ctx, q, args...)
}

func (s *scratch) close() error {
	var errs []error
	if s.conn != nil {
		errs = append(errs, s.conn.Close())
		s.conn = nil
	}
	if s.connector != nil {
		errs = append(errs, s.connector.Close())
		s.connector = nil
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
		s.dir = ""
	}
	return errors.Join(errs...)
}

const scratchTable = "scratch.main.files"

func (s *scratch) read(ctx context.Context, f scan.Files, reject func(scan.Reject) error) (*reader, error) {
	looked, err := Look(ctx, s, f)
	if err != nil {
		return nil, err
	}
	cols := looked.Columns()
	defs := make([]string, len(cols))
	for i, c := range cols {
		defs[i] = quote(c.Name) + " " + c.Type
	}
	for _, q := range []string{"BEGIN", "CREATE TABLE " + scratchTable + " (" + strings.Join(defs, ", ") + ")"} {
		if _, err := s.Exec(ctx, q); err != nil {
			return nil, of(f.Paths, err)
		}
	}
	if _, err := looked.Insert(ctx, s, scratchTable, reject); err != nil {
		return nil, err
	}
	if _, err := s.Exec(ctx, "COMMIT"); err != nil {
		return nil, of(f.Paths, err)
	}
	r := &reader{ctx: ctx, scratch: s, files: f.Paths, ordered: f.Ordered, refs: 1}
	return r, r.begin(cols)
}

// reader hands out the rows of a scratch file by ranges of row ids. It is used
// by one goroutine at a time.
type reader struct {
	ctx       context.Context // of the reading, as its contract says
	scratch   *scratch
	files     []scan.File
	query     string
	ordered   bool
	schema    *arrow.Schema
	next, end int64
	page      array.RecordReader
	batch     arrow.RecordBatch
	err       error
	refs      int
}

// begin fixes the schema: what Arrow has no type for goes as text that says so.
func (r *reader) begin(cols []scan.Column) error {
	items := make([]string, len(cols))
	notes := map[string]string{}
	for i, c := range cols {
		item := quote(c.Name)
		switch strings.ToUpper(c.Type) {
		case "JSON":
			notes[c.Name] = scan.TypeJSON
		case "UUID":
			notes[c.Name] = scan.TypeUUID
		}
		if asText(c.Type) {
			item = "CAST(" + item + " AS VARCHAR) AS " + item
		}
		items[i] = item
	}
	r.query = "SELECT " + strings.Join(items, ", ") + " FROM " + scratchTable
	sample, err := r.scratch.Query(r.ctx, r.query+" LIMIT 0")
	if err != nil {
		return of(r.files, err)
	}
	defer sample.Release()
	fields := sample.Schema().Fields()
	for i, f := range fields {
		if note, ok := notes[f.Name]; ok {
			fields[i].Metadata = arrow.NewMetadata([]string{scan.TypeKey}, []string{note})
		}
	}
	r.schema = arrow.NewSchema(fields, nil)
	bounds, err := r.scratch.Query(r.ctx, "SELECT coalesce(min(rowid), 0)::BIGINT, coalesce(max(rowid) + 1, 0)::BIGINT FROM "+scratchTable)
	if err != nil {
		return of(r.files, err)
	}
	return rows.Each(bounds, func(row rows.Row) error {
		r.next, r.end = row.Int(0), row.Int(1)
		return nil
	})
}

func asText(typ string) bool {
	switch upper := strings.ToUpper(typ); upper {
	case "JSON", "UUID", "TIME WITH TIME ZONE", "TIMETZ", "HUGEINT", "UHUGEINT", "BIT":
		return true
	default:
		return strings.HasPrefix(upper, "ENUM(")
	}
}

func (r *reader) Schema() *arrow.Schema { return r.schema }

func (r *reader) Next() bool {
	r.drop()
	for r.err == nil {
		if r.ctx.Err() != nil {
			r.err = context.Cause(r.ctx)
			break
		}
		if r.page == nil {
			if r.next >= r.end {
				return false
			}
			q := fmt.Sprintf("%s WHERE rowid >= %d AND rowid < %d", r.query, r.next, r.next+pageRows)
			if r.ordered {
				q += " ORDER BY rowid"
			}
			r.page, r.err = r.scratch.Query(r.ctx, q)
			r.next += pageRows
			continue
		}
		if r.page.Next() {
			b := r.page.RecordBatch()
			r.batch = array.NewRecordBatch(r.schema, b.Columns(), b.NumRows())
			return true
		}
		r.err = r.page.Err()
		r.page.Release()
		r.page = nil
	}
	r.err = of(r.files, r.err)
	return false
}

func (r *reader) drop() {
	if r.batch != nil {
		r.batch.Release()
		r.batch = nil
	}
}

func (r *reader) RecordBatch() arrow.RecordBatch { return r.batch }
func (r *reader) Record() arrow.RecordBatch      { return r.batch }
func (r *reader) Err() error                     { return r.err }
func (r *reader) Retain()                        { r.refs++ }

// Release removes the scratch file with the last reference.
func (r *reader) Release() {
	if r.refs--; r.refs != 0 {
		return
	}
	r.drop()
	if r.page != nil {
		r.page.Release()
		r.page = nil
	}
	if err := r.scratch.close(); err != nil && r.err == nil {
		r.err = fmt.Errorf("remove the scratch database: %w", err)
	}
}
