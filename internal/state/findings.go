package state

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"elt/internal/rows"
	"elt/internal/warehouse"
)

// Finding is the outcome of one check in one run. Its fields are those of
// check.Finding, which this package does not import.
type Finding struct {
	RunID    string
	Check    string
	Relation string
	Severity string // warn or error
	OK       bool
	Observed string
	Expected string
	Failed   int64
	Samples  []string
	At       time.Time
}

// SaveFindings records findings in tx: in the transaction that publishes, or,
// when that was rolled back, in one of their own.
func (s *Store) SaveFindings(ctx context.Context, tx *warehouse.Tx, findings []Finding) error {
	for _, f := range findings {
		samples := ""
		if len(f.Samples) > 0 {
			text, err := json.Marshal(f.Samples)
			if err != nil {
				return fmt.Errorf("record finding %s on %s: %w", f.Check, f.Relation, err)
			}
			samples = string(text)
		}
		_, err := tx.Exec(ctx, `INSERT INTO _elt.finding
			(project, target, run_id, check_name, relation, severity, ok, observed, expected, failed, samples, recorded_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
			s.project, s.target, f.RunID, f.Check, f.Relation, f.Severity, f.OK, f.Observed, f.Expected,
			f.Failed, samples, stamp(f.At))
		if err != nil {
			return fmt.Errorf("record finding %s on %s: %w", f.Check, f.Relation, err)
		}
	}
	return nil
}

// RecordFindings is SaveFindings in a transaction of its own.
func (s *Store) RecordFindings(ctx context.Context, findings []Finding) error {
	if len(findings) == 0 {
		return nil
	}
	return s.db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		return s.SaveFindings(ctx, tx, findings)
	})
}

// Findings lists findings, newest first: of one run, of one relation, or of all
// where the argument is "".
func (s *Store) Findings(ctx context.Context, runID, relation string, limit int) ([]Finding, error) {
	var list []Finding
	err := s.each(ctx, s.db, `SELECT run_id, check_name, relation, severity, ok, observed, expected, failed, samples, recorded_at
		FROM _elt.finding WHERE project = $1 AND target = $2
		AND ($3 = '' OR run_id = $3) AND ($4 = '' OR relation = $4)
		ORDER BY recorded_at DESC, relation, check_name LIMIT $5`, func(r rows.Row) error {
		f := Finding{
			RunID: r.String(0), Check: r.String(1), Relation: r.String(2), Severity: r.String(3), OK: r.Bool(4),
			Observed: r.String(5), Expected: r.String(6), Failed: r.Int(7), At: r.Time(9),
		}
		if text := r.String(8); text != "" {
			if err := json.Unmarshal([]byte(text), &f.Samples); err != nil {
				return fmt.Errorf("samples of %s on %s: %w", f.Check, f.Relation, err)
			}
		}
		list = append(list, f)
		return nil
	}, runID, relation, some(limit))
	if err != nil {
		return nil, fmt.Errorf("list findings: %w", err)
	}
	return list, nil
}
