package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/jackc/pgx/v5"

	"elt/extract"
	"elt/internal/scan"
)

// snapshot implements [scan.Scan]: one transaction on a connection of its own.
type snapshot struct {
	stream      *stream
	request     extract.Request
	columns     []column
	schema      *arrow.Schema
	conn        *pgx.Conn
	incremental bool
	from        *cursor
	base, where []string // conditions: of the stream, and of this scan besides
	tied        []string // of the rows at the cursor's value, some of which were read before
	count       int64
	next        scan.Cursor
	ended       atomic.Bool // the part has been read to its confirmed end

	mu     sync.Mutex
	reader *reader
	once   sync.Once
	closed error
}

// begin takes the snapshot, counts, and settles where the next read begins.
func (sn *snapshot) begin(ctx context.Context) error {
	wrap := sn.stream.source.wrap
	if _, err := sn.conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
		return fmt.Errorf("begin a snapshot: %w", wrap(ctx, err))
	}
	from := sn.rows()
	if !sn.incremental {
		if err := sn.conn.QueryRow(ctx, "SELECT count(*) "+from, pgx.QueryExecModeSimpleProtocol).Scan(&sn.count); err != nil {
			return fmt.Errorf("count the rows: %w", wrap(ctx, err))
		}
		if sn.request.Limit > 0 {
			sn.count = min(sn.count, sn.request.Limit)
		}
		return nil
	}
	c := sn.stream.cursor
	name := quote(c.Name)
	highest := "max(" + name + ")"
	if isTime(c.OID) { // nothing comes after infinity: it may not become the cursor
		highest += fmt.Sprintf(" FILTER (WHERE isfinite(%s))", name)
	}
	if sn.from != nil && sn.stream.config.Lookback > 0 {
		highest = fmt.Sprintf("greatest(%s, %s::%s)", highest, literal(sn.from.Value), c.Declared)
	}
	var nulls int64
	var value *string
	q := fmt.Sprintf("SELECT count(*), count(*) FILTER (WHERE %s IS NULL), (%s)::text %s", name, highest, from)
	if err := sn.conn.QueryRow(ctx, q, pgx.QueryExecModeSimpleProtocol).Scan(&sn.count, &nulls, &value); err != nil {
		return fmt.Errorf("count the rows and find the last %s: %w", c.Name, wrap(ctx, err))
	}
	if policy := sn.stream.config.NullCursor; nulls > 0 && policy != "include" && policy != "exclude" {
		return fmt.Errorf("%d rows have no %s, so that a later run could not find them: fill them, or say null_cursor: include or null_cursor: exclude", nulls, c.Name)
	}
	if sn.count == 0 || value == nil {
		return nil
	}
	return sn.settle(ctx, *value)
}

// settle makes the next cursor, which remembers the rows at exactly value.
func (sn *snapshot) settle(ctx context.Context, value string) error {
	c, s := sn.stream.cursor, sn.stream
	next := cursor{Version: cursorVersion, Column: c.Name, Type: family(c.found), Value: value}
	keyed := len(s.spec.Key) > 0
	limit := tiesKept
	if !keyed {
		limit = tiesKeptNoKey
	}
	at := fmt.Sprintf("%s = %s::%s", quote(c.Name), literal(value), c.Declared)
	columns := s.hashedColumns()
	q := fmt.Sprintf("SELECT %s FROM %s%s LIMIT %d", s.hash(columns), s.relation(), conditions(append(sn.base[:len(sn.base):len(sn.base)], at)), limit+1)
	rows, err := sn.conn.Query(ctx, q, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return fmt.Errorf("read the rows at the last %s: %w", c.Name, s.source.wrap(ctx, err))
	}
	next.Rows, err = pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("read the rows at the last %s: %w", c.Name, s.source.wrap(ctx, err))
	}
	if len(next.Rows) > limit {
		if !keyed {
			return fmt.Errorf("more than %d rows have the last %s, %s, and are read again by the next run, which needs a key: add key: COLUMN", limit, c.Name, value)
		}
		next.Rows = nil
	}
	if len(next.Rows) > 0 {
		next.Columns = columns
	}
	sn.next, err = next.encode()
	return err
}

// rows is the FROM clause of all that the scan reads.
func (sn *snapshot) rows() string {
	if len(sn.tied) > 0 {
		return sn.beyond()
	}
	return fmt.Sprintf("FROM %s%s", sn.stream.relation(), conditions(sn.where))
}

func conditions(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(all, " AND ")
}

// copySQL reads what begin counted.
func (sn *snapshot) copySQL() string {
	selected := make([]string, len(sn.columns))
	for i, c := range sn.columns {
		selected[i] = c.selected
	}
	limit := ""
	if sn.request.Limit > 0 && sn.request.Limit < math.MaxInt64 {
		limit = fmt.Sprintf(" LIMIT %d", sn.request.Limit)
	}
	return fmt.Sprintf("COPY (SELECT %s %s%s) TO STDOUT (FORMAT binary)", strings.Join(selected, ", "), sn.rows(), limit)
}

// Schema implements [scan.Scan].
func (sn *snapshot) Schema() *arrow.Schema { return sn.schema }

// Parts implements [scan.Scan]. A read that goes on from a cursor and finds
// nothing has none.
func (sn *snapshot) Parts() []scan.Part {
	if sn.from != nil && sn.count == 0 {
		return nil
	}
	return []scan.Part{{Open: sn.open}}
}

func (sn *snapshot) open(ctx context.Context) (array.RecordReader, error) {
	sn.mu.Lock()
	defer sn.mu.Unlock()
	if sn.reader != nil {
		return nil, errors.New("the part was read already")
	}
	sn.reader = newReader(ctx, sn)
	return sn.reader, nil
}

// Cursor implements [scan.Scan].
func (sn *snapshot) Cursor() scan.Cursor {
	if !sn.ended.Load() {
		return ""
	}
	return sn.next
}

// Counted implements [scan.Scan].
func (sn *snapshot) Counted() (int64, bool) { return sn.count, true }

// Close implements [scan.Scan]. It waits for the reader's goroutine.
func (sn *snapshot) Close() error {
	sn.once.Do(func() {
		sn.mu.Lock()
		if r := sn.reader; r != nil {
			r.stop()
		} else {
			sn.reader = &reader{}
		}
		sn.mu.Unlock()
		s := sn.stream.source
		sn.closed = s.disconnect(context.Background(), sn.conn)
		s.mu.Lock()
		delete(s.scans, sn)
		s.mu.Unlock()
	})
	return sn.closed
}
