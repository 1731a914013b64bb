package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/jackc/pgx/v5"

	"elt/window"
)

const (
	// partsBytes is the size from which a table is read in several parts without
	// being told to: below, the connections cost more than they save.
	partsBytes = 64 << 20
	// defaultParts is how many a load reads at once. More would only wait, on
	// connections that others may want.
	defaultParts = 2
	maxParts     = 32
)

// part is a share of a snapshot with a connection of its own. The first part
// has that of the transaction whose snapshot the others share.
type part struct {
	snapshot *snapshot
	conn     *pgx.Conn
	span     string // condition on the place of the rows; "": all

	mu     sync.Mutex
	reader *reader
	closed bool
}

// open implements [scan.Part].
func (p *part) open(ctx context.Context) (array.RecordReader, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil, fmt.Errorf("read %s: %w", p.snapshot.stream.spec.Name, errStopped)
	case p.reader != nil:
		return nil, errors.New("the part was read already")
	}
	p.reader = newReader(ctx, p)
	return p.reader, nil
}

// close waits for the reader's goroutine, and ends the connection.
func (p *part) close() error {
	p.mu.Lock()
	p.closed = true
	r := p.reader
	p.mu.Unlock()
	if r != nil {
		r.stop()
	}
	return p.snapshot.stream.source.server.Disconnect(context.Background(), p.conn)
}

// split makes several parts of the snapshot where that is worth while and
// possible. It leaves one where the server does not take more connections, or
// where these come to another server, as they may behind a proxy: what one
// connection can read must not fail for want of more.
func (sn *snapshot) split(ctx context.Context) error {
	r := sn.request
	unbounded := r.Window != (window.Window{}) && (r.Window.Start.IsZero() || r.Window.End.IsZero())
	if sn.from != nil || len(sn.tied) > 0 || unbounded || r.Limit != 0 || sn.count == 0 || sn.stream.options.Parts == 1 {
		return nil
	}
	pages, want, err := sn.wanted(ctx)
	if err != nil || want < 2 {
		return err
	}
	if r.Window != (window.Window{}) {
		want = 2 // the bounds of more might, as times of day, go back with the clocks
	}
	var id string
	if err := sn.conn.QueryRow(ctx, "SELECT pg_catalog.pg_export_snapshot()").Scan(&id); err != nil {
		return fmt.Errorf("share the snapshot: %w", sn.stream.source.wrap(ctx, err))
	}
	for i := range want {
		p := sn.parts[0]
		if i > 0 {
			conn, err := sn.join(ctx, id)
			if err != nil && ctx.Err() != nil {
				return err
			}
			if err != nil {
				return sn.unsplit()
			}
			p = &part{snapshot: sn, conn: conn}
			sn.parts = append(sn.parts, p)
		}
		p.span = sn.span(i, want, pages)
	}
	return nil
}

// span is the condition of part i of n: a share of the places of the rows, or of
// the window, so that an index over its time serves each part.
func (sn *snapshot) span(i, n, pages int64) string {
	at := func(op string, k int64) string { return fmt.Sprintf("ctid %s '(%d,0)'::tid", op, pages*k/n) }
	if w := sn.request.Window; w != (window.Window{}) {
		at = func(op string, k int64) string {
			share := w.End.Sub(w.Start) / time.Duration(n) * time.Duration(k)
			return quote(sn.stream.time.Name) + " " + op + " " + sn.stream.instant(w.Start.Add(share).Truncate(time.Second))
		}
	}
	switch i { // the outer ones have no end, so that no row lies outside
	case 0:
		return at("<", 1)
	case n - 1:
		return at(">=", i)
	}
	return at(">=", i) + " AND " + at("<", i+1)
}

// partsQuery asks for the pages of a table whose rows have a place in it. Before
// version 14 the server reads a table from its beginning for each range of places.
const partsQuery = `
SELECT coalesce(pg_catalog.pg_relation_size(c.oid), 0) / current_setting('block_size')::int8, current_setting('block_size')::int8
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_am a ON a.oid = c.relam
WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'r' AND NOT c.relhassubclass AND a.amname = 'heap'
  AND current_setting('server_version_num')::int >= 140000`

// wanted is how many parts there should be, and over how many pages.
func (sn *snapshot) wanted(ctx context.Context) (pages, parts int64, err error) {
	var block int64
	s := sn.stream
	err = sn.conn.QueryRow(ctx, partsQuery, s.schema, s.table).Scan(&pages, &block)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, 1, nil
	case err != nil:
		return 0, 0, fmt.Errorf("ask for the size of the table: %w", s.source.wrap(ctx, err))
	case s.options.Parts > 0:
		return pages, min(int64(s.options.Parts), pages), nil
	case pages*block < partsBytes:
		return pages, 1, nil
	}
	return pages, min(defaultParts, pages), nil
}

// join makes a connection that sees what the snapshot called id sees.
func (sn *snapshot) join(ctx context.Context, id string) (*pgx.Conn, error) {
	s := sn.stream.source
	conn, err := s.server.Connect(ctx)
	if err != nil {
		return nil, err
	}
	for _, q := range []string{beginSQL, "SET TRANSACTION SNAPSHOT " + literal(id)} {
		if _, err := conn.Exec(ctx, q); err != nil {
			return nil, errors.Join(fmt.Errorf("join the snapshot: %w", s.wrap(ctx, err)), s.server.Disconnect(ctx, conn))
		}
	}
	return conn, nil
}

// unsplit goes back to one part.
func (sn *snapshot) unsplit() error {
	var errs []error
	for _, p := range sn.parts[1:] {
		errs = append(errs, p.close())
	}
	sn.parts = sn.parts[:1]
	sn.parts[0].span = ""
	return errors.Join(errs...)
}

// arrived takes account of a part whose rows were all decoded. The last one
// settles whether the parts had as many rows as the server counted.
func (sn *snapshot) arrived(rows int64) error {
	sn.mu.Lock()
	defer sn.mu.Unlock()
	sn.rowsRead += rows
	sn.partsRead++
	if sn.partsRead == len(sn.parts) && sn.rowsRead != sn.count {
		return fmt.Errorf("%d rows arrived, but the server counted %d", sn.rowsRead, sn.count)
	}
	return nil
}

// copySQL reads the part's share of what begin counted.
func (p *part) copySQL() string {
	sn := p.snapshot
	selected := make([]string, len(sn.columns))
	for i, c := range sn.columns {
		selected[i] = c.selected
	}
	limit := ""
	if sn.request.Limit > 0 {
		limit = fmt.Sprintf(" LIMIT %d", sn.request.Limit)
	}
	return fmt.Sprintf("COPY (SELECT %s %s%s) TO STDOUT (FORMAT binary)", strings.Join(selected, ", "), sn.rows(p.span), limit)
}
