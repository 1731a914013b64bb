package activate

import (
	"context"
	"fmt"

	"elt/internal/rows"
	"elt/internal/state"
	"elt/internal/warehouse"
)

// InvalidRow is a row of a model that no sync can send, since nothing tells it
// from other rows.
type InvalidRow struct {
	Key     string // the key columns under the destination's names, as a JSON object
	Payload string // what would have been sent, as a JSON object
	Same    int64  // how many rows have this key; 0: a column of the key is NULL
}

// Reason says why the row is not sent.
func (r InvalidRow) Reason() string {
	if r.Same == 0 {
		return "NULL in the key: not sent"
	}
	return fmt.Sprintf("%d rows have this key: none of them is sent", r.Same)
}

// InvalidRows lists up to limit rows of the model of sync, as it stands now, that
// have NULL in their key, and then those that share their key; 0: all. It writes
// nothing. The error of a model that is not built is of [warehouse.KindNotFound].
func InvalidRows(ctx context.Context, db *warehouse.DB, st *state.Store, sync Sync, limit int) ([]InvalidRow, error) {
	if err := sync.validate(); err != nil {
		return nil, err
	}
	p := newPlan(db, st, sync)
	var list []InvalidRow
	err := db.View(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		q, err := p.invalid(ctx, tx, limit)
		if err != nil {
			return err
		}
		return warehouse.Each(ctx, tx, q, func(r rows.Row) error {
			list = append(list, InvalidRow{Key: r.String(0), Payload: r.String(1), Same: r.Int(2)})
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list the invalid rows of sync %s: %w", sync.Name, err)
	}
	return list, nil
}

func (p *Plan) invalid(ctx context.Context, tx *warehouse.Tx, limit int) (string, error) {
	src, err := p.source(ctx, tx)
	if err != nil {
		return "", err
	}
	d := tx.Dialect()
	key, payload, err := p.objects(d, src)
	if err != nil {
		return "", err
	}
	q := `WITH src AS (` + src.query + `),
	hashed AS (SELECT *, ` + src.keyHash(d) + ` AS key_hash FROM src),
	dup AS (SELECT key_hash, count(*) AS same FROM hashed WHERE key_hash IS NOT NULL GROUP BY key_hash HAVING count(*) > 1)
	SELECT ` + key + ` AS key_json, ` + payload + ` AS payload, coalesce(dup.same, 0) AS same
	FROM hashed AS h LEFT JOIN dup ON dup.key_hash = h.key_hash
	WHERE h.key_hash IS NULL OR dup.key_hash IS NOT NULL ORDER BY CASE WHEN dup.same IS NULL THEN 0 ELSE 1 END, key_json, payload`
	if limit > 0 {
		q += fmt.Sprintf(" LIMIT %d", limit)
	}
	return q, nil
}

// InvalidKind is how many rows of a plan are invalid for one reason, and one of them.
type InvalidKind struct {
	NullKey bool // else: several rows have the key
	N       int64
	Key     string // of one of them, as a JSON object
}

// Invalid counts the rows of the plan that are not sent, by reason.
func (p *Plan) Invalid(ctx context.Context) ([]InvalidKind, error) {
	var kinds []InvalidKind
	err := warehouse.Each(ctx, p.db, `SELECT class, count(*), min(key_json) FROM `+p.table.String()+
		` WHERE class IN ('null_key', 'duplicate_key') GROUP BY class ORDER BY class DESC`, func(r rows.Row) error {
		kinds = append(kinds, InvalidKind{NullKey: r.String(0) == classNullKey, N: r.Int(1), Key: r.String(2)})
		return nil
	})
	if err != nil {
		return nil, p.wrap(fmt.Errorf("count its invalid rows: %w", err))
	}
	return kinds, nil
}
