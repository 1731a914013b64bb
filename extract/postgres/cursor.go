package postgres

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"elt/internal/scan"
)

const (
	// cursorVersion is what is written; the first version, whose hashes are of
	// whole rows, is read as well.
	cursorVersion = 2
	// tiesKept is how many rows at the last value a cursor remembers, with a key
	// and without.
	tiesKept      = 1000
	tiesKeptNoKey = 10000
)

// cursor is the content of a [scan.Cursor] of this source.
type cursor struct {
	Version int      `json:"v"`
	Column  string   `json:"column"`
	Type    string   `json:"type"`
	Value   string   `json:"value"`
	Rows    []string `json:"rows,omitempty"`    // hashes of the rows at Value that were read, one for each
	Columns []hashed `json:"columns,omitempty"` // what the hashes are of; none in the first version
}

// parseCursor refuses a cursor that was made for something else.
func parseCursor(c scan.Cursor, s *stream) (*cursor, error) {
	out, err := decodeCursor(c)
	again := fmt.Sprintf("read the stream anew: elt run --full-refresh %s", s.spec.Name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the saved cursor is unusable (%w): %s", err, again)
	case out.Version != 1 && out.Version != cursorVersion:
		return nil, fmt.Errorf("the saved cursor has version %d, expected 1 or %d: %s", out.Version, cursorVersion, again)
	case out.Column != s.cursor.Name:
		return nil, fmt.Errorf("the saved cursor is of column %q, but the stream says cursor: %s; %s", out.Column, s.cursor.Name, again)
	case slices.Contains([]string{"nan", "infinity", "-infinity"}, strings.ToLower(out.Value)) && s.endless() != "":
		return nil, fmt.Errorf("the saved cursor is %s, behind which nothing is ever found; %s", out.Value, again)
	case out.Type != family(s.cursor.found):
		return nil, fmt.Errorf("the saved cursor is of type %s, but column %s is %s now; %s", out.Type, s.cursor.Name, s.cursor.Declared, again)
	}
	return out, nil
}

func decodeCursor(c scan.Cursor) (*cursor, error) {
	decoder := json.NewDecoder(bytes.NewReader([]byte(c)))
	var out *cursor
	if err := decoder.Decode(&out); err != nil {
		return nil, errors.New("not the JSON of a cursor")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) || out == nil {
		return nil, errors.New("not the JSON of one cursor")
	}
	for _, h := range out.Rows {
		if len(h) != 32 {
			return nil, errors.New("a row hash that is none")
		}
	}
	return out, nil
}

func (c cursor) encode() (scan.Cursor, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("encode the cursor: %w", err)
	}
	return scan.Cursor(b), nil
}

// family names types whose values compare alike, so that widening keeps a cursor.
func family(f found) string {
	switch f.OID {
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID:
		return "integer"
	case pgtype.NumericOID:
		return "numeric"
	case pgtype.TextOID, pgtype.VarcharOID:
		return "text"
	}
	return f.Declared
}

func isTime(oid uint32) bool {
	return oid == pgtype.TimestampOID || oid == pgtype.TimestamptzOID || oid == pgtype.DateOID
}

// endless is the condition that the cursor column has a value that nothing, or
// everything, comes after: it may not become the cursor. "": its type has none.
func (s *stream) endless() string {
	name := quote(s.cursor.Name)
	switch oid := s.cursor.OID; {
	case isTime(oid):
		return "NOT isfinite(" + name + ")"
	case oid == pgtype.Float4OID || oid == pgtype.Float8OID || oid == pgtype.NumericOID:
		return name + "::text IN ('NaN', 'Infinity', '-Infinity')"
	}
	return ""
}

// noCursor is the condition of the rows that null_cursor is about. Infinite times
// are set aside as bad rows unless they are read as NULL.
func (s *stream) noCursor() string {
	null := quote(s.cursor.Name) + " IS NULL"
	if endless := s.endless(); endless != "" && (!isTime(s.cursor.OID) || s.options.Infinity == "null") {
		return "(" + null + " OR " + endless + ")"
	}
	return null
}

// instant is a bound of a window in the type of the time column. Times without
// zone are taken as times of day in the zone of the project.
func (s *stream) instant(t time.Time) string {
	if s.time.OID == pgtype.TimestamptzOID {
		return literal(t.UTC().Format("2006-01-02 15:04:05.999999Z07:00")) + "::timestamptz"
	}
	return literal(t.In(s.source.location).Format("2006-01-02 15:04:05.999999")) + "::timestamp"
}
