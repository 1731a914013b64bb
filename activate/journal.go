package activate

import (
	"context"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"elt/internal/state"
	"elt/internal/warehouse"
)

// settleTimeout bounds what is written after a context has ended.
const settleTimeout = time.Minute

// prepare commits the intents of a page before a byte leaves. An older unknown
// intent of the same key stays beside the new one: should the new one be
// refused, the old one may still have happened. skip is what else the rows have to fulfil.
func (p *Plan) prepare(ctx context.Context, after, last int64, skip string, limits Limits) error {
	resent := p.resent(limits.Replay)
	pick := func(prev, now string) string {
		return `CASE WHEN ` + resent + ` THEN ` + prev + ` ELSE ` + now + ` END`
	}
	at := `CAST($8 AS timestamp with time zone)`
	if limits.Window > 0 { // which begins when an operation is sent for the first time
		at = pick(`coalesce((SELECT min(i.prepared_at) FROM `+state.Intents+` AS i WHERE i.project = $1 AND i.target = $2 AND i.sync = $3
			AND i.target_fp = $4 AND i.op_id = prev_op_id), `+at+`)`, at)
	}
	const action = `CASE WHEN class = 'remove' THEN 'delete' ELSE CAST($7 AS text) END`
	return p.db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		if err := p.fence(ctx, tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO `+state.Intents+` (project, target, sync, target_fp, op_id, run_id, lease_epoch,
				key_hash, key_json, action, payload, payload_hash, stable_hash, state, prepared_at)
			SELECT CAST($1 AS text), CAST($2 AS text), CAST($3 AS text), CAST($4 AS text), `+pick("prev_op_id", "op_id")+`,
				CAST($5 AS text), CAST($6 AS bigint), key_hash, key_json, `+action+`, `+pick("prev_payload", "payload")+`,
				`+pick("prev_payload_hash", "payload_hash")+`, `+pick("prev_stable_hash", "stable_hash")+`, 'PREPARED', `+at+`
			FROM `+p.table.String()+` WHERE seq > $9 AND seq <= $10`+skip,
			p.id(p.sync.RunID, p.epoch, string(p.sync.action()), time.Now().UTC(), after, last)...)
		return err
	})
}

// settle writes what became of a page: the ledger rows of what was acknowledged
// and the end of their intents in one transaction (invariant 8). It outlives
// ctx, since the answers are there; it does not outlive the lease.
func (p *Plan) settle(ctx context.Context, sh *sheet) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	p.noteIDs(sh.results)
	out, counts, note := p.outcomes(sh), tally{}, nothing
	if out.even {
		counts.even(sh)
	} else {
		byNumber := p.tally(sh, &counts)
		note = func(ctx context.Context, tx *warehouse.Tx) error {
			return p.appendResults(ctx, tx, sh.number, byNumber, sh.results)
		}
	}
	if p.inScratch() && !out.even { // one transaction writes one of the two
		if err := p.aside(ctx, note); err != nil {
			return err
		}
		note = nothing
	}
	err := p.db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		if err := p.fence(ctx, tx); err != nil {
			return err
		}
		if err := note(ctx, tx); err != nil {
			return err
		}
		if err := p.recordAttempts(ctx, tx, out); err != nil {
			return err
		}
		acked := counts.here[Acked] + counts.gone[Acked]
		if acked > 0 {
			if err := p.settleAcked(ctx, tx, out); err != nil {
				return err
			}
		}
		if acked != int64(len(sh.results)) {
			return p.settleRest(ctx, tx, sh.number)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if out.even {
		p.settledEvenly(sh)
	}
	counts.into(&p.result)
	return nil
}

// nothing is no part of a transaction.
func nothing(context.Context, *warehouse.Tx) error { return nil }

// tally counts the outcomes of a page, and returns its rows by their numbers. Where
// the destination knows operations, its refusal leaves no doubt.
func (p *Plan) tally(sh *sheet, counts *tally) map[int64]row {
	byNumber := make(map[int64]row, len(sh.list))
	for _, r := range sh.list {
		byNumber[r.seq] = r
	}
	for i := range sh.results {
		r := &sh.results[i]
		if p.definite && r.status == Rejected && !r.local {
			r.doubt = false
		}
		counts.add(byNumber[r.seq], *r)
	}
	return byNumber
}

// statement is one step of settling.
type statement struct {
	q    string
	args []any
}

func (p *Plan) run(ctx context.Context, tx *warehouse.Tx, list []statement) error {
	for _, s := range list {
		if _, err := tx.Exec(ctx, s.q, s.args...); err != nil {
			return err
		}
	}
	return nil
}

// keys is a subquery of the keys of page $5 whose outcome fulfils cond. It needs
// no join, and both ways of meeting its keys have an index: Postgres, which knows
// nothing of a page written a moment ago, may choose either.
func (p *Plan) keys(cond string) string {
	return `(SELECT o.key_hash FROM ` + p.out.String() + ` AS o WHERE o.page = $5 AND ` + cond + `)`
}

func (p *Plan) settleAcked(ctx context.Context, tx *warehouse.Tx, out outcomes) error {
	now := time.Now().UTC()
	keys := func(cond string) string {
		return `(SELECT o.key_hash FROM ` + out.keys + ` WHERE o.page = $5 AND ` + cond + `)`
	}
	var list []statement
	if !out.adds {
		list = append(list, statement{`DELETE FROM ` + state.Ledger + ` WHERE ` + mine + ` AND key_hash IN ` +
			keys(`o.status = 'acked' AND o.class <> 'add'`), p.id(out.page)})
	}
	return p.run(ctx, tx, append(list, []statement{
		{`INSERT INTO ` + state.Ledger + ` (project, target, sync, target_fp, key_hash, key_json, dest_id,
				acked_hash, stable_hash, acked_at, acked_run, ownership, status)
			SELECT CAST($1 AS text), CAST($2 AS text), CAST($3 AS text), CAST($4 AS text), p.key_hash, p.key_json,
				CASE WHEN o.dest_id = '' THEN p.dest_id ELSE o.dest_id END,
				CASE WHEN o.resent THEN p.prev_payload_hash ELSE p.payload_hash END,
				CASE WHEN o.resent THEN p.prev_stable_hash ELSE p.stable_hash END,
				CAST($6 AS timestamp with time zone), CAST($7 AS text),
				CASE WHEN o.created THEN 'created' ELSE coalesce(p.ownership, 'adopted') END, CAST($8 AS text)
			FROM ` + out.both + ` WHERE o.page = $5 AND o.status = 'acked' AND p.class <> 'remove'`,
			p.id(out.page, now, p.sync.RunID, p.sync.ledgerStatus())},
		{`DELETE FROM ` + state.SyncQuarantine + ` WHERE ` + mine + ` AND key_hash IN ` + keys(`o.status = 'acked'`), p.id(out.page)},
		{`DELETE FROM ` + state.Intents + ` WHERE ` + mine + ` AND key_hash IN ` + keys(`o.status = 'acked'`), p.id(out.page)},
	}...))
}

// recordAttempts keeps what was sent for which key and what became of it, for elt
// explain and for the old values of a plan, until retention forgets it. What a look
// has found there was sent too, by a run that could not record it.
func (p *Plan) recordAttempts(ctx context.Context, tx *warehouse.Tx, out outcomes) error {
	return p.run(ctx, tx, []statement{
		{`INSERT INTO ` + state.Attempts + ` (project, target, sync, target_fp, op_id, run_id, attempts, status, code, message, recorded_at,
				key_hash, key_json, action, payload)
			SELECT CAST($1 AS text), CAST($2 AS text), CAST($3 AS text), CAST($4 AS text),
				CASE WHEN o.resent THEN p.prev_op_id ELSE p.op_id END, CAST($7 AS text), o.attempts, o.status, o.code, o.message,
				CAST($6 AS timestamp with time zone), p.key_hash, p.key_json,
				CASE WHEN p.class = 'remove' THEN 'delete' ELSE CAST($8 AS text) END,
				CASE WHEN o.resent THEN p.prev_payload ELSE p.payload END
			FROM ` + out.both + ` WHERE o.page = $5 AND (o.attempts > 0 OR o.status = 'acked' AND o.resent)`,
			p.id(out.page, time.Now().UTC(), p.sync.RunID, string(p.sync.action()))},
	})
}

// settleRest settles what was not acknowledged. The baseline in the ledger stays
// as it is, so that a failed row is never considered delivered.
func (p *Plan) settleRest(ctx context.Context, tx *warehouse.Tx, page int64) error {
	now := time.Now().UTC()
	// The refusal of a delete says nothing of an upsert before it, and nothing is said
	// where nobody was asked.
	over := `lease_epoch = $6`
	if p.definite {
		over = `(lease_epoch = $6 OR lease_epoch < $6 AND action <> 'delete' AND key_hash NOT IN ` + p.keys(`(o.class = 'remove' OR o.local)`) + `)`
	}
	return p.run(ctx, tx, []statement{
		{`DELETE FROM ` + state.SyncQuarantine + ` WHERE ` + mine + ` AND key_hash IN ` +
			p.keys(`o.status = 'rejected'`), p.id(page)},
		{`INSERT INTO ` + state.SyncQuarantine + ` (project, target, sync, target_fp, key_hash, key_json, payload, payload_hash,
				run_id, code, message, first_at, attempts)
			SELECT CAST($1 AS text), CAST($2 AS text), CAST($3 AS text), CAST($4 AS text), p.key_hash, p.key_json,
				CASE WHEN o.resent THEN p.prev_payload ELSE p.payload END,
				CASE WHEN o.resent THEN p.prev_payload_hash ELSE p.payload_hash END, CAST($7 AS text), o.code, o.message,
				coalesce(p.q_first_at, CAST($6 AS timestamp with time zone)), coalesce(p.q_attempts, 0) + 1
			FROM ` + p.table.String() + ` AS p JOIN ` + p.out.String() + ` AS o ON o.seq = p.seq
			WHERE o.page = $5 AND o.status = 'rejected'`, p.id(page, now, p.sync.RunID)},
		// An intent that is over: never sent, or refused.
		{`DELETE FROM ` + state.Intents + ` WHERE ` + mine + ` AND lease_epoch = $6 AND key_hash IN ` +
			p.keys(`o.status = 'deferred' AND NOT o.doubt`), p.id(page, p.epoch)},
		{`DELETE FROM ` + state.Intents + ` WHERE ` + mine + ` AND ` + over + ` AND key_hash IN ` +
			p.keys(`o.status = 'rejected' AND NOT o.doubt`), p.id(page, p.epoch)},
		// What may have happened stands for all that may have happened before to its key.
		p.supersede(`lease_epoch < $6 AND key_hash IN `+p.keys(`o.doubt`), p.id(page, p.epoch)...),
		{`UPDATE ` + state.Intents + ` SET state = 'UNKNOWN', settled_at = $7 WHERE ` + mine + ` AND lease_epoch = $6 AND key_hash IN ` +
			p.keys(`o.doubt`), p.id(page, p.epoch, now)},
	})
}

// appendResults writes the outcomes of a page beside the plan, as one batch.
func (p *Plan) appendResults(ctx context.Context, tx *warehouse.Tx, page int64, rows map[int64]row, results []settled) error {
	text := func(name string) arrow.Field {
		return arrow.Field{Name: name, Type: arrow.BinaryTypes.String, Nullable: true}
	}
	number := func(name string) arrow.Field {
		return arrow.Field{Name: name, Type: arrow.PrimitiveTypes.Int64, Nullable: true}
	}
	flag := func(name string) arrow.Field {
		return arrow.Field{Name: name, Type: arrow.FixedWidthTypes.Boolean, Nullable: true}
	}
	schema := arrow.NewSchema([]arrow.Field{
		number("seq"), number("page"), number("attempts"), flag("resent"), flag("doubt"), flag("created"), flag("gone"), flag("local"),
		text("status"), text("dest_id"), text("code"), text("message"), text("key_hash"), text("class"),
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for _, r := range results {
		for i, v := range []int64{r.seq, page, r.attempts} {
			col, _ := b.Field(i).(*array.Int64Builder)
			col.Append(v)
		}
		for i, v := range []bool{r.resent, r.doubt, r.created, rows[r.seq].gone, r.local} {
			col, _ := b.Field(3 + i).(*array.BooleanBuilder)
			col.Append(v)
		}
		for i, v := range []string{string(r.status), r.destID, r.code, r.message, rows[r.seq].key, rows[r.seq].class} {
			col, _ := b.Field(8 + i).(*array.StringBuilder)
			col.Append(v)
		}
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	reader, err := array.NewRecordReader(schema, []arrow.RecordBatch{batch})
	if err != nil {
		return err
	}
	defer reader.Release()
	_, err = tx.Append(ctx, p.out, reader)
	return err
}
