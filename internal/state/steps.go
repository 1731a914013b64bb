package state

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"elt/internal/rows"
	"elt/internal/warehouse"
)

// StepRecord is one step of a run.
type StepRecord struct {
	RunID     string
	Name      string
	Kind      string
	Status    string
	StartedAt time.Time
	EndedAt   time.Time
	Result    json.RawMessage // an event.Result
	Error     string
	// Freshness is what the step makes of the table of its name, which stands as
	// it was: failed or stale; "" when the step says nothing about it.
	Freshness string
}

// SaveStep records a step of a run; a later record of the same step replaces it.
func (s *Store) SaveStep(ctx context.Context, r StepRecord) error {
	err := persist(ctx, func() error {
		return s.db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error { return s.saveStep(ctx, tx, r) })
	})
	if err != nil {
		return fmt.Errorf("record step %s of run %s: %w", r.Name, r.RunID, err)
	}
	return nil
}

func (s *Store) saveStep(ctx context.Context, tx *warehouse.Tx, r StepRecord) error {
	_, err := tx.Exec(ctx, `INSERT INTO _elt.step
		(project, target, run_id, name, kind, status, started_at, ended_at, result, error)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (project, target, run_id, name) DO UPDATE SET kind = excluded.kind, status = excluded.status,
			started_at = excluded.started_at, ended_at = excluded.ended_at, result = excluded.result, error = excluded.error`,
		s.project, s.target, r.RunID, r.Name, r.Kind, r.Status, stamp(r.StartedAt), stamp(r.EndedAt), string(r.Result), r.Error)
	if err != nil || r.Freshness == "" {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE _elt.relation SET status = $4 WHERE project = $1 AND target = $2 AND relation = $3`,
		s.project, s.target, r.Name, r.Freshness)
	return err
}

const stepColumns = `SELECT run_id, name, kind, status, started_at, ended_at, result, error FROM _elt.step WHERE project = $1 AND target = $2 `

// Steps lists the steps of a run in the order in which they started.
func (s *Store) Steps(ctx context.Context, runID string) ([]StepRecord, error) {
	list, err := s.steps(ctx, stepColumns+`AND run_id = $3 ORDER BY started_at, name`, runID)
	if err != nil {
		return nil, fmt.Errorf("list the steps of run %s: %w", runID, err)
	}
	return list, nil
}

// StepsSince lists the steps of all runs that began after t, by run.
func (s *Store) StepsSince(ctx context.Context, t time.Time) (map[string][]StepRecord, error) {
	list, err := s.steps(ctx, stepColumns+`AND run_id IN (SELECT id FROM _elt.run WHERE project = $1 AND target = $2 AND started_at > $3)
		ORDER BY started_at, name`, stamp(t))
	if err != nil {
		return nil, fmt.Errorf("list the steps of the runs since %s: %w", t.Format(time.RFC3339), err)
	}
	byRun := map[string][]StepRecord{}
	for _, rec := range list {
		byRun[rec.RunID] = append(byRun[rec.RunID], rec)
	}
	return byRun, nil
}

// StepsNamed lists the latest steps of a name, newest first.
func (s *Store) StepsNamed(ctx context.Context, name string, limit int) ([]StepRecord, error) {
	list, err := s.steps(ctx, stepColumns+`AND name = $3 ORDER BY started_at DESC, run_id LIMIT $4`, name, some(limit))
	if err != nil {
		return nil, fmt.Errorf("list the steps called %s: %w", name, err)
	}
	return list, nil
}

func (s *Store) steps(ctx context.Context, q string, args ...any) ([]StepRecord, error) {
	var list []StepRecord
	err := s.each(ctx, s.db, q, func(r rows.Row) error {
		rec := StepRecord{
			RunID: r.String(0), Name: r.String(1), Kind: r.String(2), Status: r.String(3),
			StartedAt: r.Time(4), EndedAt: r.Time(5), Error: r.String(7),
		}
		if text := r.String(6); text != "" {
			rec.Result = json.RawMessage(text)
		}
		list = append(list, rec)
		return nil
	}, args...)
	return list, err
}
