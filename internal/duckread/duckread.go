// Package duckread says how DuckDB's own readers take in plain files: CSV, JSON,
// JSON lines and Parquet, each row with the name of its file, each bad row
// handed back with its place.
//
// A statement that fails aborts a DuckDB transaction, so nothing here tries a
// statement to see whether it fails: what may be wrong with a row is asked for
// as data, and only what makes a whole file unreadable is an error.
//
// Types are DuckDB's sniffer's unless they are declared. Text with leading zeros
// stays text, JSON timestamps with an offset become timestamps with time zone,
// and nested values become JSON. Column names become snake_case.
package duckread

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/array"

	"elt/internal/scan"
)

// sourceFile is the column that names the file of a row.
const sourceFile = "_source_file"

// fileColumn is what the readers call the path of a row's file, chosen so that
// no column of a file has that name.
const fileColumn = "_elt_read_file"

// Execer runs statements in one transaction of a DuckDB database.
type Execer interface {
	// Exec runs one statement and returns the rows it touched.
	Exec(ctx context.Context, q string, args ...any) (int64, error)
	// Query runs one SELECT. The caller releases the reader before the next call.
	Query(ctx context.Context, q string, args ...any) (array.RecordReader, error)
}

// Reading is a set of files that has been looked at: how each is read, and what
// columns come out. It is good for one Insert.
type Reading struct {
	plan   *plan
	before []stamp
}

// Look finds out how to read f: separators, columns, types.
func Look(ctx context.Context, e Execer, f scan.Files) (*Reading, error) {
	before, err := stamps(f.Paths)
	if err != nil {
		return nil, err
	}
	p, err := makePlan(ctx, e, f)
	if err != nil {
		if changed := compare(before, f.Paths); changed != nil {
			return nil, changed
		}
		return nil, err
	}
	return &Reading{plan: p, before: before}, nil
}

// Columns are the columns that Insert writes, in order, the name of the file
// last: declared ones with their declared type, the others as sniffed.
func (r *Reading) Columns() []scan.Column {
	out := make([]scan.Column, 0, len(r.plan.cols)+1)
	for _, c := range r.plan.cols {
		out = append(out, scan.Column{Name: c.name, Source: c.source, Type: c.typ})
	}
	return append(out, scan.Column{Name: sourceFile, Type: "VARCHAR"})
}

// Insert reads the files into the table that into names, as quoted SQL, by
// column name, and returns how many rows it inserted.
// Rows that do not fit go to reject, whose error ends the reading; with a nil
// reject the first of them is an error. A file that has changed since Look is
// a transient error; one that cannot be read to its end is an error that names
// it. After an error the transaction must be rolled back.
func (r *Reading) Insert(ctx context.Context, e Execer, into string, reject func(scan.Reject) error) (int64, error) {
	w := &writer{e: e, plan: r.plan, into: into, reject: reject}
	if reject == nil {
		w.reject = func(r scan.Reject) error {
			return fmt.Errorf("%s: %s", r.Locator, r.Reason)
		}
	}
	n, err := w.write(ctx)
	// A file that is being written explains every other error about it.
	if changed := compare(r.before, r.plan.f.Paths); changed != nil {
		return 0, changed
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}

// writer is one Insert.
type writer struct {
	e      Execer
	plan   *plan
	into   string
	reject func(scan.Reject) error
}

func (w *writer) write(ctx context.Context) (int64, error) {
	if len(w.plan.files) == 0 {
		return 0, nil // all files are empty
	}
	switch w.plan.f.Format {
	case scan.CSV:
		return w.csv(ctx)
	case scan.JSONLines:
		return w.lines(ctx)
	case scan.JSON:
		return w.documents(ctx)
	case scan.Parquet:
		return w.parquet(ctx)
	default:
		return 0, fmt.Errorf("unknown file format %q, expected csv, json, jsonl or parquet", w.plan.f.Format)
	}
}

// insertSQL is INSERT … SELECT items FROM from; items are already aliased.
func (w *writer) insertSQL(items []string, from string) string {
	return "INSERT INTO " + w.into + " BY NAME " + w.selectSQL(strings.Join(items, ", "), from)
}

// selectSQL is SELECT items FROM from, in the order of the files where that is asked.
//
// The databases that files are read into do not keep the order of rows, which
// would cost every read time, and their settings are locked. A numbering that
// streams makes DuckDB keep it, in one thread.
func (w *writer) selectSQL(items, from string) string {
	if !w.plan.f.Ordered {
		return "SELECT " + items + " FROM " + from
	}
	return "SELECT * EXCLUDE (_elt_nth) FROM (SELECT " + items + ", row_number() OVER () AS _elt_nth FROM " + from + ") WHERE _elt_nth > 0"
}

// nameItem is the select item that names the file of a row.
func nameItem(files []scan.File) string {
	return nameExpr(files) + " AS " + quote(sourceFile)
}

// nameExpr maps the path that a reader reports to the name of the file. Most
// often all names are the paths below one folder, which is a constant to cut
// off; a map is looked up row by row only where they are not.
func nameExpr(files []scan.File) string {
	if len(files) == 1 {
		return literal(files[0].Name)
	}
	col := quote(fileColumn)
	if prefix, ok := commonPrefix(files); ok {
		return fmt.Sprintf("substr(%s, %d)", col, len([]rune(prefix))+1)
	}
	keys, values := make([]string, len(files)), make([]string, len(files))
	for i, f := range files {
		keys[i], values[i] = literal(f.Path), literal(f.Name)
	}
	return "map_extract_value(MAP([" + strings.Join(keys, ", ") + "], [" + strings.Join(values, ", ") + "]), " + col + ")"
}

func commonPrefix(files []scan.File) (string, bool) {
	prefix, ok := strings.CutSuffix(files[0].Path, files[0].Name)
	for _, f := range files {
		ok = ok && f.Path == prefix+f.Name
	}
	return prefix, ok
}

// pathList is the list of files as a reader takes it, with the characters that
// it would take for a pattern made plain.
func pathList(files []scan.File) string {
	plain := strings.NewReplacer("[", "[[]", "*", "[*]", "?", "[?]")
	out := make([]string, len(files))
	for i, f := range files {
		out[i] = literal(plain.Replace(f.Path))
	}
	return "[" + strings.Join(out, ", ") + "]"
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func literal(s string) string { return `'` + strings.ReplaceAll(s, `'`, `''`) + `'` }

var errNoFiles = errors.New("a part without files cannot be read")
