package activate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"elt/internal/rows"
	"elt/internal/state"
	"elt/internal/warehouse"
)

// ErrNothingUnknown means that no outcome of a key, or of a sync, is unknown.
var ErrNothingUnknown = errors.New("no outcome of this key is unknown")

// Resolve settles by hand outcomes that are unknown: sent says that the last
// operation of each of the keys is at the destination, else none of them is. Keys are
// given as for [Explain]; no keys are all whose outcome is unknown. All are settled,
// or none is. It returns the keys as JSON objects.
func Resolve(ctx context.Context, db *warehouse.DB, st *state.Store, sync Sync, keys [][]string, sent bool) (settled []string, err error) {
	if err := sync.validate(); err != nil {
		return nil, err
	}
	p := newPlan(db, st, sync)
	held, release, err := db.Lock(ctx, lockName(p.table.Name)) // no run of the sync is on
	if err != nil {
		return nil, p.wrap(err)
	}
	defer release()
	err = db.Update(held, func(ctx context.Context, tx *warehouse.Tx) error {
		settled = nil
		list, err := p.inDoubt(ctx, tx, keys)
		if err != nil {
			return err
		}
		for _, e := range list {
			if err := e.resolve(ctx, sent); err != nil {
				return err
			}
			settled = append(settled, e.x.Key)
		}
		return nil
	})
	if err != nil {
		return nil, p.wrap(err)
	}
	return settled, nil
}

// inDoubt are keys, each once, or all that are in doubt where there are none.
func (p *Plan) inDoubt(ctx context.Context, tx *warehouse.Tx, keys [][]string) (list []*explaining, err error) {
	seen := map[string]bool{}
	add := func(e *explaining) {
		if !seen[e.hash] {
			list = append(list, e)
		}
		seen[e.hash] = true
	}
	for _, values := range keys {
		e := &explaining{Plan: p, tx: tx, values: p.arranged(p.sync.Key, values), x: &Explanation{}}
		if err := e.identify(ctx); err != nil {
			return nil, err
		}
		add(e)
	}
	if len(keys) > 0 {
		return list, nil
	}
	err = warehouse.Each(ctx, tx, `SELECT key_hash, key_json FROM `+state.Intents+` WHERE `+mine+` AND state = 'UNKNOWN' ORDER BY key_json`, func(r rows.Row) error {
		add(&explaining{Plan: p, tx: tx, hash: strings.Clone(r.String(0)), x: &Explanation{Key: strings.Clone(r.String(1))}})
		return nil
	}, p.id()...)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%w, nor of any other of the sync", ErrNothingUnknown)
	}
	return list, err
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
