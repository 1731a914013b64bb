package state

import (
	"context"
	"errors"
	"fmt"
	"time"

	"elt/internal/retry"
	"elt/internal/rows"
	"elt/internal/warehouse"
)

// Alert is what people were last told of a subject (invariant 12).
type Alert struct {
	Subject string // what it is about: a step, a relation, a job, with the place it was told to
	State   string // ok, failed, stale, held
	Since   time.Time
	ToldAt  time.Time // zero: this state is not told yet
	Detail  string    // all of it, as package alert keeps it
}

// SaveAlerts records the state of subjects, all or none; a later record replaces
// an earlier one.
func (s *Store) SaveAlerts(ctx context.Context, list []Alert) error {
	return s.db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		for _, a := range list {
			_, err := tx.Exec(ctx, `INSERT INTO _elt.alert (project, target, subject, state, since, told_at, detail)
				VALUES ($1, $2, $3, $4, $5, $6, $7)
				ON CONFLICT (project, target, subject) DO UPDATE SET state = excluded.state, since = excluded.since,
					told_at = excluded.told_at, detail = excluded.detail`,
				s.project, s.target, a.Subject, a.State, stamp(a.Since), stamp(a.ToldAt), a.Detail)
			if err != nil {
				return fmt.Errorf("record the alert on %s: %w", a.Subject, err)
			}
		}
		return nil
	})
}

// AlertsAlone waits until no other process tells from the alerts of this project
// and target; until release is called none begins to. The returned context ends
// when that is lost.
func (s *Store) AlertsAlone(ctx context.Context) (held context.Context, release func(), err error) {
	backoff := retry.Backoff{Base: 50 * time.Millisecond, Max: time.Second}
	for try := 1; ; try++ {
		held, release, err = s.db.Lock(ctx, "elt:"+s.project+":"+s.target+":alerts")
		if warehouse.KindOf(err) != warehouse.KindLocked {
			return held, release, err
		}
		select {
		case <-ctx.Done():
			return nil, nil, errors.Join(context.Cause(ctx), err)
		case <-time.After(backoff.Wait(try, 0)):
		}
	}
}

// EndedSince are the steps that ended in other runs than run since a time, with
// when they last did. Runs that overlap take turns at each step, so what a run saw
// of a step may be history when it ends.
func (s *Store) EndedSince(ctx context.Context, run string, since time.Time) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	err := s.each(ctx, s.db, `SELECT name, max(ended_at) FROM _elt.step
		WHERE project = $1 AND target = $2 AND run_id <> $3 AND ended_at > $4 AND status IN ('ok', 'failed', 'check', 'unfinished')
		GROUP BY name`, func(r rows.Row) error {
		out[r.String(0)] = r.Time(1)
		return nil
	}, run, stamp(since))
	if err != nil {
		return nil, fmt.Errorf("list what other runs did: %w", err)
	}
	return out, nil
}

// Alerts lists the state of every subject that was ever told, by subject.
func (s *Store) Alerts(ctx context.Context) ([]Alert, error) {
	var list []Alert
	err := s.each(ctx, s.db, `SELECT subject, state, since, told_at, detail FROM _elt.alert
		WHERE project = $1 AND target = $2 ORDER BY subject`, func(r rows.Row) error {
		list = append(list, Alert{
			Subject: r.String(0), State: r.String(1), Since: r.Time(2), ToldAt: r.Time(3), Detail: r.String(4),
		})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list alerts: %w", err)
	}
	return list, nil
}
