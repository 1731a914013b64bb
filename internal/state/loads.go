package state

import (
	"context"
	"fmt"
	"time"

	"elt/internal/rows"
	"elt/internal/scan"
	"elt/internal/warehouse"
	"elt/window"
)

// Load is the record of one load of a stream. Its counts balance (invariant 4):
// Read = Staged + Quarantined + Discarded and
// Staged = Published + Superseded + AlreadyPresent.
type Load struct {
	ID             string
	RunID          string
	Stream         string // source.stream
	Table          string // schema.table
	Disposition    string
	CursorFrom     scan.Cursor
	CursorTo       scan.Cursor
	Window         window.Window
	Read           int64
	Staged         int64
	Quarantined    int64
	Discarded      int64
	Published      int64
	Superseded     int64
	AlreadyPresent int64
	Deleted        int64
	Checksum       string
	HighWater      time.Time // latest event time among the published rows
	Status         string
	At             time.Time
}

// SaveLoad records a load in the transaction that publishes it. Saving the same
// id again replaces the record.
func (s *Store) SaveLoad(ctx context.Context, tx *warehouse.Tx, l Load) error {
	_, err := tx.Exec(ctx, `INSERT INTO _elt.load (project, target, id, run_id, stream, table_name, disposition,
		cursor_from, cursor_to, window_start, window_end, rows_read, staged, quarantined, discarded,
		published, superseded, already_present, deleted, checksum, high_water, status, recorded_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)
		ON CONFLICT (project, target, id) DO UPDATE SET run_id = excluded.run_id, disposition = excluded.disposition,
			cursor_from = excluded.cursor_from, cursor_to = excluded.cursor_to,
			window_start = excluded.window_start, window_end = excluded.window_end,
			rows_read = excluded.rows_read, staged = excluded.staged, quarantined = excluded.quarantined,
			discarded = excluded.discarded, published = excluded.published, superseded = excluded.superseded,
			already_present = excluded.already_present, deleted = excluded.deleted, checksum = excluded.checksum,
			high_water = excluded.high_water, status = excluded.status, recorded_at = excluded.recorded_at`,
		s.project, s.target, l.ID, l.RunID, l.Stream, l.Table, l.Disposition, string(l.CursorFrom), string(l.CursorTo),
		stamp(l.Window.Start), stamp(l.Window.End), l.Read, l.Staged, l.Quarantined, l.Discarded,
		l.Published, l.Superseded, l.AlreadyPresent, l.Deleted, l.Checksum, stamp(l.HighWater), l.Status, stamp(l.At))
	if err != nil {
		return fmt.Errorf("record load %s of %s: %w", l.ID, l.Stream, err)
	}
	return nil
}

// Loads lists the latest loads of stream, of every stream when it is "", newest first.
func (s *Store) Loads(ctx context.Context, stream string, limit int) ([]Load, error) {
	var list []Load
	err := s.each(ctx, s.db, `SELECT id, run_id, stream, table_name, disposition, cursor_from, cursor_to,
		window_start, window_end, rows_read, staged, quarantined, discarded, published, superseded,
		already_present, deleted, checksum, high_water, status, recorded_at
		FROM _elt.load WHERE project = $1 AND target = $2 AND ($3 = '' OR stream = $3)
		ORDER BY recorded_at DESC, id DESC LIMIT $4`, func(r rows.Row) error {
		list = append(list, Load{
			ID: r.String(0), RunID: r.String(1), Stream: r.String(2), Table: r.String(3), Disposition: r.String(4),
			CursorFrom: scan.Cursor(r.String(5)), CursorTo: scan.Cursor(r.String(6)),
			Window: window.Window{Start: r.Time(7), End: r.Time(8)},
			Read:   r.Int(9), Staged: r.Int(10), Quarantined: r.Int(11), Discarded: r.Int(12),
			Published: r.Int(13), Superseded: r.Int(14), AlreadyPresent: r.Int(15), Deleted: r.Int(16),
			Checksum: r.String(17), HighWater: r.Time(18), Status: r.String(19), At: r.Time(20),
		})
		return nil
	}, stream, some(limit))
	if err != nil {
		return nil, fmt.Errorf("list loads: %w", err)
	}
	return list, nil
}

// Cursor is where the next read of stream begins; "" is the beginning. q is the
// transaction that publishes, or nil for a read of its own.
func (s *Store) Cursor(ctx context.Context, q warehouse.Querier, stream string) (scan.Cursor, error) {
	if q == nil {
		q = s.db
	}
	var c scan.Cursor
	err := s.each(ctx, q, `SELECT cursor FROM _elt.cursor WHERE project = $1 AND target = $2 AND stream = $3`,
		func(r rows.Row) error {
			c = scan.Cursor(r.String(0))
			return nil
		}, stream)
	if err != nil {
		return "", fmt.Errorf("read the cursor of %s: %w", stream, err)
	}
	return c, nil
}

// SaveCursor moves the cursor of stream in the transaction that publishes its
// rows (invariant 1). The empty cursor means that nothing was read and keeps
// the stored one.
func (s *Store) SaveCursor(ctx context.Context, tx *warehouse.Tx, stream string, c scan.Cursor, loadID string) error {
	if c == "" {
		return nil
	}
	_, err := tx.Exec(ctx, `INSERT INTO _elt.cursor (project, target, stream, cursor, load_id, saved_at)
		VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (project, target, stream) DO UPDATE SET
			cursor = excluded.cursor, load_id = excluded.load_id, saved_at = excluded.saved_at`,
		s.project, s.target, stream, string(c), loadID, stamp(time.Now()))
	if err != nil {
		return fmt.Errorf("save the cursor of %s: %w", stream, err)
	}
	return nil
}

// ResetCursor forgets the cursor of stream: its next read begins at the beginning.
func (s *Store) ResetCursor(ctx context.Context, stream string) error {
	err := s.update(ctx, `DELETE FROM _elt.cursor WHERE project = $1 AND target = $2 AND stream = $3`,
		s.project, s.target, stream)
	if err != nil {
		return fmt.Errorf("reset the cursor of %s: %w", stream, err)
	}
	return nil
}

// DropCursor forgets the cursor of a stream in the transaction that empties its table.
func (s *Store) DropCursor(ctx context.Context, tx *warehouse.Tx, stream string) error {
	_, err := tx.Exec(ctx, `DELETE FROM _elt.cursor WHERE project = $1 AND target = $2 AND stream = $3`, s.project, s.target, stream)
	if err != nil {
		return fmt.Errorf("drop the cursor of %s: %w", stream, err)
	}
	return nil
}

// Cursors lists the stored cursors by stream.
func (s *Store) Cursors(ctx context.Context) (map[string]scan.Cursor, error) {
	all := map[string]scan.Cursor{}
	err := s.each(ctx, s.db, `SELECT stream, cursor FROM _elt.cursor WHERE project = $1 AND target = $2`,
		func(r rows.Row) error {
			all[r.String(0)] = scan.Cursor(r.String(1))
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("list cursors: %w", err)
	}
	return all, nil
}
