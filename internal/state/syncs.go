package state

import (
	"context"
	"fmt"
	"time"

	"elt/internal/rows"
)

// Refused is a row that a destination has refused for good. It is sent again
// when its payload changes, or when it is released.
type Refused struct {
	Sync     string
	Key      string // as a JSON object
	Payload  string // what was refused, as a JSON object
	Code     string
	Message  string
	RunID    string // of the last refusal
	FirstAt  time.Time
	Attempts int64
}

// RefusedRows lists the refused rows of sync, of all syncs when it is "", newest first.
func (s *Store) RefusedRows(ctx context.Context, sync string, limit int) ([]Refused, error) {
	var list []Refused
	err := s.each(ctx, s.db, `SELECT sync, key_json, payload, code, message, run_id, first_at, attempts FROM `+SyncQuarantine+`
		WHERE project = $1 AND target = $2 AND ($3 = '' OR sync = $3)
		ORDER BY first_at DESC, sync, key_json LIMIT $4`, func(r rows.Row) error {
		list = append(list, Refused{
			Sync: r.String(0), Key: r.String(1), Payload: r.String(2), Code: r.String(3), Message: r.String(4),
			RunID: r.String(5), FirstAt: r.Time(6), Attempts: r.Int(7),
		})
		return nil
	}, sync, some(limit))
	if err != nil {
		return nil, fmt.Errorf("list refused rows: %w", err)
	}
	return list, nil
}

// Unknown is a row that may be at the destination as it was sent, or may not.
type Unknown struct {
	Key     string // as a JSON object
	Action  string
	Payload string // as a JSON object; "" for a delete
	RunID   string
	At      time.Time
	Why     string // what the last try said; "" when it is not recorded
}

// UnknownRows lists the rows of sync whose last outcome is not known, newest first.
func (s *Store) UnknownRows(ctx context.Context, sync string, limit int) ([]Unknown, error) {
	var list []Unknown
	err := s.each(ctx, s.db, `SELECT key_json, action, payload, run_id, prepared_at,
			coalesce((SELECT max(a.message) FROM `+Attempts+` AS a WHERE a.project = $1 AND a.target = $2 AND a.sync = $3
				AND a.op_id = i.op_id AND a.run_id = i.run_id AND a.status = 'unknown'), '')
		FROM `+Intents+` AS i
		WHERE project = $1 AND target = $2 AND sync = $3 AND state = 'UNKNOWN' ORDER BY prepared_at DESC, key_json LIMIT $4`, func(r rows.Row) error {
		list = append(list, Unknown{Key: r.String(0), Action: r.String(1), Payload: r.String(2), RunID: r.String(3), At: r.Time(4), Why: r.String(5)})
		return nil
	}, sync, some(limit))
	if err != nil {
		return nil, fmt.Errorf("list the rows of %s whose outcome is not known: %w", sync, err)
	}
	return list, nil
}

// UnknownBefore counts the rows of sync whose last outcome is not known, and that
// were sent before t; not the deletes, which may be sent again.
func (s *Store) UnknownBefore(ctx context.Context, sync string, t time.Time) (n int64, err error) {
	err = s.each(ctx, s.db, `SELECT count(*) FROM `+Intents+` WHERE project = $1 AND target = $2 AND sync = $3 AND state = 'UNKNOWN'
		AND action <> 'delete' AND prepared_at < $4`, func(r rows.Row) error { n = r.Int(0); return nil }, sync, t.UTC())
	if err != nil {
		return 0, fmt.Errorf("count the rows of %s whose outcome is not known: %w", sync, err)
	}
	return n, nil
}

// ReleaseRefused lets the refused rows of sync be sent again by its next run,
// and returns how many there are.
func (s *Store) ReleaseRefused(ctx context.Context, sync string) (int64, error) {
	var n int64
	err := s.change(ctx, &n, `DELETE FROM `+SyncQuarantine+` WHERE project = $1 AND target = $2 AND sync = $3`,
		s.project, s.target, sync)
	if err != nil {
		return 0, fmt.Errorf("release the refused rows of %s: %w", sync, err)
	}
	return n, nil
}

// SyncRun is the accounting of one run of a sync (invariant 9).
type SyncRun struct {
	Sync, RunID                       string
	Read, Invalid, Unchanged, Planned int64
	Acked, New                        int64
	Rejected, Unknown, Deferred       int64
	Gone, Deleted                     int64  // keys that the model has no more: planned, and deleted there
	Status                            string // ok, unfinished, stopped or held
	StartedAt, EndedAt                time.Time
}

// SyncHistory lists the latest runs of sync, of all syncs when it is "", newest first.
func (s *Store) SyncHistory(ctx context.Context, sync string, limit int) ([]SyncRun, error) {
	var list []SyncRun
	err := s.each(ctx, s.db, `SELECT sync, run_id, rows_read, invalid, unchanged, planned, acked, created, rejected, unknown,
		deferred, status, started_at, ended_at, gone_planned, gone_deleted FROM `+SyncRuns+`
		WHERE project = $1 AND target = $2 AND ($3 = '' OR sync = $3) ORDER BY started_at DESC, sync LIMIT $4`,
		func(r rows.Row) error {
			list = append(list, SyncRun{
				Sync: r.String(0), RunID: r.String(1), Read: r.Int(2), Invalid: r.Int(3), Unchanged: r.Int(4), Planned: r.Int(5),
				Acked: r.Int(6), New: r.Int(7), Rejected: r.Int(8), Unknown: r.Int(9), Deferred: r.Int(10),
				Status: r.String(11), StartedAt: r.Time(12), EndedAt: r.Time(13),
				Gone: r.Int(14), Deleted: r.Int(15),
			})
			return nil
		}, sync, some(limit))
	if err != nil {
		return nil, fmt.Errorf("list sync runs: %w", err)
	}
	return list, nil
}
