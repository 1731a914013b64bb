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

// ErrNothingUnknown means that no outcome of a key is unknown.
var ErrNothingUnknown = errors.New("no outcome of this key is unknown")

// Resolve settles by hand an outcome that is unknown: sent says that the last
// operation of the key is at the destination, else none of them is. The key is given
// as for [Explain]. It returns the key as a JSON object.
func Resolve(ctx context.Context, db *warehouse.DB, st *state.Store, sync Sync, values []string, sent bool) (string, error) {
	if err := sync.validate(); err != nil {
		return "", err
	}
	var x Explanation
	p := newPlan(db, st, sync)
	held, release, err := db.Lock(ctx, lockName(p.table.Name)) // no run of the sync is on
	if err != nil {
		return "", p.wrap(err)
	}
	defer release()
	err = db.Update(held, func(ctx context.Context, tx *warehouse.Tx) error {
		e := explaining{Plan: p, tx: tx, values: p.arranged(sync.Key, values), x: &x}
		if err := e.identify(ctx); err != nil {
			return err
		}
		return e.resolve(ctx, sent)
	})
	if err != nil {
		return x.Key, p.wrap(err)
	}
	return x.Key, nil
}

func (e *explaining) resolve(ctx context.Context, sent bool) error {
	action := ""
	var epoch int64
	err := warehouse.Each(ctx, e.tx, `SELECT action, lease_epoch FROM `+state.Intents+` WHERE `+mine+` AND key_hash = $5 AND state = 'UNKNOWN'
		ORDER BY lease_epoch LIMIT 1000`, func(r rows.Row) error {
		action, epoch = string([]byte(r.String(0))), r.Int(1)
		return nil
	}, e.id(e.hash)...)
	if err != nil {
		return err
	}
	if action == "" {
		return fmt.Errorf("%w: %s", ErrNothingUnknown, e.x.Key)
	}
	now := time.Now().UTC()
	status := "resolved: not sent"
	var list []statement
	if sent {
		status = "resolved: sent"
		list = append(list, statement{`DELETE FROM ` + state.Ledger + ` WHERE ` + mine + ` AND key_hash = $5`, e.id(e.hash)})
		if Action(action) != Delete {
			list = append(list, statement{`INSERT INTO ` + state.Ledger + ` (project, target, sync, target_fp, key_hash, key_json, dest_id,
					acked_hash, stable_hash, acked_at, acked_run, ownership, status)
				SELECT project, target, sync, target_fp, key_hash, key_json, NULL, payload_hash, stable_hash, CAST($7 AS timestamp with time zone), run_id,
					'adopted', CAST($8 AS text)
				FROM ` + state.Intents + ` WHERE ` + mine + ` AND key_hash = $5 AND lease_epoch = $6`, e.id(e.hash, epoch, now, e.sync.ledgerStatus())})
		}
	}
	return e.run(ctx, e.tx, append(list,
		statement{`INSERT INTO ` + state.Attempts + ` (project, target, sync, target_fp, op_id, run_id, attempts, status, recorded_at, key_hash, key_json, action, payload)
			SELECT project, target, sync, target_fp, op_id, run_id, 0, CAST($7 AS text), CAST($8 AS timestamp with time zone), key_hash, key_json, action, payload
			FROM ` + state.Intents + ` WHERE ` + mine + ` AND key_hash = $5 AND lease_epoch = $6`, e.id(e.hash, epoch, status, now)},
		statement{`DELETE FROM ` + state.Intents + ` WHERE ` + mine + ` AND key_hash = $5`, e.id(e.hash)}))
}
