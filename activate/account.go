package activate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"elt/internal/rows"
	"elt/internal/state"
	"elt/internal/warehouse"
)

// finish counts what was not sent as deferred, checks the accounting and
// records the sync run.
func (p *Plan) finish(ctx context.Context, after int64) error {
	r := &p.result
	err := warehouse.Each(ctx, p.db, `SELECT coalesce(gone, false), count(*) FROM `+p.table.String()+` WHERE seq > $1 GROUP BY 1`, func(row rows.Row) error {
		if row.Bool(0) {
			r.Gone.Deferred += row.Int(1)
		} else {
			r.Deferred += row.Int(1)
		}
		return nil
	}, after)
	if err != nil {
		return err
	}
	if err := p.check(ctx); err != nil {
		return p.fencedOr(ctx, err)
	}
	if err := p.twins(ctx); err != nil {
		return fmt.Errorf("look for keys that are one row there: %w", err)
	}
	err = p.sample(ctx, `SELECT key_json, message, coalesce(payload, '') FROM `+state.SyncQuarantine+` WHERE `+mine+` ORDER BY first_at DESC, key_json LIMIT 5`, p.id()...)
	if err != nil {
		return err
	}
	return p.db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		if err := p.fence(ctx, tx); err != nil {
			return err
		}
		return p.record(ctx, tx, r.status())
	})
}

// fencedOr is err, or [ErrFenced] when another run has begun: what that has done to
// the ledger since is no mistake of this one.
func (p *Plan) fencedOr(ctx context.Context, err error) error {
	if errors.Is(err, ErrAccounting) {
		if fenced := p.db.Update(ctx, p.fence); errors.Is(fenced, ErrFenced) {
			return fenced
		}
	}
	return err
}

// record writes the account of the run.
func (p *Plan) record(ctx context.Context, tx *warehouse.Tx, status string) error {
	r, g := p.result, p.result.Gone
	_, err := tx.Exec(ctx, `INSERT INTO `+state.SyncRuns+` (project, target, sync, target_fp, run_id, lease_epoch,
		rows_read, invalid, unchanged, planned, acked, created, rejected, unknown, deferred, started_at, ended_at, status,
		gone_planned, gone_deleted, gone_settled, gone_rejected, gone_unknown, gone_deferred)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)`,
		p.id(p.sync.RunID, p.epoch, r.Read, r.Invalid, r.Unchanged, r.Planned, r.Acked, r.New, r.Rejected, r.Unknown,
			r.Deferred, p.start.UTC(), time.Now().UTC(), status,
			g.Planned, g.Deleted, g.Settled, g.Rejected, g.Unknown, g.Deferred)...)
	return err
}

func (r *Result) status() string {
	switch {
	case r.Problem != "":
		return "stopped"
	case r.Unknown+r.Deferred+r.Gone.Unknown+r.Gone.Deferred > 0:
		return "unfinished"
	}
	return "ok"
}

// check is invariants 8 and 9: the counts add up, and as many ledger rows of
// this run are there as were acknowledged, each without an open intent.
func (p *Plan) check(ctx context.Context) error {
	r := p.result
	if err := r.balance(); err != nil {
		return err
	}
	if err := p.db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error { return analyze(ctx, tx, p.out) }); err != nil {
		return err
	}
	acked, err := p.countEven(ctx)
	if err != nil {
		return err
	}
	var open int64
	err = warehouse.Each(ctx, p.db, `SELECT count(*) FROM `+p.table.String()+` AS p
		JOIN `+p.out.String()+` AS o ON o.seq = p.seq
		JOIN (SELECT * FROM `+state.Ledger+` WHERE `+mine+` AND acked_run = $5) AS l ON l.key_hash = p.key_hash
			AND l.acked_hash = CASE WHEN o.resent THEN p.prev_payload_hash ELSE p.payload_hash END
		WHERE o.status = 'acked'`, func(row rows.Row) error {
		acked += row.Int(0)
		return nil
	}, p.id(p.sync.RunID)...)
	if err != nil {
		return err
	}
	err = warehouse.Each(ctx, p.db, `SELECT count(*) FROM `+state.Intents+` WHERE `+mine+` AND lease_epoch = $5 AND state = 'PREPARED'`,
		func(row rows.Row) error {
			open = row.Int(0)
			return nil
		}, p.id(p.epoch)...)
	if err != nil {
		return err
	}
	if want := r.Acked + r.Gone.Settled; acked != want || open != 0 {
		return fmt.Errorf("%w: %d acknowledged, but the ledger has %d; %d intents are still open", ErrAccounting, want, acked, open)
	}
	return p.checkDeleted(ctx)
}

// checkDeleted finds the rows that were deleted and are still in the ledger.
func (p *Plan) checkDeleted(ctx context.Context) error {
	if p.result.Gone.Deleted == 0 {
		return nil
	}
	var left int64
	err := warehouse.Each(ctx, p.db, `SELECT count(*) FROM `+state.Ledger+` WHERE `+mine+` AND key_hash IN
		(SELECT o.key_hash FROM `+p.out.String()+` AS o WHERE o.status = 'acked' AND o.class = 'remove')`, func(row rows.Row) error {
		left = row.Int(0)
		return nil
	}, p.id()...)
	if err == nil && left > 0 {
		err = fmt.Errorf("%w: %d rows were deleted there, but are still in the ledger", ErrAccounting, left)
	}
	return err
}

// balance is invariant 9.
func (r Result) balance() error {
	if r.Read != r.Invalid+r.Unchanged+r.Planned {
		return fmt.Errorf("%w: read %d, but invalid %d + unchanged %d + planned %d", ErrAccounting, r.Read, r.Invalid, r.Unchanged, r.Planned)
	}
	if r.Planned != r.Acked+r.Rejected+r.Unknown+r.Deferred {
		return fmt.Errorf("%w: planned %d, but acked %d + rejected %d + unknown %d + deferred %d",
			ErrAccounting, r.Planned, r.Acked, r.Rejected, r.Unknown, r.Deferred)
	}
	if g := r.Gone; g.Planned != g.Deleted+g.Settled+g.Rejected+g.Unknown+g.Deferred {
		return fmt.Errorf("%w: of keys that are gone %d planned, but deleted %d + settled %d + rejected %d + unknown %d + deferred %d",
			ErrAccounting, g.Planned, g.Deleted, g.Settled, g.Rejected, g.Unknown, g.Deferred)
	}
	return nil
}
