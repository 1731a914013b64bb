package activate

import (
	"context"
	"strings"

	"elt/internal/rows"
	"elt/internal/state"
	"elt/internal/warehouse"
)

// Twins are keys of the model that lead to a row which another of them leads to
// too: addresses that differ in case, where the destination knows none. Each was
// acknowledged, and what was sent last is what is there.
type Twins struct {
	Keys    int64
	Samples []string // up to five of them as JSON objects, those of one row together
}

// noteIDs notes whether the destination tells ids of its own.
func (p *Plan) noteIDs(results []settled) {
	for _, r := range results {
		p.ids = p.ids || r.status == Acked && r.destID != ""
	}
}

// twins finds keys that share an id with one that this run has sent. What is appended
// is told by the id of a call, maybe, which is no row.
func (p *Plan) twins(ctx context.Context) error {
	if !p.ids || p.sync.Mode == ModeAppend {
		return nil
	}
	return p.db.View(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		const shared = `dest_id IN (SELECT dest_id FROM ` + state.Ledger + ` WHERE ` + mine + ` AND acked_run = $5 AND dest_id <> '')`
		const again = ` GROUP BY dest_id HAVING count(*) > 1`
		any := false
		err := warehouse.Each(ctx, tx, `SELECT 1 AS one FROM `+state.Ledger+` WHERE `+mine+` AND `+shared+again+` LIMIT 1`, func(rows.Row) error {
			any = true
			return nil
		}, p.id(p.sync.RunID)...)
		if err != nil || !any { // the keys of the model are not hashed for nothing
			return err
		}
		src, err := p.source(ctx, tx)
		if err != nil {
			return err
		}
		// A key that has moved is in the ledger in both ways, and here in one.
		return warehouse.Each(ctx, tx, `WITH twin AS (SELECT key_json, dest_id FROM `+state.Ledger+` WHERE `+mine+` AND `+shared+`
				AND key_hash IN (`+src.here(tx.Dialect())+`))
			SELECT key_json, count(*) OVER () FROM twin WHERE dest_id IN (SELECT dest_id FROM twin`+again+`) ORDER BY dest_id, key_json LIMIT 5`, func(r rows.Row) error {
			p.result.Twins.Keys = r.Int(1)
			p.result.Twins.Samples = append(p.result.Twins.Samples, strings.Clone(r.String(0)))
			return nil
		}, p.id(p.sync.RunID)...)
	})
}
