package files

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"elt/extract"
	"elt/internal/duckread"
	"elt/internal/scan"
)

// stream is one set of files.
type stream struct {
	config  extract.StreamConfig
	dir     string
	pattern string // as the project says it, with the stream's name in place
	options Options
	zone    string // of the project; "": UTC
}

// Spec implements [extract.Stream].
func (s *stream) Spec() extract.Spec {
	return extract.Spec{Name: s.config.Name, Key: s.config.Key, Cursor: s.config.Cursor, Time: s.config.Time, Files: true}
}

// snapshot is the scan of the files that are new.
type snapshot struct {
	ledger ledger
	found  map[string]found // the files that are read, by name
	parts  []scan.Part
}

// found is a file as it was when the scan was opened.
type found struct {
	path  string
	entry entry
}

// Open implements [extract.Stream].
func (s *stream) Open(ctx context.Context, r extract.Request) (scan.Scan, error) {
	out, err := s.open(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("files of %s: %w", s.config.Name, err)
	}
	return out, nil
}

func (s *stream) open(ctx context.Context, r extract.Request) (*snapshot, error) {
	paths, err := glob(absolute(s.dir, s.pattern))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no file matches %s in %s; correct `path:`, or put a file there", s.pattern, s.dir)
	}
	past := !r.Window.IsZero()
	if past {
		r.From = r.Until
	}
	known, err := parseLedger(r.From)
	if err != nil {
		return nil, err
	}
	sc := &snapshot{ledger: ledger{Version: ledgerVersion, Files: maps.Clone(known.Files)}, found: map[string]found{}}
	var groups []scan.Files
	for _, path := range paths {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		f := scan.File{Path: path, Name: s.name(path)}
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", f.Name, reason(err))
		}
		e := entryOf(info)
		same := false
		if old, ok := known.Files[f.Name]; ok {
			if same, err = unchanged(path, old, &e); err != nil {
				return nil, fmt.Errorf("read %s: %w", f.Name, reason(err))
			}
		}
		switch {
		case past && r.Until != "" && !same: // the next load reads it
			continue
		case !past && same:
			sc.ledger.Files[f.Name] = e
			continue
		}
		sc.found[f.Name] = found{path, e}
		if groups, err = s.put(groups, f); err != nil {
			return nil, err
		}
	}
	for _, g := range groups {
		sc.parts = append(sc.parts, s.part(g, r))
	}
	return sc, nil
}

// unchanged compares by size and time, and where they differ by content; e gets
// the hash that is known then.
func unchanged(path string, old entry, e *entry) (bool, error) {
	if old.same(*e) {
		e.Hash = old.Hash
		return true, nil
	}
	if old.Size != e.Size {
		return false, nil
	}
	sum, err := hash(path)
	if err != nil {
		return false, err
	}
	e.Hash = sum
	return sum == old.Hash, nil
}

// name is path as the project sees it, or path itself outside of the project.
func (s *stream) name(path string) string {
	rel, err := filepath.Rel(s.dir, path)
	if err != nil || strings.HasPrefix(rel, ".."+string(filepath.Separator)) && filepath.IsAbs(s.pattern) {
		return filepath.ToSlash(path)
	}
	return filepath.ToSlash(rel)
}

// put adds f to the group of its format; one part holds what one reader reads.
func (s *stream) put(groups []scan.Files, f scan.File) ([]scan.Files, error) {
	format, csv := scan.Format(s.options.Format), s.options.CSV
	byName, tabs, err := formatOf(f.Name)
	if format == "" {
		if err != nil {
			return nil, err
		}
		format = byName
	}
	if tabs && format == scan.CSV && csv.Delimiter == "" {
		csv.Delimiter = "\t"
	}
	i := slices.IndexFunc(groups, func(g scan.Files) bool { return g.Format == format && g.CSV.Delimiter == csv.Delimiter })
	if i < 0 {
		i = len(groups)
		groups = append(groups, scan.Files{Format: format, Columns: s.columns(), CSV: csv})
	}
	groups[i].Paths = append(groups[i].Paths, f)
	return groups, nil
}

func (s *stream) columns() []scan.Column {
	var out []scan.Column
	for _, name := range slices.Sorted(maps.Keys(s.config.Columns)) {
		out = append(out, scan.Column{Name: name, Type: s.config.Columns[name]})
	}
	return out
}

// part is g as data, so that a warehouse which can reads it itself, or as a
// reader where the request asks for less than all of it.
func (s *stream) part(g scan.Files, r extract.Request) scan.Part {
	if r.Limit == 0 && len(r.Columns) == 0 {
		return scan.Part{Files: &g}
	}
	return scan.Part{Open: func(ctx context.Context) (array.RecordReader, error) {
		reader, err := duckread.Open(ctx, g, r.Reject, s.zone)
		if err != nil {
			return nil, err
		}
		return less(reader, r.Columns, r.Limit)
	}}
}

// Schema implements [scan.Scan]: what the files hold is known when they are read.
func (s *snapshot) Schema() *arrow.Schema { return nil }

// Parts implements [scan.Scan].
func (s *snapshot) Parts() []scan.Part { return s.parts }

// Cursor implements [scan.Scan]. A file that is not any more what it was when
// the scan was opened is left out: the next run reads it again.
func (s *snapshot) Cursor() scan.Cursor {
	if len(s.parts) == 0 {
		return ""
	}
	for name, f := range s.found {
		delete(s.ledger.Files, name)
		sum, err := hash(f.path)
		if err != nil {
			continue
		}
		if info, err := os.Stat(f.path); err != nil || !entryOf(info).same(f.entry) {
			continue
		}
		f.entry.Hash = sum
		s.ledger.Files[name] = f.entry
	}
	c, err := s.ledger.cursor()
	if err != nil {
		return "" // texts and numbers always marshal; without a cursor all is read again
	}
	return c
}

// Counted implements [scan.Scan]: files carry no count that holds for all formats.
func (s *snapshot) Counted() (int64, bool) { return 0, false }

// Close implements [scan.Scan].
func (s *snapshot) Close() error { return nil }
