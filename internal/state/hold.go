package state

import (
	"context"
	"fmt"
	"time"

	"elt/internal/rows"
)

// Hold is a run of a sync that its guards hold back: nothing of it was sent.
type Hold struct {
	Sync     string
	TargetFP string // of the destination's account and object
	RunID    string
	Reason   string // which guards tripped, what was seen and what is allowed
	PlanHash string
	Detail   string // the plan in numbers, as a JSON object
	HeldAt   time.Time
}

// Holds lists the holds that nobody has approved and no later plan has released,
// newest first; those of one run, or of all runs when run is "".
func (s *Store) Holds(ctx context.Context, run string) ([]Hold, error) {
	var list []Hold
	err := s.each(ctx, s.db, `SELECT sync, target_fp, run_id, reason, plan_hash, detail, held_at FROM `+Holds+`
		WHERE project = $1 AND target = $2 AND ($3 = '' OR run_id = $3) AND approved_at IS NULL AND released_at IS NULL
		ORDER BY held_at DESC, sync`, func(r rows.Row) error {
		list = append(list, Hold{
			Sync: r.String(0), TargetFP: r.String(1), RunID: r.String(2), Reason: r.String(3), PlanHash: r.String(4),
			Detail: r.String(5), HeldAt: r.Time(6),
		})
		return nil
	}, run)
	if err != nil {
		return nil, fmt.Errorf("list the runs that are held: %w", err)
	}
	return list, nil
}
