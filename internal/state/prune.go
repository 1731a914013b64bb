package state

import (
	"context"
	"fmt"
	"time"

	"elt/internal/rows"
	"elt/internal/warehouse"
)

// keptVolumes is how many volumes of a relation stay, whatever their age: more
// than any check looks back.
const keptVolumes = 60

// oldRuns are the runs from before $3 that nobody needs: not the last one, nor
// the last that went well, nor one that is on.
const oldRuns = `SELECT id FROM _elt.run WHERE project = $1 AND target = $2 AND started_at < $3 AND status <> 'running'
	AND id NOT IN (SELECT id FROM _elt.run WHERE project = $1 AND target = $2 ORDER BY started_at DESC, id DESC LIMIT 1)
	AND id NOT IN (SELECT id FROM _elt.run WHERE project = $1 AND target = $2 AND exit_code = 0 AND status <> 'running'
		ORDER BY started_at DESC, id DESC LIMIT 1)`

// openHolds are the holds of the same sync as h that nobody has approved or released.
const openHolds = `SELECT 1 FROM ` + Holds + ` AS o WHERE o.project = $1 AND o.target = $2 AND o.sync = h.sync
	AND o.target_fp = h.target_fp AND o.approved_at IS NULL AND o.released_at IS NULL`

// Prune forgets what happened before the given time, and returns how many rows
// went: runs with their steps and findings, loads, windows, builds, volumes,
// accounts and attempts of syncs, holds that are over, slots of jobs, commit tokens,
// and quarantined rows that are over.
//
// What a later run needs stays, however old it is: cursors, the ledger, intents,
// rows that a destination refused, the last run and the last good one, the last
// load of each stream and the one that its cursor comes from, the last build of
// each model, the last account of each sync, the first and the last hold of a sync
// that still waits, the last slot of each job, the volumes that checks look back at,
// and the quarantined rows that are still missing in their table.
//
// Everything is old when runs are, so one look at them tells whether there is
// anything to do.
func (s *Store) Prune(ctx context.Context, before time.Time) (int64, error) {
	due := false
	err := s.each(ctx, s.db, oldRuns+` LIMIT 1`, func(rows.Row) error {
		due = true
		return nil
	}, stamp(before))
	if err != nil {
		return 0, fmt.Errorf("look for old runs: %w", err)
	}
	if !due {
		return 0, nil
	}
	var n int64
	err = s.db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		for _, p := range prunes() {
			args := []any{s.project, s.target}
			if p.dated {
				args = append(args, stamp(before))
			}
			gone, err := tx.Exec(ctx, p.q, args...)
			if err != nil {
				return fmt.Errorf("prune %s: %w", p.what, err)
			}
			n += gone
		}
		gone, err := tx.Exec(ctx, `DELETE FROM _elt.commits WHERE committed_at < $1`, stamp(before))
		n += gone
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("forget what is older than %s: %w", before.UTC().Format(time.DateOnly), err)
	}
	return n, nil
}

// prune is one DELETE; $1 and $2 are project and target, and, when it is dated,
// $3 the time before which things are old.
type prune struct {
	what  string
	dated bool
	q     string
}

// prunes are in the order in which they must run: loads stay while there are
// quarantined rows of theirs, steps and findings go with their runs.
func prunes() []prune {
	return []prune{
		// A row is over when its load was never published, so that the next one has
		// read it again, or when all rows of the stream were read again since.
		{"the quarantine", true, `DELETE FROM _elt.quarantine AS q WHERE project = $1 AND target = $2 AND recorded_at < $3 AND (
			NOT EXISTS (SELECT 1 FROM _elt.load AS l WHERE l.project = $1 AND l.target = $2 AND l.id = q.load_id)
			OR EXISTS (SELECT 1 FROM _elt.load AS l, _elt.load AS later WHERE l.project = $1 AND l.target = $2 AND l.id = q.load_id
				AND later.project = $1 AND later.target = $2 AND later.stream = l.stream AND later.id <> l.id
				AND later.recorded_at > l.recorded_at AND later.disposition = 'replace' AND later.rows_read > 0))`},
		{"loads", true, `DELETE FROM _elt.load WHERE project = $1 AND target = $2 AND recorded_at < $3
			AND id NOT IN (SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY stream ORDER BY recorded_at DESC, id DESC) AS n
				FROM _elt.load WHERE project = $1 AND target = $2) AS ranked WHERE n = 1)
			AND id NOT IN (SELECT load_id FROM _elt.cursor WHERE project = $1 AND target = $2 AND load_id IS NOT NULL)
			AND id NOT IN (SELECT load_id FROM _elt.quarantine WHERE project = $1 AND target = $2 AND load_id IS NOT NULL)`},
		{"windows of backfills", true, `DELETE FROM _elt.windows WHERE project = $1 AND target = $2 AND ended_at < $3`},
		{"runs", true, `DELETE FROM _elt.run WHERE project = $1 AND target = $2 AND id IN (` + oldRuns + `)`},
		{"steps", false, `DELETE FROM _elt.step WHERE project = $1 AND target = $2
			AND run_id NOT IN (SELECT id FROM _elt.run WHERE project = $1 AND target = $2)`},
		{"findings", false, `DELETE FROM _elt.finding WHERE project = $1 AND target = $2
			AND run_id NOT IN (SELECT id FROM _elt.run WHERE project = $1 AND target = $2)`},
		{"builds", true, `DELETE FROM _elt.build AS b WHERE project = $1 AND target = $2 AND built_at < $3
			AND EXISTS (SELECT 1 FROM _elt.build AS later WHERE later.project = $1 AND later.target = $2
				AND later.model = b.model AND later.built_at > b.built_at)`},
		{"volumes", true, `DELETE FROM _elt.volume WHERE project = $1 AND target = $2 AND recorded_at < $3
			AND (relation, slot) IN (SELECT relation, slot FROM (SELECT relation, slot,
				row_number() OVER (PARTITION BY relation ORDER BY slot DESC) AS n
				FROM _elt.volume WHERE project = $1 AND target = $2) AS ranked WHERE n > ` + fmt.Sprint(keptVolumes) + `)`},
		{"accounts of syncs", true, `DELETE FROM ` + SyncRuns + ` AS r WHERE project = $1 AND target = $2 AND started_at < $3
			AND EXISTS (SELECT 1 FROM ` + SyncRuns + ` AS later WHERE later.project = $1 AND later.target = $2
				AND later.sync = r.sync AND later.target_fp = r.target_fp AND later.started_at > r.started_at)`},
		{"attempts", true, `DELETE FROM ` + Attempts + ` WHERE project = $1 AND target = $2 AND recorded_at < $3
			AND op_id NOT IN (SELECT op_id FROM ` + Intents + ` WHERE project = $1 AND target = $2)`},
		{"holds", true, `DELETE FROM ` + Holds + ` WHERE project = $1 AND target = $2 AND coalesce(approved_at, released_at) < $3`},
		// Of those that still wait, the first tells since when, and the last is what
		// can be approved.
		{"holds that later ones stand for", true, `DELETE FROM ` + Holds + ` AS h WHERE project = $1 AND target = $2 AND held_at < $3
			AND approved_at IS NULL AND released_at IS NULL
			AND EXISTS (` + openHolds + ` AND o.held_at > h.held_at) AND EXISTS (` + openHolds + ` AND o.held_at < h.held_at)`},
		{"slots of jobs", true, `DELETE FROM _elt.slot AS s WHERE project = $1 AND target = $2 AND slot < $3
			AND EXISTS (SELECT 1 FROM _elt.slot AS later WHERE later.project = $1 AND later.target = $2
				AND later.job = s.job AND later.slot > s.slot)`},
	}
}
