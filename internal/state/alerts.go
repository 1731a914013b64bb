package state

import (
	"context"
	"fmt"
	"time"

	"elt/internal/rows"
)

// Alert is what people were last told of a subject (invariant 12).
type Alert struct {
	Subject string // what it is about: a step, a relation, a job, with the place it was told to
	State   string // ok, failed, stale, held
	Since   time.Time
	ToldAt  time.Time // zero: not told yet
	Detail  string
}

// SaveAlert records the state of a subject; a later record replaces it.
func (s *Store) SaveAlert(ctx context.Context, a Alert) error {
	err := s.update(ctx, `INSERT INTO _elt.alert (project, target, subject, state, since, told_at, detail)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (project, target, subject) DO UPDATE SET state = excluded.state, since = excluded.since,
			told_at = excluded.told_at, detail = excluded.detail`,
		s.project, s.target, a.Subject, a.State, stamp(a.Since), stamp(a.ToldAt), a.Detail)
	if err != nil {
		return fmt.Errorf("record the alert on %s: %w", a.Subject, err)
	}
	return nil
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
