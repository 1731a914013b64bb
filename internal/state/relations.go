package state

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"elt/internal/rows"
	"elt/internal/warehouse"
)

// Columns are the columns of relation as the last run that published it left
// them, to judge drift by; none when it has never been published.
func (s *Store) Columns(ctx context.Context, relation string) ([]warehouse.Column, error) {
	var text string
	err := s.each(ctx, s.db, `SELECT columns FROM _elt.relation WHERE project = $1 AND target = $2 AND relation = $3`,
		func(r rows.Row) error {
			text = r.String(0)
			return nil
		}, relation)
	if err != nil {
		return nil, fmt.Errorf("read the known columns of %s: %w", relation, err)
	}
	if text == "" {
		return nil, nil
	}
	var cols []warehouse.Column
	if err := json.Unmarshal([]byte(text), &cols); err != nil {
		return nil, fmt.Errorf("read the known columns of %s: %w", relation, err)
	}
	return cols, nil
}

// SaveColumns records the columns that relation has from now on, in the
// transaction that publishes it.
func (s *Store) SaveColumns(ctx context.Context, tx *warehouse.Tx, relation string, cols []warehouse.Column) error {
	text, err := json.Marshal(cols)
	if err != nil {
		return fmt.Errorf("record the columns of %s: %w", relation, err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO _elt.relation (project, target, relation, columns, columns_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (project, target, relation) DO UPDATE SET columns = excluded.columns, columns_at = excluded.columns_at`,
		s.project, s.target, relation, string(text), stamp(time.Now()))
	if err != nil {
		return fmt.Errorf("record the columns of %s: %w", relation, err)
	}
	return nil
}

// Freshness is how current a relation is.
type Freshness struct {
	Relation  string
	UpdatedAt time.Time // of the last good publish
	HighWater time.Time // latest event time in it; zero: it has no time column
	Rows      int64     // in the table
	Status    string    // ok, stale, failed: as the last run that looked at it found it
}

// SaveFreshness records how current a relation is. The zero UpdatedAt keeps the
// one that is stored, as when a check alone has looked at it. The view
// elt.freshness shows it to people.
func (s *Store) SaveFreshness(ctx context.Context, tx *warehouse.Tx, f Freshness) error {
	_, err := tx.Exec(ctx, `INSERT INTO _elt.relation AS r (project, target, relation, last_updated_at, high_water, row_count, status)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (project, target, relation) DO UPDATE SET
			last_updated_at = coalesce(excluded.last_updated_at, r.last_updated_at),
			high_water = excluded.high_water, row_count = excluded.row_count, status = excluded.status`,
		s.project, s.target, f.Relation, stamp(f.UpdatedAt), stamp(f.HighWater), f.Rows, f.Status)
	if err != nil {
		return fmt.Errorf("record the freshness of %s: %w", f.Relation, err)
	}
	return nil
}

// SaveRowCount records how many rows a relation has now and nothing about how
// current it is, for what changes rows of the past.
func (s *Store) SaveRowCount(ctx context.Context, tx *warehouse.Tx, relation string, n int64) error {
	_, err := tx.Exec(ctx, `INSERT INTO _elt.relation (project, target, relation, row_count) VALUES ($1, $2, $3, $4)
		ON CONFLICT (project, target, relation) DO UPDATE SET row_count = excluded.row_count`, s.project, s.target, relation, n)
	if err != nil {
		return fmt.Errorf("record the rows of %s: %w", relation, err)
	}
	return nil
}

// Freshness lists how current every relation is, by name.
func (s *Store) Freshness(ctx context.Context) ([]Freshness, error) {
	var list []Freshness
	err := s.each(ctx, s.db, `SELECT relation, last_updated_at, high_water, row_count, status FROM _elt.relation
		WHERE project = $1 AND target = $2 AND last_updated_at IS NOT NULL ORDER BY relation`, func(r rows.Row) error {
		list = append(list, Freshness{
			Relation: r.String(0), UpdatedAt: r.Time(1), HighWater: r.Time(2), Rows: r.Int(3), Status: r.String(4),
		})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list freshness: %w", err)
	}
	return list, nil
}

// Build is the record of one build of a model.
type Build struct {
	Model       string
	RunID       string
	Fingerprint string // of the model's text, settings and what it reads
	At          time.Time
	Rows        int64
	HighWater   time.Time
}

// SaveBuild records a build in the transaction that publishes it.
func (s *Store) SaveBuild(ctx context.Context, tx *warehouse.Tx, b Build) error {
	_, err := tx.Exec(ctx, `INSERT INTO _elt.build (project, target, model, run_id, fingerprint, built_at, row_count, high_water)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		s.project, s.target, b.Model, b.RunID, b.Fingerprint, stamp(b.At), b.Rows, stamp(b.HighWater))
	if err != nil {
		return fmt.Errorf("record the build of %s: %w", b.Model, err)
	}
	return nil
}

// Builds lists the latest builds of model, newest first; of every model when it is "".
func (s *Store) Builds(ctx context.Context, model string, limit int) ([]Build, error) {
	var list []Build
	err := s.each(ctx, s.db, `SELECT model, run_id, fingerprint, built_at, row_count, high_water FROM _elt.build
		WHERE project = $1 AND target = $2 AND ($3 = '' OR model = $3)
		ORDER BY built_at DESC, model LIMIT $4`, func(r rows.Row) error {
		list = append(list, Build{
			Model: r.String(0), RunID: r.String(1), Fingerprint: r.String(2), At: r.Time(3), Rows: r.Int(4), HighWater: r.Time(5),
		})
		return nil
	}, model, some(limit))
	if err != nil {
		return nil, fmt.Errorf("list builds: %w", err)
	}
	return list, nil
}

// Volume is how many rows a relation had in one closed interval of its time
// column, or in one run.
type Volume struct {
	Slot time.Time // start of the interval, or time of the run
	Rows int64
}

// SaveVolume records a volume; a later record of the same slot replaces it.
func (s *Store) SaveVolume(ctx context.Context, tx *warehouse.Tx, relation string, v Volume) error {
	_, err := tx.Exec(ctx, `INSERT INTO _elt.volume (project, target, relation, slot, row_count, recorded_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (project, target, relation, slot) DO UPDATE SET row_count = excluded.row_count, recorded_at = excluded.recorded_at`,
		s.project, s.target, relation, stamp(v.Slot), v.Rows, stamp(time.Now()))
	if err != nil {
		return fmt.Errorf("record the volume of %s: %w", relation, err)
	}
	return nil
}

// VolumeHistory lists the latest volumes of relation, newest first.
func (s *Store) VolumeHistory(ctx context.Context, relation string, limit int) ([]Volume, error) {
	var list []Volume
	err := s.each(ctx, s.db, `SELECT slot, row_count FROM _elt.volume
		WHERE project = $1 AND target = $2 AND relation = $3 ORDER BY slot DESC LIMIT $4`, func(r rows.Row) error {
		list = append(list, Volume{Slot: r.Time(0), Rows: r.Int(1)})
		return nil
	}, relation, some(limit))
	if err != nil {
		return nil, fmt.Errorf("list the volumes of %s: %w", relation, err)
	}
	return list, nil
}
