package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"elt/extract"
	"elt/internal/scan"
	"elt/window"
)

// stream implements [extract.Stream].
type stream struct {
	source        *source
	config        extract.StreamConfig
	options       StreamOptions
	schema, table string
	columns       []column
	spec          extract.Spec
	cursor        *column // of spec.Cursor
	time          *column // of spec.Time
}

// Spec implements [extract.Stream].
func (s *stream) Spec() extract.Spec { return s.spec }

// describe fills in the columns, and checks what the project says about them.
func (s *stream) describe(all []found) error {
	var names []string
	var key []found
	for _, f := range all {
		names = append(names, f.Name)
		c := plan(f, s.options)
		if typ := s.config.Columns[f.Name]; typ != "" {
			var err error
			if c, err = override(f, typ, s.options); err != nil {
				return err
			}
		}
		c.printed = printedAs(f)
		s.columns = append(s.columns, c)
		if f.Key > 0 {
			key = append(key, f)
		}
	}
	slices.SortFunc(key, func(a, b found) int { return a.Key - b.Key })
	s.spec = extract.Spec{Name: s.config.Name, Schema: schemaOf(s.columns), Key: s.config.Key, Cursor: s.config.Cursor, Time: s.config.Time}
	if len(s.spec.Key) == 0 {
		for _, f := range key {
			s.spec.Key = append(s.spec.Key, f.Name)
		}
	}
	asked := slices.Clone(s.spec.Key)
	for name := range s.config.Columns {
		asked = append(asked, name)
	}
	for _, name := range append(asked, s.spec.Cursor, s.spec.Time) {
		if name != "" && !slices.Contains(names, name) {
			return missing("column", s.table+"."+name, names)
		}
	}
	for i := range s.columns {
		if s.columns[i].Name == s.spec.Cursor {
			s.cursor = &s.columns[i]
		}
		if s.columns[i].Name == s.spec.Time {
			s.time = &s.columns[i]
		}
	}
	if s.options.Parts < 0 || s.options.Parts > maxParts {
		return fmt.Errorf("parts: %d: expected 1 to %d", s.options.Parts, maxParts)
	}
	return s.checkLookback()
}

func (s *stream) checkLookback() error {
	switch {
	case s.config.Lookback == 0:
		return nil
	case s.cursor == nil:
		return errors.New("lookback needs a cursor: add cursor: COLUMN")
	case len(s.spec.Key) == 0:
		return errors.New("lookback reads rows again, and so needs a key: add key: COLUMN")
	case !isTime(s.cursor.OID):
		return fmt.Errorf("lookback is a time, but the cursor %s is %s: expected a date or timestamp", s.cursor.Name, s.cursor.Declared)
	}
	return nil
}

func schemaOf(columns []column) *arrow.Schema {
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		fields[i] = c.field
	}
	return arrow.NewSchema(fields, nil)
}

// relation is the table as SQL names it; its own name stays usable in where.
func (s *stream) relation() string { return quote(s.schema) + "." + quote(s.table) }

// Open implements [extract.Stream].
func (s *stream) Open(ctx context.Context, r extract.Request) (scan.Scan, error) {
	sn, err := s.open(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.spec.Name, err)
	}
	return sn, nil
}

func (s *stream) open(ctx context.Context, r extract.Request) (*snapshot, error) {
	columns, err := s.subset(r.Columns)
	if err != nil {
		return nil, err
	}
	sn := &snapshot{stream: s, request: r, columns: columns, schema: schemaOf(columns)}
	sn.incremental = s.cursor != nil && r.Window == (window.Window{}) && r.Limit == 0
	if sn.incremental && r.From != "" {
		if sn.from, err = parseCursor(r.From, s); err != nil {
			return nil, err
		}
	}
	if err := s.condition(sn); err != nil {
		return nil, err
	}
	if sn.conn, err = s.source.server.Connect(ctx); err != nil {
		return nil, err
	}
	sn.parts = []*part{{snapshot: sn, conn: sn.conn}}
	s.source.mu.Lock()
	s.source.scans[sn] = struct{}{}
	s.source.mu.Unlock()
	if err := sn.begin(ctx); err != nil {
		return nil, errors.Join(err, sn.Close())
	}
	return sn, nil
}

func (s *stream) subset(names []string) ([]column, error) {
	if len(names) == 0 {
		return s.columns, nil
	}
	var all []string
	var out []column
	for _, c := range s.columns {
		all = append(all, c.Name)
		if slices.Contains(names, c.Name) {
			out = append(out, c)
		}
	}
	for _, name := range names {
		if !slices.Contains(all, name) {
			return nil, missing("column", s.table+"."+name, all)
		}
	}
	return out, nil
}

// condition puts together which rows the scan reads.
func (s *stream) condition(sn *snapshot) error {
	if s.options.Where != "" {
		// The line end keeps a comment in the condition from hiding the bracket.
		sn.base = append(sn.base, "("+s.options.Where+"\n)")
	}
	sn.where = slices.Clone(sn.base)
	if sn.request.Window != (window.Window{}) {
		return s.within(sn)
	}
	if sn.incremental {
		return s.after(sn)
	}
	return nil
}

// within leaves out what does not lie in the window, and what a read from the
// cursor of the request gives.
func (s *stream) within(sn *snapshot) error {
	if s.time == nil {
		return errors.New("a window needs a time column: add time: COLUMN to the stream")
	}
	if !isTime(s.time.OID) {
		return fmt.Errorf("the time column %s is %s: expected a date or timestamp", s.time.Name, s.time.Declared)
	}
	w := sn.request.Window
	if !w.Start.IsZero() {
		sn.where = append(sn.where, quote(s.time.Name)+" >= "+s.instant(w.Start))
	}
	if !w.End.IsZero() {
		sn.where = append(sn.where, quote(s.time.Name)+" < "+s.instant(w.End))
	}
	if s.cursor == nil {
		return nil
	}
	if s.config.NullCursor == "exclude" {
		sn.where = append(sn.where, "NOT ("+s.noCursor()+")")
	}
	if sn.request.Until == "" {
		return nil
	}
	until, err := parseCursor(sn.request.Until, s)
	if err != nil {
		return err
	}
	tied, err := s.recognizable(until)
	if err != nil {
		return err
	}
	name, value := quote(s.cursor.Name), literal(until.Value)+"::"+s.cursor.Declared
	if !tied {
		sn.where = append(sn.where, name+" <= "+value)
		return nil
	}
	sn.tied, sn.ties = append(slices.Clone(sn.where), name+" = "+value), until
	sn.where = append(sn.where, name+" < "+value)
	return nil
}

// after leaves out what was read before.
func (s *stream) after(sn *snapshot) error {
	name := quote(s.cursor.Name)
	var terms []string
	if sn.from != nil {
		value := literal(sn.from.Value) + "::" + s.cursor.Declared
		tied, err := s.recognizable(sn.from)
		if err != nil {
			return err
		}
		switch {
		case s.config.Lookback > 0:
			terms = append(terms, fmt.Sprintf("%s >= %s - interval '%d microseconds'", name, value, s.config.Lookback.Microseconds()))
		case tied:
			terms = append(terms, name+" > "+value)
			sn.tied, sn.ties = append(slices.Clone(sn.base), name+" = "+value), sn.from
		default:
			terms = append(terms, name+" >= "+value)
		}
	}
	after := strings.Join(terms, " AND ")
	switch {
	case s.config.NullCursor == "exclude":
		terms = append(terms, "NOT ("+s.noCursor()+")")
		after = strings.Join(terms, " AND ")
	case after != "":
		// Rows without a cursor are always in reach: to read them, or to tell of them.
		after = fmt.Sprintf("(%s OR %s IS NULL)", after, name)
	}
	if after != "" {
		sn.where = append(sn.where, after)
	}
	return nil
}
