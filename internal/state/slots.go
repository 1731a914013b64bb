package state

import (
	"context"
	"fmt"
	"time"

	"elt/internal/rows"
	"elt/internal/warehouse"
)

// What became of a slot.
const (
	SlotRan     = "ran"     // a run took it, however that ended
	SlotSkipped = "skipped" // a run was not made, because one was still on
	SlotMissed  = "missed"  // nothing was started for it
)

// Slot is one instant at which a job was due.
type Slot struct {
	Job    string
	At     time.Time
	Status string // SlotRan, SlotSkipped, SlotMissed
	RunID  string // of the run that took it
	Reason string // why it was skipped or missed
	Spec   string // the schedule that it is a slot of
}

// ClaimSlot records slot as taken and reports whether it was free: of several
// claims on one slot exactly one is true (invariant 11). One that was skipped or
// missed is free for a run to take.
func (s *Store) ClaimSlot(ctx context.Context, slot Slot, now time.Time) (free bool, err error) {
	err = s.db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		free, err = s.claim(ctx, tx, slot, now)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("claim slot %s of job %s: %w", slot.At.UTC().Format(time.RFC3339), slot.Job, err)
	}
	return free, nil
}

func (s *Store) claim(ctx context.Context, tx *warehouse.Tx, slot Slot, now time.Time) (bool, error) {
	n, err := tx.Exec(ctx, `INSERT INTO _elt.slot (project, target, job, slot, status, run_id, reason, recorded_at, spec)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (project, target, job, slot) DO NOTHING`,
		s.project, s.target, slot.Job, stamp(slot.At), slot.Status, slot.RunID, slot.Reason, stamp(now), slot.Spec)
	if err != nil || n == 1 || slot.Status != SlotRan {
		return n == 1, err
	}
	n, err = tx.Exec(ctx, `UPDATE _elt.slot SET status = $5, run_id = $6, reason = $7, recorded_at = $8
		WHERE project = $1 AND target = $2 AND job = $3 AND slot = $4 AND status <> $5`,
		s.project, s.target, slot.Job, stamp(slot.At), slot.Status, slot.RunID, slot.Reason, stamp(now))
	return n == 1, err
}

// RecordSlots records slots that no run takes; those that are recorded stay as
// they are.
func (s *Store) RecordSlots(ctx context.Context, slots []Slot, now time.Time) error {
	if len(slots) == 0 {
		return nil
	}
	err := s.db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error { return s.recordSlots(ctx, tx, slots, now) })
	if err != nil {
		return fmt.Errorf("record %d slots of job %s: %w", len(slots), slots[0].Job, err)
	}
	return nil
}

func (s *Store) recordSlots(ctx context.Context, tx *warehouse.Tx, slots []Slot, now time.Time) error {
	for _, slot := range slots {
		if _, err := s.claim(ctx, tx, slot, now); err != nil {
			return err
		}
	}
	return nil
}

// StartJob is [Store.StartRun] of a run that takes slot, in one transaction with
// the slots before it that were missed. It reports whether the slot was free; else
// the run is one by hand. A slot without a time is none.
func (s *Store) StartJob(ctx context.Context, r Run, slot Slot, missed []Slot) (took bool, err error) {
	err = s.db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		if err := s.recordSlots(ctx, tx, missed, r.StartedAt); err != nil {
			return err
		}
		took = false
		if !slot.At.IsZero() {
			if took, err = s.claim(ctx, tx, slot, r.StartedAt); err != nil {
				return err
			}
		}
		if took {
			r.Trigger, r.Slot = "schedule", slot.At
		}
		return s.startRun(ctx, tx, r)
	})
	if err != nil {
		return false, fmt.Errorf("record the start of run %s of job %s: %w", r.ID, r.Job, err)
	}
	return took, nil
}

// Slots lists the latest slots of a job, newest first.
func (s *Store) Slots(ctx context.Context, job string, limit int) ([]Slot, error) {
	var list []Slot
	err := s.each(ctx, s.db, `SELECT job, slot, status, run_id, reason, spec FROM _elt.slot
		WHERE project = $1 AND target = $2 AND job = $3 ORDER BY slot DESC LIMIT $4`, func(r rows.Row) error {
		list = append(list, Slot{Job: r.String(0), At: r.Time(1), Status: r.String(2), RunID: r.String(3), Reason: r.String(4), Spec: r.String(5)})
		return nil
	}, job, some(limit))
	if err != nil {
		return nil, fmt.Errorf("list the slots of job %s: %w", job, err)
	}
	return list, nil
}

// JobSince is when a job was first seen here: when its first run that is recorded
// began, or its first slot was recorded. Zero: never.
func (s *Store) JobSince(ctx context.Context, job string) (since time.Time, err error) {
	err = s.each(ctx, s.db, `SELECT min(seen) FROM (
			SELECT min(started_at) AS seen FROM _elt.run WHERE project = $1 AND target = $2 AND job = $3
			UNION ALL SELECT min(recorded_at) FROM _elt.slot WHERE project = $1 AND target = $2 AND job = $3) AS known`, func(r rows.Row) error {
		since = r.Time(0)
		return nil
	}, job)
	if err != nil {
		return since, fmt.Errorf("look for the first run of job %s: %w", job, err)
	}
	return since, nil
}
