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

// Resolved is a key that was settled by hand.
type Resolved struct {
	Key string // as a JSON object
	// Again: the key is there, and what its row is now is sent once more, since a run
	// that died may have sent something else than what was said to be there.
	Again bool
}

// Resolve settles by hand outcomes that are unknown: sent says that the last
// operation of each of the keys is at the destination, else none of them is. Keys are
// given as for [Explain]; no keys are all that are listed as unknown. All are settled,
// or none is.
//
// It takes the sync over as a run does, so that what has died can settle nothing
// more, and what it left prepared is unknown too. Where that is another operation
// than the listed one, nobody can say which of them the person has seen: the key
// counts as there, with a payload that is not known.
func Resolve(ctx context.Context, db *warehouse.DB, st *state.Store, sync Sync, keys [][]string, sent bool) (settled []Resolved, err error) {
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
		several := make([]bool, len(list)) // asked before the latest stands for all
		for i, e := range list {
			if several[i], err = e.several(ctx); err != nil {
				return err
			}
		}
		if err := p.takeOver(ctx, tx); err != nil {
			return err
		}
		for i, e := range list {
			again := sent && several[i] && !sync.once()
			if err := e.resolve(ctx, sent, again); err != nil {
				return err
			}
			settled = append(settled, Resolved{Key: e.x.Key, Again: again})
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

// several reports whether operations with more than one payload may have happened
// to the key, besides those that a later one stands for.
func (e *explaining) several(ctx context.Context) (several bool, err error) {
	err = warehouse.Each(ctx, e.tx, `SELECT count(DISTINCT payload_hash) FROM `+state.Intents+` WHERE `+mine+` AND key_hash = $5
		AND state IN ('UNKNOWN', 'PREPARED')`, func(r rows.Row) error {
		several = r.Int(0) > 1
		return nil
	}, e.id(e.hash)...)
	return several, err
}

// resolve settles the key; again: with a payload that is not known.
func (e *explaining) resolve(ctx context.Context, sent, again bool) error {
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
		if list, err = e.own(ctx, Action(action), epoch, again, now); err != nil {
			return err
		}
	}
	return e.run(ctx, e.tx, append(list,
		statement{`INSERT INTO ` + state.Attempts + ` (project, target, sync, target_fp, op_id, run_id, attempts, status, recorded_at, key_hash, key_json, action, payload)
			SELECT project, target, sync, target_fp, op_id, run_id, 0, CAST($7 AS text), CAST($8 AS timestamp with time zone), key_hash, key_json, action, payload
			FROM ` + state.Intents + ` WHERE ` + mine + ` AND key_hash = $5 AND lease_epoch = $6`, e.id(e.hash, epoch, status, now)},
		statement{`DELETE FROM ` + state.Intents + ` WHERE ` + mine + ` AND key_hash = $5`, e.id(e.hash)}))
}

// own are the statements that make the ledger say that the operation of an epoch is
// there. The id that the row has there, and whose it is, stay as they were: by the id
// a key that moves is known.
func (e *explaining) own(ctx context.Context, action Action, epoch int64, again bool, now time.Time) ([]statement, error) {
	destID, ownership := "", "adopted"
	err := warehouse.Each(ctx, e.tx, `SELECT coalesce(dest_id, ''), ownership FROM `+state.Ledger+` WHERE `+mine+` AND key_hash = $5`, func(r rows.Row) error {
		destID, ownership = strings.Clone(r.String(0)), strings.Clone(r.String(1))
		return nil
	}, e.id(e.hash)...)
	list := []statement{{`DELETE FROM ` + state.Ledger + ` WHERE ` + mine + ` AND key_hash = $5`, e.id(e.hash)}}
	if err != nil || action == Delete && !again {
		return list, err
	}
	payload, stable := `payload_hash`, `stable_hash`
	if again {
		payload, stable = `''`, `''` // no row has that
	}
	return append(list, statement{`INSERT INTO ` + state.Ledger + ` (project, target, sync, target_fp, key_hash, key_json, dest_id,
			acked_hash, stable_hash, acked_at, acked_run, ownership, status)
		SELECT project, target, sync, target_fp, key_hash, key_json, nullif(CAST($9 AS text), ''), ` + payload + `, ` + stable + `,
			CAST($7 AS timestamp with time zone), run_id, CAST($10 AS text), CAST($8 AS text)
		FROM ` + state.Intents + ` WHERE ` + mine + ` AND key_hash = $5 AND lease_epoch = $6`,
		e.id(e.hash, epoch, now, e.sync.ledgerStatus(), destID, ownership)}), nil
}
