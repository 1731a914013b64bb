package activate

import (
	"context"

	"elt/internal/rows"
	"elt/internal/state"
	"elt/internal/warehouse"
)

// A mirror deletes rows that its model does not have any more. Which rows are its
// own the ledger says, and nothing else: a row of which elt has no acknowledgment
// is never deleted (invariant 10).

// The statuses of a ledger row.
const (
	ledgerLive = "live"
	ledgerOnce = "once" // sent by a mode that leaves its rows alone afterwards
)

// deleteHash stands for the payload of a delete.
const deleteHash = "delete"

// ledgerStatus is that of the rows that this sync acknowledges. A row that was sent
// once belongs to the destination from then on: should the sync become a mirror, it
// deletes no row before it has sent it itself.
func (s Sync) ledgerStatus() string {
	if s.once() {
		return ledgerOnce
	}
	return ledgerLive
}

// remove adds to the plan what is to be done about keys that the model does not
// have any more, behind all that it has. A key that several rows have is not sent,
// but it is there.
//
// A row that may be there, because an upsert has an unknown outcome, is upserted
// again first: only an acknowledgment makes it one's own, and the next run deletes
// it. Should that be refused, an earlier one with an unknown outcome may be what is
// there, so it is tried too. A delete is sent again whatever is known of another.
func (p *Plan) remove(ctx context.Context, tx *warehouse.Tx) error {
	src, err := p.source(ctx, tx)
	if err != nil {
		return err
	}
	here := src.here(tx.Dialect())
	if p.sync.Mode != ModeMirror {
		return p.leave(ctx, tx, here)
	}
	q := `INSERT INTO ` + p.table.String() + ` ` + p.goneKeys(here, p.table.String())
	_, err = tx.Exec(ctx, q, p.id(p.sync.mapping(), p.opSalt())...)
	return err
}

// here is the SELECT of the hashes of all keys of the model.
func (s source) here(d *warehouse.Dialect) string {
	return `SELECT ` + s.keyHash(d) + ` AS key_hash FROM (` + s.query + `) AS src`
}

// goneKeys is the SELECT of what a mirror does about keys that are not among those
// of here; numbered after those of the table called plan, "" when there is none.
func (p *Plan) goneKeys(here, plan string) string {
	first, unplanned := `0`, ``
	if plan != "" {
		first = `(SELECT coalesce(max(seq), 0) FROM ` + plan + `)`
		// Where each statement sees its own snapshot, a key of the plan may be gone here.
		unplanned = ` AND NOT EXISTS (SELECT 1 FROM ` + plan + ` AS planned WHERE planned.seq IS NOT NULL AND planned.key_hash = g.key_hash)`
	}
	return `WITH here AS (` + here + `),
	owned AS (SELECT key_hash, key_json, dest_id, ownership FROM ` + state.Ledger + ` WHERE ` + mine + ` AND status = 'live'
		AND ownership IN ('created', 'adopted')),
	refused AS (SELECT * FROM ` + state.SyncQuarantine + ` WHERE ` + mine + `),
	open AS (SELECT * FROM (SELECT i.*, row_number() OVER (PARTITION BY i.key_hash
			ORDER BY CASE WHEN q.payload_hash = i.payload_hash THEN 1 ELSE 0 END, i.lease_epoch DESC) AS nth
		FROM (SELECT * FROM ` + state.Intents + ` WHERE ` + mine + ` AND state IN ('UNKNOWN', 'OLDER')) AS i
		LEFT JOIN refused AS q ON q.key_hash = i.key_hash) AS ranked WHERE nth = 1),
	candidate AS (SELECT o.key_hash, o.key_json, o.dest_id, o.ownership, i.op_id, i.payload, i.payload_hash, i.stable_hash, i.action,
			'remove' AS class
		FROM owned AS o LEFT JOIN open AS i ON i.key_hash = o.key_hash
		UNION ALL
		SELECT i.key_hash, i.key_json, NULL, NULL, i.op_id, i.payload, i.payload_hash, i.stable_hash, i.action, 'unknown'
		FROM open AS i WHERE i.action = 'upsert' AND NOT EXISTS (SELECT 1 FROM ` + state.Ledger + ` AS l
			WHERE l.project = $1 AND l.target = $2 AND l.sync = $3 AND l.target_fp = $4 AND l.key_hash = i.key_hash)),
	gone AS (SELECT g.*, q.first_at, q.attempts,
			CASE WHEN q.payload_hash = CASE WHEN g.class = 'remove' THEN '` + deleteHash + `.' || $5 ELSE g.payload_hash END
				THEN 'kept' ELSE g.class END AS now
		FROM candidate AS g LEFT JOIN refused AS q ON q.key_hash = g.key_hash
		WHERE NOT EXISTS (SELECT 1 FROM here WHERE here.key_hash = g.key_hash)` + unplanned + `)
	SELECT CASE WHEN now <> 'kept' THEN ` + first + ` + row_number() OVER (ORDER BY now DESC, key_hash) END AS seq, now AS class,
		md5($6 || 'gone' || key_hash) AS op_id, key_hash, key_json,
		CASE WHEN now = 'unknown' THEN payload ELSE '' END AS payload,
		CASE WHEN now = 'unknown' THEN payload_hash ELSE '` + deleteHash + `.' || $5 END AS payload_hash,
		CASE WHEN now = 'unknown' THEN stable_hash END AS stable_hash, dest_id, ownership,
		op_id AS prev_op_id, payload AS prev_payload, payload_hash AS prev_payload_hash, stable_hash AS prev_stable_hash,
		first_at AS q_first_at, attempts AS q_attempts, action AS prev_action, true AS gone
	FROM gone`
}

// supersede is the statement that lets a later intent of a key stand for those that
// cond selects. A mirror keeps them: one of them may have made the row that it has
// to delete.
func (p *Plan) supersede(cond string, args ...any) statement {
	if p.sync.Mode == ModeMirror {
		return statement{`UPDATE ` + state.Intents + ` SET state = 'OLDER' WHERE ` + mine + ` AND state <> 'OLDER' AND ` + cond, args}
	}
	return statement{`DELETE FROM ` + state.Intents + ` WHERE ` + mine + ` AND ` + cond, args}
}

// leave counts the outcomes that stay unknown, since nothing is sent for a key that
// the model does not have.
func (p *Plan) leave(ctx context.Context, q warehouse.Querier, here string) error {
	var open int64
	err := warehouse.Each(ctx, q, `SELECT count(*) FROM `+state.Intents+` WHERE `+mine+` AND state = 'UNKNOWN'`, func(r rows.Row) error {
		open = r.Int(0)
		return nil
	}, p.id()...)
	if err != nil || open == 0 { // the keys of the model are not hashed for nothing
		return err
	}
	return warehouse.Each(ctx, q, `SELECT count(*) FROM `+state.Intents+` AS i WHERE `+mine+` AND state = 'UNKNOWN'
		AND NOT EXISTS (SELECT 1 FROM (`+here+`) AS here WHERE here.key_hash = i.key_hash)`, func(r rows.Row) error {
		p.result.Gone.Left = r.Int(0)
		return nil
	}, p.id()...)
}

// pageEnd is the number of the last row of the page after a number. Deletes have
// pages of their own, after all others.
func (p *Plan) pageEnd(after int64, limits Limits) int64 {
	to := after + p.pageRows(limits)
	if after < p.adds {
		return min(to, p.adds)
	}
	return to
}

// deletesWait reports whether what follows are deletes that must wait, because
// of the rows of the model some are not there yet, or nobody knows: what looks like
// a key that is gone and one that is new may be a key that moved. That is so also of
// a row that is refused now, or whose key several have: what was sent of it before
// may be what the old key leads to.
func (p *Plan) deletesWait(ctx context.Context, after int64) (wait bool, err error) {
	r := p.result
	if after != p.adds || r.Unknown+r.Deferred+r.Gone.Unknown+r.Gone.Deferred > 0 {
		return after == p.adds, nil
	}
	err = warehouse.Each(ctx, p.db, `SELECT count(*) FROM `+state.Intents+` AS i WHERE `+mine+` AND i.state IN ('UNKNOWN', 'OLDER')
		AND i.action <> 'delete' AND EXISTS (SELECT 1 FROM `+p.table.String()+` AS p WHERE p.key_hash = i.key_hash AND NOT p.gone)`, func(r rows.Row) error {
		wait = r.Int(0) > 0
		return nil
	}, p.id()...)
	return wait, err
}

// moved takes those of a page of deletes out whose row has another key now: the
// destination has told one id for both, so that a delete by the old key would take
// the row of the new one. There is nothing to delete, and the old key is forgotten.
func (p *Plan) moved(ctx context.Context, list []row) (send []row, results []settled, err error) {
	moved := map[int64]bool{}
	err = warehouse.Each(ctx, p.db, `SELECT p.seq FROM `+p.table.String()+` AS p
		WHERE p.seq >= $5 AND p.seq <= $6 AND p.class = 'remove' AND p.dest_id <> ''
		AND EXISTS (SELECT 1 FROM `+state.Ledger+` AS l WHERE `+mine+` AND l.dest_id = p.dest_id AND l.key_hash <> p.key_hash
			AND NOT EXISTS (SELECT 1 FROM `+p.table.String()+` AS r WHERE r.class IN ('remove', 'kept') AND r.key_hash = l.key_hash))`, func(r rows.Row) error {
		moved[r.Int(0)] = true
		return nil
	}, p.id(list[0].seq, list[len(list)-1].seq)...)
	if err != nil || len(moved) == 0 {
		return list, nil, err
	}
	for _, r := range list {
		if moved[r.seq] {
			results = append(results, settled{seq: r.seq, status: Acked})
		} else {
			send = append(send, r)
		}
	}
	return send, results, nil
}

// tally counts outcomes of a page.
type tally struct {
	here, gone map[Status]int64
	created    int64
	deleted    int64
}

func (t *tally) add(r row, s settled) {
	if t.here == nil {
		t.here, t.gone = map[Status]int64{}, map[Status]int64{}
	}
	if r.gone {
		t.gone[s.status]++
		if s.status == Acked && r.class == classRemove {
			t.deleted++
		}
		return
	}
	t.here[s.status]++
	if s.status == Acked && s.created {
		t.created++
	}
}

// even counts a page of rows of the model that are all acknowledged in the same way.
func (t *tally) even(sh *sheet) {
	n := int64(len(sh.list))
	t.here = map[Status]int64{Acked: n}
	if sh.results[0].created {
		t.created = n
	}
}

func (t *tally) into(r *Result) {
	r.Acked += t.here[Acked]
	r.New += t.created
	r.Rejected += t.here[Rejected]
	r.Unknown += t.here[Unknown] + t.here[statusBlocked]
	r.Deferred += t.here[statusDeferred]
	r.Gone.Deleted += t.deleted
	r.Gone.Settled += t.gone[Acked] - t.deleted
	r.Gone.Rejected += t.gone[Rejected]
	r.Gone.Unknown += t.gone[Unknown] + t.gone[statusBlocked]
	r.Gone.Deferred += t.gone[statusDeferred]
}
