package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jackc/pgx/v5"

	"elt/extract"
	"elt/internal/scan"
)

// beginSQL begins a transaction that sees one state of the database.
const beginSQL = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

// snapshot implements [scan.Scan]: one transaction on a connection of its own,
// and those of further parts that share its snapshot. It stays open until all
// parts are closed.
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
	ties        *cursor  // that remembers which
	count       int64
	next        scan.Cursor
	parts       []*part      // constant after begin; at least one
	ended       atomic.Int64 // parts that have been read to their confirmed end

	mu        sync.Mutex
	rowsRead  int64 // of the parts whose rows have all arrived
	partsRead int
	once      sync.Once
	closed    error
}

// begin takes the snapshot, counts, settles where the next read begins, and
// shares the rows out to parts.
func (sn *snapshot) begin(ctx context.Context) error {
	if _, err := sn.conn.Exec(ctx, beginSQL); err != nil {
		return fmt.Errorf("begin a snapshot: %w", sn.stream.source.wrap(ctx, err))
	}
	if err := sn.measure(ctx); err != nil {
		return err
	}
	return sn.split(ctx)
}

// measure counts the rows and makes the next cursor.
func (sn *snapshot) measure(ctx context.Context) error {
	wrap := sn.stream.source.wrap
	from := sn.rows("")
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
	if endless := sn.stream.endless(); endless != "" {
		highest += " FILTER (WHERE NOT (" + endless + "))"
	}
	if sn.from != nil && sn.stream.config.Lookback > 0 {
		highest = fmt.Sprintf("greatest(%s, %s::%s)", highest, literal(sn.from.Value), c.Declared)
	}
	var nulls int64
	var value *string
	q := fmt.Sprintf("SELECT count(*), count(*) FILTER (WHERE %s), (%s)::text %s", sn.stream.noCursor(), highest, from)
	if err := sn.conn.QueryRow(ctx, q, pgx.QueryExecModeSimpleProtocol).Scan(&sn.count, &nulls, &value); err != nil {
		return fmt.Errorf("count the rows and find the last %s: %w", c.Name, wrap(ctx, err))
	}
	if policy := sn.stream.config.NullCursor; nulls > 0 && policy != "include" && policy != "exclude" {
		kinds := ""
		if sn.stream.noCursor() != name+" IS NULL" {
			kinds = " (it is NULL, NaN or infinite)"
		}
		return fmt.Errorf("%d rows have no %s%s, so that a later run could not find them: fill them, or say null_cursor: include or null_cursor: exclude", nulls, c.Name, kinds)
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

// rows is the FROM clause of what the scan reads, or of the rows of a span of it.
func (sn *snapshot) rows(span string) string {
	if len(sn.tied) > 0 { // such a scan has one part
		return sn.beyond()
	}
	where := sn.where
	if span != "" {
		where = append(slices.Clone(where), span)
	}
	return fmt.Sprintf("FROM %s%s", sn.stream.relation(), conditions(where))
}

func conditions(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(all, " AND ")
}

// Schema implements [scan.Scan].
func (sn *snapshot) Schema() *arrow.Schema { return sn.schema }

// Parts implements [scan.Scan]. A read that goes on from a cursor and finds
// nothing has none.
func (sn *snapshot) Parts() []scan.Part {
	if sn.from != nil && sn.count == 0 {
		return nil
	}
	out := make([]scan.Part, len(sn.parts))
	for i, p := range sn.parts {
		out[i] = scan.Part{Open: p.open}
	}
	return out
}

// Cursor implements [scan.Scan].
func (sn *snapshot) Cursor() scan.Cursor {
	if int(sn.ended.Load()) < len(sn.parts) {
		return ""
	}
	return sn.next
}

// Counted implements [scan.Scan].
func (sn *snapshot) Counted() (int64, bool) { return sn.count, true }

// Close implements [scan.Scan]. It waits for the goroutines of the readers. The
// connection of the shared snapshot ends last.
func (sn *snapshot) Close() error {
	sn.once.Do(func() {
		var errs []error
		for _, p := range slices.Backward(sn.parts) {
			errs = append(errs, p.close())
		}
		sn.closed = errors.Join(errs...)
		s := sn.stream.source
		s.mu.Lock()
		delete(s.scans, sn)
		s.mu.Unlock()
	})
	return sn.closed
}
