package state

import (
	"context"
	"fmt"
	"time"

	"elt/internal/rows"
	"elt/internal/warehouse"
	"elt/window"
)

// WindowRecord is one window of one step of a backfill.
type WindowRecord struct {
	Backfill    string // the range and how it was cut; the same again resumes it
	Step        string
	Window      window.Window
	Status      string
	RunID       string
	EndedAt     time.Time
	Error       string
	Fingerprint string // of what the step did: a model whose text has changed has not done it
	Rows        int64  // that it published
}

// SaveWindow records what became of a window, for one that ended well in the
// transaction that publishes it; a later record replaces it.
func (s *Store) SaveWindow(ctx context.Context, tx *warehouse.Tx, w WindowRecord) error {
	_, err := tx.Exec(ctx, `INSERT INTO _elt.windows
		(project, target, backfill, step, window_start, window_end, status, run_id, ended_at, error, fingerprint, row_count)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		ON CONFLICT (project, target, backfill, step, window_start, window_end) DO UPDATE SET
			status = excluded.status, run_id = excluded.run_id, ended_at = excluded.ended_at, error = excluded.error,
			fingerprint = excluded.fingerprint, row_count = excluded.row_count`,
		s.project, s.target, w.Backfill, w.Step, stamp(w.Window.Start), stamp(w.Window.End), w.Status, w.RunID,
		stamp(w.EndedAt), w.Error, w.Fingerprint, w.Rows)
	if err != nil {
		return fmt.Errorf("record window %s of %s: %w", w.Window, w.Step, err)
	}
	return nil
}

// RecordWindow is SaveWindow in a transaction of its own, for a window that published nothing.
func (s *Store) RecordWindow(ctx context.Context, w WindowRecord) error {
	return s.db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error { return s.SaveWindow(ctx, tx, w) })
}

// Windows lists the windows of a backfill, oldest first.
func (s *Store) Windows(ctx context.Context, backfill string) ([]WindowRecord, error) {
	var list []WindowRecord
	err := s.each(ctx, s.db, `SELECT step, window_start, window_end, status, run_id, ended_at, error, fingerprint, row_count FROM _elt.windows
		WHERE project = $1 AND target = $2 AND backfill = $3 ORDER BY window_start, step`, func(r rows.Row) error {
		list = append(list, WindowRecord{
			Backfill: backfill, Step: r.String(0), Window: window.Window{Start: r.Time(1), End: r.Time(2)},
			Status: r.String(3), RunID: r.String(4), EndedAt: r.Time(5), Error: r.String(6), Fingerprint: r.String(7), Rows: r.Int(8),
		})
		return nil
	}, backfill)
	if err != nil {
		return nil, fmt.Errorf("list the windows of backfill %s: %w", backfill, err)
	}
	return list, nil
}

// ForgetWindows forgets what became of the windows of a step, so that the
// backfill does them again: of those that ended before a time, or all if it is zero.
func (s *Store) ForgetWindows(ctx context.Context, backfill, step string, before time.Time) error {
	q, args := `DELETE FROM _elt.windows WHERE project = $1 AND target = $2 AND backfill = $3 AND step = $4`, []any{s.project, s.target, backfill, step}
	if !before.IsZero() {
		q, args = q+` AND ended_at < $5`, append(args, stamp(before))
	}
	if err := s.update(ctx, q, args...); err != nil {
		return fmt.Errorf("forget the windows of %s: %w", step, err)
	}
	return nil
}

// TouchWindows makes the windows of a step that ended well look as if they had ended
// at a time: what is made of them is made again.
func (s *Store) TouchWindows(ctx context.Context, tx *warehouse.Tx, backfill, step string, at time.Time) error {
	_, err := tx.Exec(ctx, `UPDATE _elt.windows SET ended_at = $5 WHERE project = $1 AND target = $2 AND backfill = $3 AND step = $4 AND status = 'ok'`,
		s.project, s.target, backfill, step, stamp(at))
	if err != nil {
		return fmt.Errorf("touch the windows of %s: %w", step, err)
	}
	return nil
}

// DueFrom is from when a model is due, where windows of a backfill make its newest
// row say nothing about that; zero: as its rows say.
func (s *Store) DueFrom(ctx context.Context, model string) (due time.Time, err error) {
	err = s.each(ctx, s.db, `SELECT due_from FROM _elt.relation WHERE project = $1 AND target = $2 AND relation = $3`, func(r rows.Row) error {
		due = r.Time(0)
		return nil
	}, model)
	if err != nil {
		return due, fmt.Errorf("read from when %s is due: %w", model, err)
	}
	return due, nil
}

// SaveDueFrom records from when a model is due; zero: as its rows say.
func (s *Store) SaveDueFrom(ctx context.Context, tx *warehouse.Tx, model string, due time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO _elt.relation (project, target, relation, due_from) VALUES ($1, $2, $3, $4)
		ON CONFLICT (project, target, relation) DO UPDATE SET due_from = excluded.due_from`, s.project, s.target, model, stamp(due))
	if err != nil {
		return fmt.Errorf("record from when %s is due: %w", model, err)
	}
	return nil
}
